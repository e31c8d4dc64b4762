//! `chancery audit verify`: checks the hash chain of an audit log through all of its files, without a server.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    output::{Format, Output},
};
use crate::audit::{self, Chain};

#[derive(Args, Debug)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Check that no record of an audit log was changed or removed
    Verify(Verify),
}

#[derive(Args, Debug)]
struct Verify {
    /// The current file of the log; rotated files are found beside it
    file: PathBuf,
}

// === impl Audit ===

impl Audit {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let Command::Verify(verify) = self.command;
        verify.run(output)
    }
}

// === impl Verify ===

impl Verify {
    fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            let exit = match error.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Unavailable,
            };
            Failure::new(exit, format!("{}: {error}", path.display()))
        };
        let files = audit::files(&self.file).map_err(|error| failed(&self.file, error))?;
        let mut chain: Option<Chain> = None;
        let mut records = 0_u64;
        for path in &files {
            let file = File::open(path).map_err(|error| failed(path, error))?;
            for (index, line) in BufReader::new(file).lines().enumerate() {
                let line = line.map_err(|error| failed(path, error))?;
                let next = audit::verify(chain.take(), [line.as_str()]);
                chain = next.map_err(|broken| {
                    let place = format!("{}:{}", path.display(), index + 1);
                    Failure::refused(format!("{place}: {}", broken.what()))
                })?;
                records += 1;
            }
        }
        let last = chain.map_or(0, |chain| chain.number());
        match output.format {
            Format::Table => output.text(&format!(
                "{}: whole: {records} records in {} files, the last one is number {last}\n",
                self.file.display(),
                files.len()
            ))?,
            Format::Json | Format::Yaml => {
                output.value(&json!({ "records": records, "files": files.len(), "last": last }))?;
            }
        }
        Ok(Exit::Ok)
    }
}
