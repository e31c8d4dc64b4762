//! One layer of the settings of the audit log.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{audit::AuditSettings, settings::value::ByteSize};

/// Where it is written who did what.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditLayer {
    /// Write who did what, and who was refused, to this file; - for standard output
    #[arg(
        id = "audit_file",
        long = "audit-file",
        env = "CHANCERY_AUDIT_FILE",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Bytes of the audit log's file before the next one is begun
    #[arg(
        id = "audit_max_bytes",
        long = "audit-max-bytes",
        env = "CHANCERY_AUDIT_MAX_BYTES",
        value_name = "SIZE"
    )]
    pub max_bytes: Option<ByteSize>,
    /// Earlier files of the audit log that are kept
    #[arg(
        id = "audit_keep",
        long = "audit-keep",
        env = "CHANCERY_AUDIT_KEEP",
        value_name = "COUNT"
    )]
    pub keep: Option<NonZeroUsize>,
}

// === impl AuditLayer ===

impl AuditLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            file: self.file.or(below.file),
            max_bytes: self.max_bytes.or(below.max_bytes),
            keep: self.keep.or(below.keep),
        }
    }

    pub(in crate::settings) fn of(settings: &AuditSettings) -> Self {
        Self {
            file: settings.file.clone(),
            max_bytes: Some(ByteSize(usize::try_from(settings.max_bytes).unwrap_or(usize::MAX))),
            keep: Some(settings.keep),
        }
    }

    pub(in crate::settings) fn settings(&self) -> AuditSettings {
        let defaults = AuditSettings::default();
        AuditSettings {
            file: self.file.clone(),
            max_bytes: self.max_bytes.map_or(defaults.max_bytes, |size| size.0 as u64),
            keep: self.keep.unwrap_or(defaults.keep),
        }
    }
}
