//! The settings of TLS on a port, and their errors.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The TLS files of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The prefix of the port's settings: `xds`, `admin` or `http`.
    pub port: &'static str,
    /// The certificate with its intermediate CAs (PEM).
    pub cert: PathBuf,
    /// The private key of the certificate (PEM).
    pub key: PathBuf,
    /// CAs of clients: PEM, or a SPIFFE trust bundle (JSON).
    pub client_ca: Option<PathBuf>,
    /// Revocation lists (CRL), one of each client CA.
    pub crl: Option<PathBuf>,
    /// The demand for client certificates.
    pub client_auth: ClientAuth,
}

/// The demand for client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A client must show a certificate that one of the CAs signed.
    Require,
    /// A client may show a certificate; one that it shows must be signed by one of the CAs.
    Request,
    /// Clients are not asked for a certificate.
    None,
}

/// TLS files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: {}: {source}", file.display())]
    Read {
        /// The setting that names the file.
        setting: String,
        /// The path of the file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The content of a file cannot be used.
    #[error("{setting}: {}: {reason}", file.display())]
    Content {
        /// The setting that names the file.
        setting: String,
        /// The path of the file.
        file: PathBuf,
        /// The reason.
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
