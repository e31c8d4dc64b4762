//! TLS files of a port: accepted ones, refused ones, and the errors.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, RevokedCertParams, SanType,
};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("CA")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    /// A list that revokes these serial numbers, with its `nextUpdate` this many seconds from now.
    fn list(&self, revoked: &[u64], seconds: i64) -> rcgen::CertificateRevocationList {
        let now = OffsetDateTime::now_utc();
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - time::Duration::days(1),
            next_update: now + time::Duration::seconds(seconds),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap()
    }

    fn client(&self, serial: u64) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["cart.shop.example".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        params.distinguished_name.push(DnType::CommonName, "client");
        params
            .signed_by(&KeyPair::generate().unwrap(), &self.0)
            .unwrap()
            .der()
            .clone()
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
        crl: None,
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
fn a_key_that_does_not_fit_is_reported_once_and_the_old_pair_stays() {
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
fn tls_errors_name_the_setting_and_the_file() {
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
        (of(|it, file| it.cert = file, ""), "xds.tls_cert", "not a regular file"),
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

/// Settings with the revocation list `ca.crl`.
fn listed(dir: &Path) -> TlsSettings {
    TlsSettings {
        crl: Some(dir.join("ca.crl")),
        ..settings(dir)
    }
}

#[test]
fn a_certificate_is_good_until_its_ca_revokes_it() {
    let (dir, authority) = written();
    let list = dir.path().join("ca.crl");
    let (first, second) = ([authority.client(1)], [authority.client(2)]);
    let now = SystemTime::now();
    fs::write(&list, authority.list(&[], 3600).pem().unwrap()).unwrap();
    let tls = Tls::load(listed(dir.path()), &["h2"]).unwrap();
    assert_eq!((tls.verify(&first, now), tls.verify(&second, now)), (Ok(()), Ok(())));
    // A list may be DER as well as PEM.
    fs::write(&list, authority.list(&[1], 3600).der()).unwrap();
    let renewed = tls.refresh().unwrap().unwrap();
    assert_eq!(
        (tls.verify(&first, now), tls.verify(&second, now)),
        (Err(Withdrawn::Revoked), Ok(()))
    );
    let next = renewed.next_update.unwrap().duration_since(now).unwrap();
    assert!(
        next > Duration::from_secs(3500) && next < Duration::from_secs(3700),
        "{next:?}"
    );
}

#[test]
fn an_outdated_revocation_list_stays_in_use() {
    let (dir, authority) = written();
    fs::write(dir.path().join("ca.crl"), authority.list(&[1], -60).pem().unwrap()).unwrap();
    let tls = Tls::load(listed(dir.path()), &["h2"]).unwrap();
    let now = SystemTime::now();
    assert!(tls.next_update().unwrap() < now);
    assert_eq!(tls.verify(&[authority.client(2)], now), Ok(()));
    assert_eq!(tls.verify(&[authority.client(1)], now), Err(Withdrawn::Revoked));
}

#[test]
fn a_list_that_another_key_signed_covers_no_client() {
    let (dir, authority) = written();
    // The issuer has the same name, but another key.
    fs::write(
        dir.path().join("ca.crl"),
        Authority::new().list(&[], 3600).pem().unwrap(),
    )
    .unwrap();
    let tls = Tls::load(listed(dir.path()), &["h2"]).unwrap();
    let judged = tls.verify(&[authority.client(1)], SystemTime::now());
    assert_eq!(judged, Err(Withdrawn::Untrusted));
}

#[test]
fn lists_that_would_refuse_every_client_are_refused() {
    let (dir, authority) = written();
    let list = dir.path().join("ca.crl");
    let loaded = || refused(Tls::load(listed(dir.path()), &["h2"]));
    let pem = authority.list(&[], 3600).pem().unwrap();
    let other = Authority::named("another").list(&[], 3600).pem().unwrap();
    for (text, reason) in [
        ("", "no list"),
        (authority.0.pem().as_str(), "no list"),
        (
            "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
            "list 1 in it cannot be read",
        ),
        (other.as_str(), "1 of the 1 CAs of client_ca have no list in it"),
        (&pem.replace("END X509", "END"), "not PEM"),
    ] {
        fs::write(&list, text).unwrap();
        let error = loaded();
        assert!(error.starts_with("xds.crl: ") && error.contains(reason), "{error}");
    }
    let mut der = authority.list(&[], 3600).der().to_vec();
    der.push(0);
    fs::write(&list, der).unwrap();
    assert!(loaded().contains("1 bytes follow it"));
    fs::remove_file(&list).unwrap();
    assert!(loaded().starts_with("xds.crl: "));
    // A file may hold several lists, and lists of other CAs do no harm.
    fs::write(&list, pem + &other).unwrap();
    Tls::load(listed(dir.path()), &["h2"]).unwrap();
}

#[test]
fn a_certificate_is_good_until_it_expires_or_its_ca_is_taken_out() {
    let (dir, authority) = written();
    let tls = Tls::load(settings(dir.path()), &["h2"]).unwrap();
    let client = [authority.client(1)];
    let now = SystemTime::now();
    assert_eq!(tls.verify(&client, now), Ok(()));
    let end = client_certificate(&client[0]).unwrap().not_after;
    assert_eq!(
        tls.verify(&client, end + Duration::from_secs(1)),
        Err(Withdrawn::Expired)
    );
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    assert_eq!(
        tls.verify(&client, before),
        Ok(()),
        "a clock that is set back withdraws nothing"
    );
    fs::write(dir.path().join("ca.pem"), Authority::named("another").0.pem()).unwrap();
    tls.refresh().unwrap().unwrap();
    assert_eq!(tls.verify(&client, now), Err(Withdrawn::Untrusted));
}
