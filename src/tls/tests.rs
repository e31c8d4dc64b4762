//! Files of a port: what is taken, what is refused and how that is told.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn write(&self, dir: &Path) {
        let (cert, key) = self.issue(&CertificateParams::new(vec!["localhost".to_owned()]).unwrap());
        fs::write(dir.join("cert.pem"), cert).unwrap();
        fs::write(dir.join("key.pem"), key).unwrap();
        fs::write(dir.join("ca.pem"), self.0.pem()).unwrap();
    }
}

fn settings(dir: &Path) -> TlsSettings {
    TlsSettings {
        port: "xds",
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
        client_ca: Some(dir.join("ca.pem")),
        client_auth: ClientAuth::Require,
    }
}

fn written() -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(dir.path());
    (dir, authority)
}

fn refused(result: Result<Tls, TlsError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn files_that_changed_are_taken_and_those_that_did_not_are_not_built_again() {
    let (dir, authority) = written();
    let tls = Tls::load(settings(dir.path()), &["h2"]).unwrap();
    let before = tls.config();
    assert!(tls.refresh().unwrap().is_none());
    assert!(Arc::ptr_eq(&before, &tls.config()));
    authority.write(dir.path());
    assert!(tls.refresh().unwrap().is_some());
    assert!(!Arc::ptr_eq(&before, &tls.config()));
}

#[test]
fn a_key_that_does_not_fit_keeps_the_pair_and_is_told_once() {
    let (dir, authority) = written();
    let tls = Tls::load(settings(dir.path()), &["h2"]).unwrap();
    let before = tls.config();
    let (cert, key) = authority.issue(&CertificateParams::new(vec!["localhost".to_owned()]).unwrap());
    fs::write(dir.path().join("cert.pem"), cert).unwrap();
    let error = tls.refresh().unwrap_err().to_string();
    assert!(
        error.starts_with("xds.tls_key: ") && error.contains("does not fit"),
        "{error}"
    );
    assert!(tls.refresh().unwrap().is_none());
    assert!(Arc::ptr_eq(&before, &tls.config()));
    // The key arrives.
    fs::write(dir.path().join("key.pem"), key).unwrap();
    assert!(tls.refresh().unwrap().is_some());
}

#[test]
fn a_swapped_symlink_is_seen() {
    let (first, _) = written();
    let (second, _) = written();
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("..data");
    std::os::unix::fs::symlink(first.path(), &link).unwrap();
    let tls = Tls::load(settings(&link), &["h2"]).unwrap();
    let next = dir.path().join("..next");
    std::os::unix::fs::symlink(second.path(), &next).unwrap();
    fs::rename(&next, &link).unwrap();
    assert!(tls.refresh().unwrap().is_some());
}

#[test]
fn what_is_wrong_names_the_setting_and_the_file() {
    let (dir, _) = written();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("empty.pem"), "").unwrap();
    let of = |change: fn(&mut TlsSettings, PathBuf), name: &str| {
        let mut settings = settings(dir.path());
        change(&mut settings, path(name));
        refused(Tls::load(settings, &["h2"]))
    };
    for (error, setting, reason) in [
        (
            of(|it, file| it.cert = file, "empty.pem"),
            "xds.tls_cert",
            "no certificate",
        ),
        (
            of(|it, file| it.key = file, "empty.pem"),
            "xds.tls_key",
            "no private key",
        ),
        (
            of(|it, file| it.client_ca = Some(file), "empty.pem"),
            "xds.client_ca",
            "no CA",
        ),
        (
            of(|it, file| it.client_ca = Some(file), "key.pem"),
            "xds.client_ca",
            "no CA",
        ),
        (
            of(|it, file| it.key = file, "missing.pem"),
            "xds.tls_key",
            "missing.pem",
        ),
        (of(|it, file| it.cert = file, ""), "xds.tls_cert", "no regular file"),
    ] {
        assert!(error.starts_with(setting) && error.contains(reason), "{error}");
    }
}

#[test]
fn spiffe_trust_bundles_are_read() {
    let (dir, authority) = written();
    let der = STANDARD.encode(authority.0.der());
    let bundle = serde_json::json!({"spiffe_sequence": 1, "keys": [
        {"kty": "EC", "use": "x509-svid", "x5c": [der]},
        {"kty": "EC", "use": "jwt-svid", "kid": "a"},
    ]});
    fs::write(dir.path().join("ca.pem"), bundle.to_string()).unwrap();
    Tls::load(settings(dir.path()), &["h2"]).unwrap();
    fs::write(dir.path().join("ca.pem"), r#"{"keys": [{"use": "jwt-svid"}]}"#).unwrap();
    assert!(refused(Tls::load(settings(dir.path()), &["h2"])).contains("no CA"));
}

#[test]
fn a_clients_names_are_those_of_its_certificate() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(vec!["cart.shop.example".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::URI("spiffe://prod/ns/shop/sa/cart".try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &authority.0).unwrap();
    let read = client_certificate(cert.der()).unwrap();
    assert_eq!(read.uris, ["spiffe://prod/ns/shop/sa/cart"]);
    assert_eq!(read.dns_names, ["cart.shop.example"]);
    assert_eq!(read.fingerprint.len(), 64);
    assert!(read.not_after > SystemTime::now());
}
