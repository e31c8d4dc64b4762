//! `chancery rekey`: seals a data directory with the newest key of a key file, without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    output::{Format, Output},
    restore::{counts, value},
};
use crate::app::offline::{self, RekeyReport};

#[derive(Args, Debug)]
pub(super) struct Rekey {
    /// The data directory; no server may use it
    #[arg(long, env = "CHANCERY_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The key file: its first key seals, and every key that the store needs so far must be in it
    #[arg(long, env = "CHANCERY_STORE_KEY_FILE", value_name = "FILE")]
    key_file: PathBuf,
    /// Write the store without sealing it
    #[arg(long)]
    plain: bool,
}

// === impl Rekey ===

impl Rekey {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let report = offline::rekey(&self.data_dir, &self.key_file, self.plain)?;
        match output.format {
            Format::Table => output.text(&self.text(&report))?,
            Format::Json | Format::Yaml => {
                let mut fields = value(&report.store);
                fields["key"] = json!(report.key);
                fields["changed"] = json!(report.changed);
                let left: Vec<_> = report.left.iter().map(|path| path.display().to_string()).collect();
                fields["left"] = json!(left);
                output.value(&fields)?;
            }
        }
        Ok(Exit::Ok)
    }

    fn text(&self, report: &RekeyReport) -> String {
        let dir = self.data_dir.display();
        let state = report
            .key
            .as_ref()
            .map_or_else(|| "not sealed".to_owned(), |key| format!("sealed with the key {key}"));
        let mut text = if report.changed {
            format!(
                "{dir}: {state}: {}\nthe old file is deleted, not overwritten: its contents may still be found on the disk\n",
                counts(&report.store)
            )
        } else {
            format!("{dir}: {state} already, nothing changed: {}\n", counts(&report.store))
        };
        for left in &report.left {
            text.push_str(&format!("{} was left as it is\n", left.display()));
        }
        text
    }
}
