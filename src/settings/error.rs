//! Settings that cannot be run with: each error names the setting and the rule.

use std::{fmt, io, net::SocketAddr, path::PathBuf};

use crate::{access::RuleError as AccessError, node::RuleError, resource::UnknownType};

/// Settings that cannot be run with.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The config file cannot be read.
    #[error("config file {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The config file says something we do not understand.
    #[error("{spot}: {message}")]
    Parse {
        /// The place.
        spot: Spot,
        /// The mistake.
        message: String,
    },
    /// Both stores were chosen.
    #[error("data_dir and ephemeral exclude each other")]
    TwoStores,
    /// Keys, and nothing to seal with them.
    #[error(
        "store.key_file seals a data directory, and nothing is kept in one: set data_dir, or leave the key file out"
    )]
    NothingToSeal,
    /// A setting names a type that is none.
    #[error("protocol settings: {0}")]
    Type(#[from] UnknownType),
    /// A name on demand without its type.
    #[error("protocol.on_demand: {0:?} is not of the form TYPE:NAME, as in cluster:tenant-*")]
    OnDemand(String),
    /// A grouping rule that can never name a group.
    #[error(transparent)]
    Groups(#[from] RuleError),
    /// A rule over who may do what cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A value that is out of its range.
    #[error("{key} must be {rule}")]
    Range {
        /// The setting.
        key: &'static str,
        /// The range of its values.
        rule: &'static str,
    },
    /// TLS of a port lacks a part.
    #[error("{port}.{has} needs {port}.{lacks}: set both, or neither")]
    TlsIncomplete {
        /// The port.
        port: &'static str,
        /// The key that is set.
        has: String,
        /// The key that is not.
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
        /// Its address.
        addr: SocketAddr,
    },
    /// The log filter is malformed.
    #[error("log level {filter:?}: {reason}")]
    LogLevel {
        /// As given.
        filter: String,
        /// The mistake.
        reason: String,
    },
}

/// The place of a mistake: in which file, at which line, column and key.
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
