//! The TLS files of a port, read whole, and their parsed content.

use std::{path::Path, sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
    sign::SigningKey,
};

use zeroize::Zeroizing;

use super::{
    authorities::authorities,
    certificate::validity,
    key::signing_key,
    revocation::Lists,
    settings::{ClientAuth, TlsError, TlsSettings},
};
use crate::input;

/// The largest file, in bytes: hundreds of certificates.
const LARGEST: u64 = 4 * 1024 * 1024;

pub(super) struct Contents {
    cert: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Zeroizing<Vec<u8>>>,
    crl: Option<Zeroizing<Vec<u8>>>,
}

// === impl Contents ===

impl Contents {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        let one = |setting: &str, file: &Path| {
            let read = input::open(file).and_then(|opened| input::read_secret(&opened, LARGEST));
            read.map_err(|source| TlsError::Read {
                setting: format!("{}.{setting}", settings.port),
                file: file.to_owned(),
                source,
            })
        };
        let client_ca = settings.client_ca.as_deref();
        Ok(Self {
            cert: one("tls_cert", &settings.cert)?,
            key: one("tls_key", &settings.key)?,
            client_ca: client_ca.map(|file| one("client_ca", file)).transpose()?,
            crl: settings.crl.as_deref().map(|file| one("crl", file)).transpose()?,
        })
    }

    /// A hash over all files. It includes the key, and does not reveal it.
    pub(super) fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        // An absent file differs from an empty one, and no two combinations of files hash alike.
        for part in [
            Some(&self.cert),
            Some(&self.key),
            self.client_ca.as_ref(),
            self.crl.as_ref(),
        ] {
            let Some(part) = part else {
                hasher.update(&u64::MAX.to_le_bytes());
                continue;
            };
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    /// The certificate with its intermediate CAs, and the time at which it expires.
    pub(super) fn chain(&self, settings: &TlsSettings) -> Result<(Vec<CertificateDer<'static>>, SystemTime), TlsError> {
        let refused = |reason: String| settings.content("tls_cert", &settings.cert, reason);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| refused(format!("it is not PEM: {error}")))?;
        let own = chain
            .first()
            .ok_or_else(|| refused("there is no certificate in it (PEM, BEGIN CERTIFICATE)".to_owned()))?;
        let not_after = validity(own).map_err(refused)?;
        Ok((chain, not_after))
    }

    /// The private key, ready to sign.
    pub(super) fn key(&self, settings: &TlsSettings) -> Result<Arc<dyn SigningKey>, TlsError> {
        signing_key(&self.key).map_err(|reason| settings.content("tls_key", &settings.key, reason))
    }

    /// The CAs of clients; `None` if clients are not asked for certificates.
    pub(super) fn authorities(&self, settings: &TlsSettings) -> Result<Option<RootCertStore>, TlsError> {
        let (Some(bytes), Some(file)) = (&self.client_ca, &settings.client_ca) else {
            return Ok(None);
        };
        if settings.client_auth == ClientAuth::None {
            return Ok(None);
        }
        let roots = authorities(bytes).map_err(|reason| settings.content("client_ca", file, reason))?;
        Ok(Some(roots))
    }

    /// The revocation lists, if the settings name any.
    pub(super) fn revoked(&self, settings: &TlsSettings) -> Result<Option<Lists>, TlsError> {
        let (Some(bytes), Some(file)) = (&self.crl, &settings.crl) else {
            return Ok(None);
        };
        let lists = Lists::read(bytes).map_err(|reason| settings.content("crl", file, reason))?;
        Ok(Some(lists))
    }
}
