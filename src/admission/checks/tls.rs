//! Certificates and keys inside a resource: an Envoy must be able to load them, and they must fit each other.
//!
//! Files of the node and secrets from SDS are not seen here. A text that is not PEM is a warning: it may be a
//! placeholder. No finding quotes any of a key.

mod der;
mod key;
mod pem;

use std::time::SystemTime;

use prost_reflect::DynamicMessage;
use prost_types::Timestamp;
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, public_key::PublicKey};

use self::{key::Public, pem::Block};
use super::{Report, fields};
use crate::admission::{codes, path::Path};

/// The shortest RSA key that Envoy accepts, in bits.
const LEAST_RSA_BITS: usize = 2048;
/// The curves that Envoy's TLS library supports: P-256, P-384 and P-521.
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";

/// Checks a TlsCertificate: a chain of certificates, and the key of the first.
pub(super) fn certificate(message: &DynamicMessage, path: &Path<'_>, now: Option<SystemTime>, report: &mut dyn Report) {
    let given = |field| fields::has(message, field);
    let key_elsewhere = given("pkcs12") || given("private_key_provider");
    if given("certificate_chain") && !given("private_key") && !key_elsewhere {
        report.envoy_refuses(codes::KEY, &path.field("private_key"), "a certificate without its key");
    }
    if given("private_key") && !given("certificate_chain") {
        report.envoy_refuses(
            codes::CERTIFICATE,
            &path.field("certificate_chain"),
            "a key without its certificate",
        );
    }
    let leaf = inline(message, "certificate_chain")
        .and_then(|text| chain(text, &path.field("certificate_chain"), now, report));
    let Some(text) = inline(message, "private_key") else {
        return;
    };
    let path = &path.field("private_key");
    let has_password = given("password");
    match key::read(text, has_password) {
        Err(fault @ (key::Fault::Empty | key::Fault::NoKey)) => report.envoy_refuses(codes::KEY, path, fault),
        Err(fault) => report.error(codes::KEY, path, fault.to_string()),
        Ok(public) => {
            if let Some(leaf) = leaf
                && public.fits(&leaf) == Some(false)
            {
                report.error(
                    codes::KEY_MISMATCH,
                    path,
                    "not the key of the first certificate of the chain",
                );
            }
        }
    }
}

/// Checks a CertificateValidationContext: the CAs that it trusts.
pub(super) fn validation(message: &DynamicMessage, path: &Path<'_>, now: Option<SystemTime>, report: &mut dyn Report) {
    let Some(text) = inline(message, "trusted_ca") else {
        return;
    };
    let path = &path.field("trusted_ca");
    match certificates(text) {
        Err(message) => report.envoy_refuses(codes::CERTIFICATE, path, message),
        Ok(blocks) => {
            for (index, block) in blocks.iter().enumerate() {
                match parse_x509_certificate(&block.der) {
                    Err(_) => unreadable(index, path, report),
                    Ok((_, certificate)) => validity(index, &certificate, path, now, report),
                }
            }
        }
    }
}

/// The inline bytes of a DataSource; `None` if it is elsewhere or absent.
fn inline<'m>(message: &'m DynamicMessage, field: &str) -> Option<&'m [u8]> {
    let source = fields::message(message, field)?;
    if fields::has(source, "inline_string") {
        return Some(fields::text(source, "inline_string").as_bytes());
    }
    fields::has(source, "inline_bytes").then(|| fields::bytes(source, "inline_bytes"))
}

/// The certificates in a PEM text; at least one.
fn certificates(text: &[u8]) -> Result<Vec<Block>, &'static str> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err("empty, where a certificate in PEM is expected");
    }
    let blocks: Vec<Block> = pem::blocks(text)
        .filter(|block| {
            matches!(
                block.label.as_str(),
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
            )
        })
        .collect();
    if blocks.is_empty() {
        return Err("no certificate in PEM (-----BEGIN CERTIFICATE-----) in it");
    }
    Ok(blocks)
}

fn unreadable(index: usize, path: &Path<'_>, report: &mut dyn Report) {
    let message = format!(
        "certificate {} of it cannot be read: damaged base64, or no X.509",
        index + 1
    );
    report.error(codes::CERTIFICATE, path, message);
}

/// Checks a chain; returns the public key of its first certificate.
fn chain(text: &[u8], path: &Path<'_>, now: Option<SystemTime>, report: &mut dyn Report) -> Option<Public> {
    let blocks = match certificates(text) {
        Ok(blocks) => blocks,
        Err(message) => {
            report.envoy_refuses(codes::CERTIFICATE, path, message);
            return None;
        }
    };
    let mut leaf = None;
    for (index, block) in blocks.iter().enumerate() {
        let Ok((_, certificate)) = parse_x509_certificate(&block.der) else {
            unreadable(index, path, report);
            continue;
        };
        validity(index, &certificate, path, now, report);
        if index == 0 {
            strength(&certificate, path, report);
            leaf = Some(public_of(&certificate));
        }
    }
    leaf
}

fn public_of(certificate: &X509Certificate<'_>) -> Public {
    let info = certificate.public_key();
    match info.algorithm.algorithm.to_id_string().as_str() {
        RSA => match info.parsed() {
            Ok(PublicKey::RSA(rsa)) => Public::rsa(rsa.modulus),
            Ok(_) | Err(_) => Public::Unknown,
        },
        EC => Public::Ec(Some(info.subject_public_key.data.to_vec())),
        ED25519 => Public::Ed25519(Some(info.subject_public_key.data.to_vec())),
        _ => Public::Unknown,
    }
}

/// Reports a key that Envoy never accepts.
fn strength(certificate: &X509Certificate<'_>, path: &Path<'_>, report: &mut dyn Report) {
    let info = certificate.public_key();
    match info.algorithm.algorithm.to_id_string().as_str() {
        RSA => {
            if let Ok(PublicKey::RSA(rsa)) = info.parsed()
                && rsa.key_size() < LEAST_RSA_BITS
            {
                let message = format!(
                    "an RSA key of {} bits, at least {LEAST_RSA_BITS} are needed",
                    rsa.key_size()
                );
                report.error(codes::CERTIFICATE, path, message);
            }
        }
        EC => {
            let parameters = info.algorithm.parameters.as_ref();
            let curve = parameters
                .and_then(|any| any.as_oid().ok())
                .map(|oid| oid.to_id_string());
            if curve.is_some_and(|curve| !CURVES.contains(&curve.as_str())) {
                let message = "a key on a curve that Envoy does not have: it has P-256, P-384 and P-521";
                report.error(codes::CERTIFICATE, path, message);
            }
        }
        _ => {}
    }
}

fn validity(
    index: usize,
    certificate: &X509Certificate<'_>,
    path: &Path<'_>,
    now: Option<SystemTime>,
    report: &mut dyn Report,
) {
    let Some(now) = now else {
        return;
    };
    // In whole seconds, and with a type that supports years before 1970.
    let now = Timestamp::from(now).seconds;
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let number = index + 1;
    let shown = |seconds: i64| Timestamp { seconds, nanos: 0 }.to_string();
    if end < now {
        let message = format!("certificate {number} of it expired at {}", shown(end));
        report.warn(codes::VALIDITY, path, message);
    } else if begin > now {
        let message = format!("certificate {number} of it is not valid before {}", shown(begin));
        report.warn(codes::VALIDITY, path, message);
    }
}

#[cfg(test)]
mod tests;
