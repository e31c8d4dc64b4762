//! TLS of one port: its certificate, its key and the CAs of its clients, from files that are followed as they change.
//!
//! A set of files that does not fit together is never taken: the port goes on with what it had.

mod authorities;
mod certificate;
mod files;
mod key;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use serde::{Deserialize, Serialize};

pub use self::certificate::client_certificate;
use self::files::Contents;

/// The files of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The setting that all others are named after: `xds`, `admin` or `http`.
    pub port: &'static str,
    /// The certificate, and those between it and its CA (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// CAs of clients: PEM, or a SPIFFE trust bundle (JSON).
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show a certificate.
    pub client_auth: ClientAuth,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It must, and one of the CAs must have signed it.
    Require,
    /// It may; one that it shows must be signed by one of the CAs.
    Request,
    /// It is not asked for one.
    None,
}

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
    /// Of the files as they were read last, be they taken or not.
    read: blake3::Hash,
    not_after: SystemTime,
}

/// Files that no TLS can be made of.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: {}: {source}", file.display())]
    Read {
        /// The setting that names it.
        setting: String,
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{setting}: {}: {reason}", file.display())]
    Content {
        /// The setting that names it.
        setting: String,
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Files that changed and were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// When the certificate expires.
    pub not_after: SystemTime,
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

/// TLS 1.2 and 1.3 with the cipher suites of the provider, which has no weak ones.
fn build(settings: &TlsSettings, protocols: &[&str], contents: &Contents) -> Result<Current, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let (chain, not_after) = contents.chain(settings)?;
    let key = contents.key(settings)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| settings.content("tls_cert", &settings.cert, error))?;
    let authorities = contents.authorities(settings)?;
    let builder = match authorities {
        Some(roots) => builder.with_client_cert_verifier(verifier(settings, roots, &provider)?),
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
        read: contents.hash(),
        not_after,
    })
}

fn verifier(
    settings: &TlsSettings,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match settings.client_auth {
        ClientAuth::Require => builder,
        ClientAuth::Request | ClientAuth::None => builder.allow_unauthenticated(),
    };
    let file = settings.client_ca.as_ref().unwrap_or(&settings.cert);
    builder
        .build()
        .map_err(|error| settings.content("client_ca", file, error))
}

impl TlsSettings {
    fn content(&self, setting: &str, file: &std::path::Path, reason: impl fmt::Display) -> TlsError {
        TlsError::Content {
            setting: format!("{}.{setting}", self.port),
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
