//! Reads the private key of a port from PEM. No copy of the key is left behind: buffers are zeroed, and errors quote
//! nothing of it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
    sign::SigningKey,
};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The encoding of a key, by the label of its PEM block.
#[derive(Clone, Copy)]
enum Encoding {
    Pkcs1,
    Pkcs8,
    Sec1,
}

/// The first private key of a PEM file.
pub(super) fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, &'static str> {
    let (encoding, encoded) = section(pem).ok_or("there is no private key in it (PEM, BEGIN PRIVATE KEY)")?;
    // Room for the whole key, and for the size that the decoder estimates.
    let mut der = Zeroizing::new(vec![0; encoded.len()]);
    let length = STANDARD.decode_slice(encoded.as_slice(), &mut der);
    let der = &der[..length.map_err(|_| "the private key in it is not base64")?];
    let key = match encoding {
        Encoding::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        Encoding::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        Encoding::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
    };
    any_supported_type(&key).map_err(|_| "the private key in it is neither RSA, ECDSA nor Ed25519, or is malformed")
}

/// The base64 lines of the first private key, joined.
fn section(pem: &[u8]) -> Option<(Encoding, Zeroizing<Vec<u8>>)> {
    let mut found = None;
    for line in pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let label = |begin: &str| line.strip_prefix(begin.as_bytes())?.strip_suffix(DASHES.as_bytes());
        if let Some(label) = label(BEGIN) {
            let encoding = Encoding::of(label);
            found = encoding.map(|encoding| (encoding, Zeroizing::new(Vec::with_capacity(pem.len()))));
        } else if label(END).is_some() && found.is_some() {
            return found;
        } else if let Some((_, encoded)) = &mut found {
            encoded.extend_from_slice(line);
        }
    }
    None
}

// === impl Encoding ===

impl Encoding {
    fn of(label: &[u8]) -> Option<Self> {
        match label {
            b"RSA PRIVATE KEY" => Some(Self::Pkcs1),
            b"PRIVATE KEY" => Some(Self::Pkcs8),
            b"EC PRIVATE KEY" => Some(Self::Sec1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn told(pem: &str) -> &'static str {
        signing_key(pem.as_bytes()).unwrap_err()
    }

    #[test]
    fn first_private_key_is_taken_whatever_is_around_it() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let pem = KeyPair::generate_for(algorithm).unwrap().serialize_pem();
            let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            for text in [
                pem.clone(),
                format!("Bag Attributes\n{certificate}{pem}{certificate}"),
                format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{pem}"),
                pem.replace('\n', "\r\n"),
                pem.trim_end().to_owned(),
            ] {
                signing_key(text.as_bytes()).unwrap_or_else(|reason| panic!("{reason}"));
            }
        }
    }

    #[test]
    fn key_as_openssl_ecparam_writes_it_is_taken() {
        // RFC 5915: version 1, the scalar, the curve; what a PKCS #8 file wraps as well.
        let pkcs8 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_der();
        // SEQUENCE, version, algorithm (21 bytes), OCTET STRING: 3 + 3 + 21 + 2 bytes before the inner structure.
        let sec1 = &pkcs8[pkcs8.iter().position(|byte| *byte == 0x04).unwrap() + 2..];
        let pem = format!(
            "{BEGIN}EC PRIVATE KEY-----\n{}\n{END}EC PRIVATE KEY-----\n",
            STANDARD.encode(sec1)
        );
        signing_key(pem.as_bytes()).unwrap_or_else(|reason| panic!("{reason}"));
    }

    #[test]
    fn errors_of_a_key_do_not_quote_it() {
        let pem = KeyPair::generate().unwrap().serialize_pem();
        assert!(told("hunter2").contains("no private key"));
        assert!(told(&pem[..pem.len() - 20]).contains("no private key"), "it is cut off");
        assert!(told(&pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).contains("no private key"));
        assert!(told(&pem.replacen("MI", "!!", 1)).contains("not base64"));
        assert!(told(&pem.replacen("MI", "AA", 1)).contains("malformed"));
    }
}
