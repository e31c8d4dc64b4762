//! Reads the names and the expiry of a certificate.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::connection::ClientCertificate;

/// The names and expiry of a client certificate that was verified.
///
/// # Errors
///
/// If the certificate cannot be read; none of its names counts then.
pub fn client_certificate(der: &CertificateDer<'_>) -> Result<ClientCertificate, String> {
    let parsed = parse(der)?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| format!("its alternative names cannot be read: {error}"))?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
            _ => {}
        }
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Ok(ClientCertificate {
        uris,
        dns_names,
        not_after: expiry(&parsed),
        fingerprint: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// The time at which a certificate expires.
pub(super) fn validity(der: &CertificateDer<'_>) -> Result<SystemTime, String> {
    parse(der).map(|parsed| expiry(&parsed))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let (_, parsed) =
        X509Certificate::from_der(der).map_err(|error| format!("it is not an X.509 certificate: {error}"))?;
    Ok(parsed)
}

fn expiry(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = certificate.validity().not_after.timestamp();
    let after = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH
    } else {
        SystemTime::UNIX_EPOCH + after
    }
}
