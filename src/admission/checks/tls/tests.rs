//! Certificates and keys of every kind, valid and invalid.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use std::time::Duration;

use super::*;
use crate::{admission::Severity, proto};

/// A certificate that is valid only in the year 2026, and its key.
fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 31);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn in_year(year: u64) -> Option<SystemTime> {
    let days = (year - 1970) * 365 + (year - 1970) / 4 + 180;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400))
}

#[derive(Default)]
struct Said(Vec<(Severity, &'static str, String)>);

impl Report for Said {
    fn report(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String) {
        assert!(!message.contains("-----BEGIN PRIVATE KEY-----\n"), "{message}");
        self.0.push((severity, code, path.text().unwrap_or_default()));
    }
}

fn message(name: &str, json: serde_json::Value) -> DynamicMessage {
    let full = format!("envoy.extensions.transport_sockets.tls.v3.{name}");
    let descriptor = proto::descriptors().get_message_by_name(&full).unwrap();
    DynamicMessage::deserialize(descriptor, json).unwrap()
}

fn said_of(chain: &str, key: &str, year: u64) -> Vec<(Severity, &'static str, String)> {
    let json = serde_json::json!({
        "certificate_chain": {"inline_string": chain},
        "private_key": {"inline_string": key},
    });
    let mut said = Said::default();
    certificate(&message("TlsCertificate", json), &Path::ROOT, in_year(year), &mut said);
    said.0
}

fn codes_of(chain: &str, key: &str) -> Vec<&'static str> {
    said_of(chain, key, 2026).into_iter().map(|(_, code, _)| code).collect()
}

#[test]
fn keys_of_every_kind_fit_their_certificates_and_no_others() {
    let pairs = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
        .map(|algorithm| [pair(algorithm), pair(algorithm)]);
    for [(chain, key), (_, other)] in &pairs {
        assert_eq!(codes_of(chain, key), [""; 0]);
        assert_eq!(codes_of(chain, other), [codes::KEY_MISMATCH]);
    }
    assert_eq!(codes_of(&pairs[0][0].0, &pairs[2][0].1), [codes::KEY_MISMATCH]);
    // The key belongs to the first certificate.
    let chain = format!("{}{}", pairs[0][0].0, pairs[1][0].0);
    assert_eq!(codes_of(&chain, &pairs[0][0].1), [""; 0]);
    assert_eq!(codes_of(&chain, &pairs[1][0].1), [codes::KEY_MISMATCH]);
}

#[test]
fn texts_without_a_certificate_or_key_are_reported() {
    let (chain, key) = pair(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(codes_of("garbage", &key), [codes::CERTIFICATE]);
    assert_eq!(codes_of(" \n", &key), [codes::CERTIFICATE]);
    assert_eq!(codes_of(&key, &chain), [codes::CERTIFICATE, codes::KEY]);
    assert_eq!(codes_of(&chain.replace("MII", "!!!"), &key), [codes::CERTIFICATE]);
    let damaged = format!("{chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_eq!(codes_of(&damaged, &key), [codes::CERTIFICATE]);
    assert_eq!(codes_of(&chain, "garbage"), [codes::KEY]);
    assert_eq!(codes_of(&chain, ""), [codes::KEY]);
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(codes_of(&chain, &encrypted), [codes::KEY]);
    // Text and other blocks around the key and the certificates are skipped.
    assert_eq!(
        codes_of(&format!("subject: a\n{key}{chain}"), &format!("{chain}{key}")),
        [""; 0]
    );
}

#[test]
fn a_certificate_and_its_key_need_each_other() {
    let (chain, key) = pair(&PKCS_ED25519);
    for (field, text, code) in [
        ("certificate_chain", &chain, codes::KEY),
        ("private_key", &key, codes::CERTIFICATE),
    ] {
        let mut said = Said::default();
        let json = serde_json::json!({ field: {"inline_string": text} });
        certificate(&message("TlsCertificate", json), &Path::ROOT, None, &mut said);
        assert_eq!(said.0.iter().map(|(_, code, _)| *code).collect::<Vec<_>>(), [code]);
    }
    let files = serde_json::json!({"certificate_chain": {"filename": "/c"}, "private_key": {"filename": "/k"}});
    let mut said = Said::default();
    certificate(&message("TlsCertificate", files), &Path::ROOT, None, &mut said);
    assert_eq!(said.0, []);
}

#[test]
fn certificates_are_warned_of_outside_of_their_time() {
    let (chain, key) = pair(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(said_of(&chain, &key, 2026), []);
    for year in [2025, 2027] {
        let expected = (Severity::Warning, codes::VALIDITY, "certificate_chain".to_owned());
        assert_eq!(said_of(&chain, &key, year), [expected]);
    }
}

#[test]
fn all_authorities_are_read() {
    let (one, key) = pair(&PKCS_ECDSA_P256_SHA256);
    let (other, _) = pair(&PKCS_ED25519);
    for (text, expected) in [
        (format!("{one}{other}"), None),
        (format!("# names\n{one}between\n{other}"), None),
        (String::new(), Some(codes::CERTIFICATE)),
        ("garbage".to_owned(), Some(codes::CERTIFICATE)),
        (key, Some(codes::CERTIFICATE)),
        (
            format!("{one}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Some(codes::CERTIFICATE),
        ),
    ] {
        let mut said = Said::default();
        let json = serde_json::json!({"trusted_ca": {"inline_string": text}});
        validation(
            &message("CertificateValidationContext", json),
            &Path::ROOT,
            in_year(2026),
            &mut said,
        );
        assert_eq!(said.0.first().map(|(_, code, _)| *code), expected, "{text}");
    }
}
