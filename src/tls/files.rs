//! The files of a port, read whole, and what is in them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::{ClientAuth, TlsError, TlsSettings, authorities::authorities, certificate::validity, revocation::Lists};

/// Bytes of one file: hundreds of certificates.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What the files held when they were read.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    crl: Option<Vec<u8>>,
}

// === impl Contents ===

impl Contents {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        let one = |setting: &str, file: &Path| {
            read(file).map_err(|source| TlsError::Read {
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

    /// Of all of it. The key is read by nobody through it.
    pub(super) fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        // One that is not there differs from one that is empty, and from another.
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

    /// The certificate with those between it and its CA, and when it expires.
    pub(super) fn chain(&self, settings: &TlsSettings) -> Result<(Vec<CertificateDer<'static>>, SystemTime), TlsError> {
        let refused = |reason: String| settings.content("tls_cert", &settings.cert, reason);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| refused(format!("it is no PEM: {error}")))?;
        let own = chain
            .first()
            .ok_or_else(|| refused("there is no certificate in it (PEM, BEGIN CERTIFICATE)".to_owned()))?;
        let not_after = validity(own).map_err(refused)?;
        Ok((chain, not_after))
    }

    pub(super) fn key(&self, settings: &TlsSettings) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            // The cause may quote what is in the file.
            settings.content(
                "tls_key",
                &settings.key,
                "there is no private key in it (PEM, BEGIN PRIVATE KEY)",
            )
        })
    }

    /// The CAs of clients; `None` where clients are not asked for certificates.
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

    /// The lists of revoked certificates, where there are any.
    pub(super) fn revoked(&self, settings: &TlsSettings) -> Result<Option<Lists>, TlsError> {
        let (Some(bytes), Some(file)) = (&self.crl, &settings.crl) else {
            return Ok(None);
        };
        let lists = Lists::read(bytes).map_err(|reason| settings.content("crl", file, reason))?;
        Ok(Some(lists))
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let opened = File::open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}

impl Drop for Contents {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}
