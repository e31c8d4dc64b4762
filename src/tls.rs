//! TLS of one port: its certificate, its key and the CAs of its clients, from files that are followed as they change.
//!
//! A set of files that does not fit together is never taken: the port goes on with what it had.

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

/// TLS of a port, as its files said it last. Clones are one and the same.
#[derive(Clone)]
pub struct Tls {
    settings: TlsSettings,
    /// The protocols that are spoken inside, as ALPN names them.
    protocols: &'static [&'static str],
    current: Arc<RwLock<Current>>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// Of the certificates of clients; `None` where they are not asked for any.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Of the files as they were read last, be they taken or not.
    read: blake3::Hash,
    not_after: SystemTime,
    next_update: Option<SystemTime>,
}

/// Why the certificate of a client is no longer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It has expired.
    Expired,
    /// Its CA revoked it, or one between it and its CA.
    Revoked,
    /// None of the CAs of now signed it, or none says whether it was revoked.
    Untrusted,
}

/// Files that changed and were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// When the certificate expires.
    pub not_after: SystemTime,
    /// When the first of the lists of revoked certificates is to be replaced; `None` where there are none, or none says.
    pub next_update: Option<SystemTime>,
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] naming the setting, the file and what is wrong with it.
    pub fn load(settings: TlsSettings, protocols: &'static [&'static str]) -> Result<Self, TlsError> {
        let contents = Contents::read(&settings)?;
        let current = build(&settings, protocols, &contents)?;
        Ok(Self {
            settings,
            protocols,
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// What connections are accepted with from now on.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// When the certificate expires.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.current.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// When the first of the lists of revoked certificates is to be replaced. One that was not is used on.
    #[must_use]
    pub fn next_update(&self) -> Option<SystemTime> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).next_update
    }

    /// Verifies the certificate of a client again, with those between it and its CA, by the files as they are now.
    ///
    /// # Errors
    ///
    /// Why it would not be let in any more.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Withdrawn> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(verifier), Some((own, between))) = (current.verifier.clone(), chain.split_first()) else {
            return Ok(());
        };
        drop(current);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match verifier.verify_client_cert(own, between, UnixTime::since_unix_epoch(now)) {
            Ok(_) => Ok(()),
            // It was good once: the clock was set back.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Ok(()),
            Err(error) => Err(Withdrawn::of(&error)),
        }
    }

    /// Looks at the files again: `None` where they are as they were. Reads them whole, so that every way to exchange a file
    /// is seen: a rename, a symlink that is swapped, a write in place. Connections that are open stay as they are.
    ///
    /// # Errors
    ///
    /// [`TlsError`] once where the files changed into something that does not fit together; what was there before is used on.
    pub fn refresh(&self) -> Result<Option<Renewed>, TlsError> {
        let contents = Contents::read(&self.settings)?;
        let read = contents.hash();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).read == read {
            return Ok(None);
        }
        let built = build(&self.settings, self.protocols, &contents);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Told once, and not at every look.
        current.read = read;
        *current = built?;
        Ok(Some(Renewed {
            not_after: current.not_after,
            next_update: current.next_update,
        }))
    }

    /// The settings it was made of.
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
        // A session that is resumed brings the certificate of its first handshake, which nobody verifies again.
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
    // A certificate of which no list says whether it was revoked is refused, one between a client's and its CA as well. A list
    // that is older than it says it may be is used on: nodes without a control plane would be worse.
    let builder = builder.with_crls(lists.iter().flat_map(|lists| lists.encoded.iter().cloned()));
    builder.build().map_err(|error| match (&error, &settings.crl) {
        (VerifierBuilderError::InvalidCrl(_), Some(crl)) => settings.content("crl", crl, error),
        _ => settings.content("client_ca", file, error),
    })
}

#[cfg(test)]
mod tests;
