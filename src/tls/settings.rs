//! The files that TLS of a port is made of, and why it cannot be.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

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
    /// Certificates of clients that were revoked: a list (CRL) of each of the CAs.
    pub crl: Option<PathBuf>,
    /// The certificate that is asked of clients.
    pub client_auth: ClientAuth,
}

/// The certificate that is asked of clients.
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

// === impl TlsSettings ===

impl TlsSettings {
    pub(super) fn content(&self, setting: &str, file: &Path, reason: impl fmt::Display) -> TlsError {
        TlsError::Content {
            setting: format!("{}.{setting}", self.port),
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}
