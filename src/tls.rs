//! TLS of one port: the certificate, its key and the client CAs, from files that are read again when they change.
//!
//! Files that do not fit together are never used: the port continues with the previous ones.

mod authorities;
mod certificate;
mod files;
mod key;
mod revocation;
mod settings;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

pub use self::{
    certificate::client_certificate,
    settings::{ClientAuth, TlsError, TlsSettings},
};
use self::{files::Contents, revocation::Lists};

/// TLS of a port, from the last files that fit together. Clones share their state.
#[derive(Clone)]
pub struct Tls {
    settings: TlsSettings,
    /// The ALPN names of the protocols that the port serves.
    protocols: &'static [&'static str],
    current: Arc<RwLock<Current>>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// Verifies client certificates; `None` if clients are not asked for one.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// The hash of the files that were read last, whether they were used or not.
    read: blake3::Hash,
    not_after: SystemTime,
    next_update: Option<SystemTime>,
}

/// The reason why a client certificate is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// The certificate has expired.
    Expired,
    /// The certificate or one of its intermediate CAs was revoked.
    Revoked,
    /// No current CA signed the certificate, or no revocation list covers it.
    Untrusted,
}

/// The result of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The time at which the certificate expires.
    pub not_after: SystemTime,
    /// The earliest `nextUpdate` of the revocation lists; `None` without lists, or if none has one.
    pub next_update: Option<SystemTime>,
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with the setting, the file and the reason.
    pub fn load(settings: TlsSettings, protocols: &'static [&'static str]) -> Result<Self, TlsError> {
        let contents = Contents::read(&settings)?;
        let current = build(&settings, protocols, &contents)?;
        Ok(Self {
            settings,
            protocols,
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// The configuration for new connections.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// The time at which the certificate expires.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.current.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// The earliest `nextUpdate` of the revocation lists. A list stays in use after that time.
    #[must_use]
    pub fn next_update(&self) -> Option<SystemTime> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).next_update
    }

    /// Verifies a client certificate and its intermediate CAs again, with the current files.
    ///
    /// # Errors
    ///
    /// [`Withdrawn`] with the reason why the certificate is no longer valid.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Withdrawn> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(verifier), Some((own, between))) = (current.verifier.clone(), chain.split_first()) else {
            return Ok(());
        };
        drop(current);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match verifier.verify_client_cert(own, between, UnixTime::since_unix_epoch(now)) {
            Ok(_) => Ok(()),
            // The certificate was valid before: the clock was set back.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Ok(()),
            Err(error) => Err(Withdrawn::of(&error)),
        }
    }

    /// Reads the files again; returns `None` if they are unchanged. The files are read whole, so that every kind of
    /// change is seen: a rename, a swapped symlink, a write in place. Open connections stay as they are.
    ///
    /// # Errors
    ///
    /// [`TlsError`], once per change, if the new files do not fit together; the previous ones stay in use.
    pub fn refresh(&self) -> Result<Option<Renewed>, TlsError> {
        let contents = Contents::read(&self.settings)?;
        let read = contents.hash();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).read == read {
            return Ok(None);
        }
        let built = build(&self.settings, self.protocols, &contents);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // The error is returned once, not at every refresh.
        current.read = read;
        *current = built?;
        Ok(Some(Renewed {
            not_after: current.not_after,
            next_update: current.next_update,
        }))
    }

    /// The settings of this port.
    #[must_use]
    pub const fn settings(&self) -> &TlsSettings {
        &self.settings
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

// === impl Withdrawn ===

impl Withdrawn {
    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Self::Expired
            }
            Error::InvalidCertificate(CertificateError::Revoked) => Self::Revoked,
            _ => Self::Untrusted,
        }
    }
}

/// TLS 1.2 and 1.3 with the cipher suites of the provider, which has no weak ones.
fn build(settings: &TlsSettings, protocols: &[&str], contents: &Contents) -> Result<Current, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let (chain, not_after) = contents.chain(settings)?;
    let key = contents.key(settings)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| settings.content("tls_cert", &settings.cert, error))?;
    let lists = contents.revoked(settings)?;
    let verifier = match contents.authorities(settings)? {
        Some(roots) => Some(verifier(settings, roots, lists.as_ref(), &provider)?),
        None => None,
    };
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => {
            let reason = format!("it does not fit the certificate: {error}");
            return Err(settings.content("tls_key", &settings.key, reason));
        }
    }
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    if settings.client_auth != ClientAuth::None {
        // Sessions are not resumed: a resumed one brings the certificate of its first handshake, unverified.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Current {
        config: Arc::new(config),
        verifier,
        read: contents.hash(),
        not_after,
        next_update: lists.and_then(|lists| lists.next_update),
    })
}

fn verifier(
    settings: &TlsSettings,
    roots: RootCertStore,
    lists: Option<&Lists>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let file = settings.client_ca.as_ref().unwrap_or(&settings.cert);
    if let (Some(lists), Some(crl)) = (lists, &settings.crl) {
        lists
            .cover(&roots)
            .map_err(|reason| settings.content("crl", crl, reason))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match settings.client_auth {
        ClientAuth::Require => builder,
        ClientAuth::Request | ClientAuth::None => builder.allow_unauthenticated(),
    };
    // A certificate, or an intermediate CA, that no list covers is refused. A list stays in use after its `nextUpdate`:
    // nodes without a control plane would be worse.
    let builder = builder.with_crls(lists.iter().flat_map(|lists| lists.encoded.iter().cloned()));
    builder.build().map_err(|error| match (&error, &settings.crl) {
        (VerifierBuilderError::InvalidCrl(_), Some(crl)) => settings.content("crl", crl, error),
        _ => settings.content("client_ca", file, error),
    })
}

#[cfg(test)]
mod tests;
