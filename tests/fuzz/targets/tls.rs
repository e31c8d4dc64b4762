//! TLS files, in PEM, DER and as trust bundles, and certificates from clients. The first byte selects the file that is replaced
//! by the bytes; the others are valid.

use std::{cell::LazyCell, fs, path::Path, time::SystemTime};

use chancery::tls::{ClientAuth, Tls, TlsSettings, client_certificate};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use super::input::Input;

const FILES: [&str; 4] = ["cert.pem", "key.pem", "ca.pem", "ca.crl"];

/// Files that match each other.
struct Good {
    dir: TempDir,
    texts: [String; 4],
}

thread_local! {
    static GOOD: LazyCell<Good> = LazyCell::new(Good::new);
}

impl Good {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = names.signed_by(&key, &authority).unwrap();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2040, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&authority).unwrap().pem().unwrap();
        let good = Self {
            dir: tempfile::tempdir().unwrap(),
            texts: [cert.pem(), key.serialize_pem(), authority.pem(), list],
        };
        for (name, text) in FILES.iter().zip(&good.texts) {
            fs::write(good.dir.path().join(name), text).unwrap();
        }
        good.load().expect("the files go together");
        good
    }

    fn load(&self) -> Result<Tls, chancery::tls::TlsError> {
        let path = |name: &str| self.dir.path().join(name);
        let settings = TlsSettings {
            port: "xds",
            cert: path(FILES[0]),
            key: path(FILES[1]),
            client_ca: Some(path(FILES[2])),
            crl: Some(path(FILES[3])),
            client_auth: ClientAuth::Require,
        };
        Tls::load(settings, &["h2"])
    }

    fn exchange(&self, index: usize, bytes: &[u8]) {
        let file = self.dir.path().join(FILES[index]);
        fs::write(&file, bytes).unwrap();
        match self.load() {
            Ok(tls) => shown(&tls, bytes),
            Err(error) => named(&error.to_string(), &file),
        }
        fs::write(&file, &self.texts[index]).unwrap();
    }
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() {
        b'0' => GOOD.with(|good| good.exchange(0, input.rest())),
        b'1' => GOOD.with(|good| good.exchange(1, input.rest())),
        b'2' => GOOD.with(|good| good.exchange(2, input.rest())),
        b'3' => GOOD.with(|good| good.exchange(3, input.rest())),
        _ => {
            client_certificate(&input.rest().into()).ok();
        }
    }
}

/// Arbitrary bytes are never accepted as a client's certificate.
fn shown(tls: &Tls, bytes: &[u8]) {
    assert!(tls.verify(&[bytes.into()], SystemTime::now()).is_err());
}

fn named(error: &str, file: &Path) {
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(error.starts_with("xds."), "{error}");
    // A mismatch is reported for the key, whichever of the two files is wrong.
    assert!(
        error.contains(name) || error.contains("does not fit") || error.contains("client_ca"),
        "{error}"
    );
}
