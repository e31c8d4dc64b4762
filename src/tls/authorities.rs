//! CAs of clients: PEM, or a SPIFFE trust bundle (SPIFFE Trust Domain and Bundle, section 4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde::Deserialize;

/// A JWK set; keys of other uses are for JWTs.
#[derive(Deserialize)]
struct Bundle {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    x5c: Vec<String>,
}

/// The use of keys that sign X.509-SVIDs.
const X509: &str = "x509-svid";

/// All CAs in a file; at least one.
pub(super) fn authorities(bytes: &[u8]) -> Result<RootCertStore, String> {
    let found = if bytes.trim_ascii_start().first() == Some(&b'{') {
        of_bundle(bytes)?
    } else {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("it is not PEM: {error}"))?
    };
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it is not a CA: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no CA in it (PEM, or a SPIFFE trust bundle with keys of use \"x509-svid\")".to_owned());
    }
    Ok(roots)
}

fn of_bundle(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not a SPIFFE trust bundle: {error}"))?;
    let keys = bundle.keys.iter().filter(|key| key.usage.as_deref() == Some(X509));
    keys.map(|key| {
        // Section 4.1 of the X.509-SVID document: exactly one certificate.
        let [certificate] = key.x5c.as_slice() else {
            return Err(format!(
                "a key of use \"{X509}\" has {} certificates, not one",
                key.x5c.len()
            ));
        };
        let der = STANDARD
            .decode(certificate)
            .map_err(|error| format!("x5c is not base64: {error}"))?;
        Ok(CertificateDer::from(der))
    })
    .collect()
}
