//! One layer of the settings of the shared group `*`.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::node::{GroupSet, Pattern};

/// How the shared group `*` is served.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharedLayer {
    /// Groups to which the group * is enough while they have no snapshot of their own, with * in the names, comma-separated
    #[arg(
        id = "shared_enough_for",
        long = "shared-enough-for",
        env = "CHANCERY_SHARED_ENOUGH_FOR",
        value_name = "GROUP,…",
        value_delimiter = ','
    )]
    pub enough_for: Option<Vec<String>>,
}

// === impl SharedLayer ===

impl SharedLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            enough_for: self.enough_for.or(below.enough_for),
        }
    }

    /// To no group: what else a node has is not known.
    pub(in crate::settings) fn default_values() -> Self {
        Self {
            enough_for: Some(Vec::new()),
        }
    }

    /// The groups that are meant.
    pub(in crate::settings) fn sufficed(&self) -> GroupSet {
        let patterns = self.enough_for.iter().flatten();
        patterns.map(|pattern| Pattern::from(pattern.as_str())).collect()
    }
}
