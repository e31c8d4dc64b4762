//! Secrets to search for, in every form in which they may appear.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE},
};
use rcgen::{CertificateParams, KeyPair};

/// A secret that nothing else contains.
#[derive(Clone)]
pub(crate) struct Canary {
    /// The field with the secret.
    pub(crate) what: String,
    /// The secret as it is published.
    pub(crate) text: String,
    /// The byte strings to search for.
    needles: BTreeSet<Vec<u8>>,
}

/// A private key with its certificate.
pub(crate) struct KeyCanary {
    pub(crate) canary: Canary,
    pub(crate) cert: String,
}

impl Canary {
    /// A text that occurs nowhere else, and is safe in every format.
    pub(crate) fn new(what: &str) -> Self {
        Self::of(what, &format!("Cnry{}", random()))
    }

    pub(crate) fn of(what: &str, text: &str) -> Self {
        let mut canary = Self {
            what: what.to_owned(),
            text: text.to_owned(),
            needles: BTreeSet::new(),
        };
        let bytes = canary.text.clone().into_bytes();
        canary.look_for(&bytes);
        canary
    }

    /// Adds these bytes to the search: verbatim, in base64 at any offset, in hex, percent-encoded, and as Rust prints bytes.
    fn look_for(&mut self, bytes: &[u8]) {
        let mut add = |needle: String| {
            self.needles.insert(needle.into_bytes());
        };
        for shift in 0..3 {
            // Characters that also encode neighbouring bytes are excluded.
            let shifted = [&vec![0; shift][..], bytes].concat();
            let whole = &shifted[..shifted.len() / 3 * 3];
            let encoded = STANDARD_NO_PAD.encode(whole);
            let inner = &encoded[if shift == 0 { 0 } else { 4 }..];
            add(inner.to_owned());
            add(inner.replace('+', "-").replace('/', "_"));
            add(inner.replace('+', "%2B").replace('/', "%2F"));
        }
        let joined = |separator: &str, of: fn(&u8) -> String| bytes.iter().map(of).collect::<Vec<_>>().join(separator);
        add(joined("", |byte| format!("{byte:02x}")));
        add(joined("", |byte| format!("{byte:02X}")));
        add(joined("", |byte| format!("%{byte:02X}")));
        add(joined("", |byte| format!("\\x{byte:02x}")));
        add(joined(", ", |byte| byte.to_string()));
        add(joined(",", |byte| byte.to_string()));
        self.needles.insert(bytes.to_vec());
    }

    /// The form of the secret that some bytes contain.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<String> {
        let needle = self.needles.iter().find(|needle| contains(bytes, needle))?;
        Some(String::from_utf8_lossy(needle).into_owned())
    }
}

impl KeyCanary {
    /// A new key, with a search for its PEM lines and its bytes.
    pub(crate) fn new(what: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        Self::of(what, &key.serialize_pem(), cert.pem())
    }

    pub(crate) fn of(what: &str, key: &str, cert: String) -> Self {
        let mut canary = Canary {
            what: what.to_owned(),
            text: key.to_owned(),
            needles: BTreeSet::new(),
        };
        let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
        // The first line begins like that of any key, and the last ones encode the public key.
        canary.look_for(&lines[0].as_bytes()[40..]);
        let bytes = STANDARD.decode(lines.concat()).unwrap();
        canary.look_for(&bytes[36..60]);
        Self { canary, cert }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Random letters and digits, new each time.
fn random() -> String {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let number = || RandomState::new().build_hasher().finish();
    let text = format!("{:016x}{:016x}", number(), number());
    text.chars().map(|c| if c == '0' { 'Z' } else { c }).collect()
}

#[test]
fn a_canary_is_found_in_every_form() {
    let canary = Canary::new("anything");
    let text = &canary.text;
    for around in ["", "a", "ab", "abc"] {
        let within = format!("{around}{text}{around}");
        for form in [
            within.clone(),
            STANDARD.encode(&within),
            URL_SAFE.encode(&within),
            within.bytes().map(|byte| format!("{byte:02x}")).collect(),
            within.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            format!("{:?}", within.as_bytes()),
        ] {
            assert!(canary.found_in(format!("x {form} y").as_bytes()).is_some(), "{form}");
        }
    }
    assert!(canary.found_in(Canary::new("another").text.as_bytes()).is_none());
    let key = KeyCanary::new("key");
    let pem = &key.canary.text;
    let bytes = STANDARD.encode(pem);
    for form in [
        pem.clone(),
        pem.replace('\n', "\\n"),
        bytes,
        format!("{:?}", pem.as_bytes()),
    ] {
        assert!(key.canary.found_in(form.as_bytes()).is_some(), "{form}");
    }
    assert!(
        key.canary
            .found_in(KeyCanary::new("another").canary.text.as_bytes())
            .is_none()
    );
    assert!(
        key.canary.found_in(key.cert.as_bytes()).is_none(),
        "the certificate is public"
    );
}
