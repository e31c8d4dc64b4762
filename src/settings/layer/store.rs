//! One layer of the settings of the store.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// How the data directory is kept.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreLayer {
    /// Seal what is kept in the data directory with the first key of this file; the others open what they sealed
    #[arg(
        id = "store_key_file",
        long = "store-key-file",
        env = "CHANCERY_STORE_KEY_FILE",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

// === impl StoreLayer ===

impl StoreLayer {
    pub(super) const fn is_empty(&self) -> bool {
        self.key_file.is_none()
    }

    pub(super) fn or(self, below: Self) -> Self {
        Self {
            key_file: self.key_file.or(below.key_file),
        }
    }
}
