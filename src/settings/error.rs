//! Invalid settings: each error names the setting and the rule.

use std::{fmt, io, net::SocketAddr, path::PathBuf};

use crate::{access::RuleError as AccessError, node::RuleError, resource::UnknownType};

/// The reason why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The config file cannot be read.
    #[error("config file {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The config file has a mistake.
    #[error("{spot}: {message}")]
    Parse {
        /// The place.
        spot: Spot,
        /// The mistake.
        message: String,
    },
    /// Both stores are chosen.
    #[error("data_dir and ephemeral exclude each other")]
    TwoStores,
    /// There is a key file and no store to seal.
    #[error(
        "store.key_file seals a data directory, and nothing is kept in one: set data_dir, or leave the key file out"
    )]
    NothingToSeal,
    /// A setting names an unknown type.
    #[error("protocol settings: {0}")]
    Type(#[from] UnknownType),
    /// A resource on demand has no type.
    #[error("protocol.on_demand: {0:?} is not of the form TYPE:NAME, as in cluster:tenant-*")]
    OnDemand(String),
    /// A grouping rule can never name a group.
    #[error(transparent)]
    Groups(#[from] RuleError),
    /// A rule for identities cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A value is out of its range.
    #[error("{key} must be {rule}")]
    Range {
        /// The setting.
        key: &'static str,
        /// The range of its values.
        rule: &'static str,
    },
    /// The TLS settings of a port are incomplete.
    #[error("{port}.{has} needs {port}.{lacks}: set both, or neither")]
    TlsIncomplete {
        /// The port.
        port: &'static str,
        /// The key that is set.
        has: String,
        /// The key that is missing.
        lacks: String,
    },
    /// A port that others can reach has no TLS.
    #[error(
        "{port}_addr {addr} can be reached from other machines, and {port} has no TLS: set {port}.tls_cert and \
         {port}.tls_key, listen on 127.0.0.1, or allow it with --insecure {port}"
    )]
    Insecure {
        /// The port.
        port: &'static str,
        /// The address of the port.
        addr: SocketAddr,
    },
    /// The log filter is malformed.
    #[error("log level {filter:?}: {reason}")]
    LogLevel {
        /// The filter as given.
        filter: String,
        /// The mistake.
        reason: String,
    },
}

/// The place of a mistake: the file, line, column and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub(super) file: PathBuf,
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) key: String,
}

// === impl Spot ===

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}
