//! `chancery restore` makes the store of a data directory from a backup; `chancery verify` checks a whole store or backup. Both
//! work without a server, with the key file if the store is sealed.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    output::{Format, Output, count},
};
use crate::app::offline::{self, OfflineError, StoreReport};

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// The file that `chancery backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The data directory to restore to; no server may use it
    #[arg(long, env = "CHANCERY_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// Restore even if the directory is not empty; a store in it is kept under another name
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A data directory that no server uses, or a file that `chancery backup` wrote
    #[arg(value_name = "DIR|BACKUP")]
    path: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

/// The keys of a sealed store.
#[derive(Args, Debug)]
struct Keys {
    /// The key file of the store, if it is sealed
    #[arg(long, env = "CHANCERY_STORE_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

// === impl Restore ===

impl Restore {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let report = offline::restore(&self.backup, &self.data_dir, self.keys.key_file.as_deref(), self.force)?;
        match output.format {
            Format::Table => {
                let mut text = format!(
                    "restored to {}: {}\nnew revisions are numbered from {} on: numbers used since the backup are not used again\n",
                    self.data_dir.display(),
                    counts(&report),
                    report.last_revision + 1
                );
                if let Some(replaced) = &report.replaced {
                    text.push_str(&format!("the store that was there is now {}\n", replaced.display()));
                }
                output.text(&text)?;
            }
            Format::Json | Format::Yaml => output.value(&value(&report))?,
        }
        Ok(Exit::Ok)
    }
}

// === impl Verify ===

impl Verify {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let report = offline::verify(&self.path, self.keys.key_file.as_deref())?;
        match output.format {
            Format::Table => output.text(&format!("{}: sound: {}\n", self.path.display(), counts(&report)))?,
            Format::Json | Format::Yaml => output.value(&value(&report))?,
        }
        Ok(Exit::Ok)
    }
}

pub(super) fn counts(report: &StoreReport) -> String {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    format!(
        "{}, {}, {}",
        count(number(report.groups), "group"),
        count(number(report.revisions), "revision"),
        count(number(report.resources), "stored resource")
    )
}

pub(super) fn value(report: &StoreReport) -> Value {
    json!({
        "groups": report.groups,
        "revisions": report.revisions,
        "resources": report.resources,
        "idempotency_keys": report.receipts,
        "last_revision": report.last_revision,
        "replaced": report.replaced.as_ref().map(|path| path.display().to_string()),
    })
}

impl From<OfflineError> for Failure {
    fn from(error: OfflineError) -> Self {
        let exit = match &error {
            OfflineError::Refused(_) => Exit::Refused,
            OfflineError::Unavailable(_) => Exit::Unavailable,
            OfflineError::NotFound(_) => Exit::NotFound,
        };
        Self::new(exit, error.to_string())
    }
}
