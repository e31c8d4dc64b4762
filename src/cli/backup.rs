//! `chancery backup`: saves the store of a running server to one file.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    output::{Format, Output},
    private,
};
use crate::proto::admin::BackupRequest;

#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The file to write, or `-` for stdout; an existing file is not overwritten
    #[arg(long, value_name = "FILE|-")]
    out: PathBuf,
}

// === impl Backup ===

impl Backup {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let out = &self.out;
        if out.as_os_str() == "-" {
            receive(clients, &mut io::stdout().lock()).await?;
            return Ok(Exit::Ok);
        }
        if out.exists() {
            return Err(Failure::usage(format!(
                "{}: it is there already, and a backup overwrites nothing",
                out.display()
            )));
        }
        // Written under another name first: the path has a complete backup, or none.
        let mut name = out.clone().into_os_string();
        name.push(".partial");
        let aside = PathBuf::from(name);
        let bytes = save(clients, &aside, out).await.inspect_err(|_| {
            fs::remove_file(&aside).ok();
        })?;
        match output.format {
            Format::Table => output.text(&format!("backed up to {}: {bytes} bytes\n", out.display()))?,
            Format::Json | Format::Yaml => {
                output.value(&json!({ "file": out.display().to_string(), "bytes": bytes }))?
            }
        }
        Ok(Exit::Ok)
    }
}

/// Writes the backup to the disk under another name, and renames it.
async fn save(clients: &Clients, aside: &Path, out: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Unavailable, format!("{}: {error}", out.display()));
    // A backup holds private keys.
    let mut file = private::create_aside(aside, private::MODE).map_err(failed)?;
    let bytes = receive(clients, &mut file).await?;
    file.sync_all().map_err(failed)?;
    fs::rename(aside, out).map_err(failed)?;
    Ok(bytes)
}

/// Writes the chunks of the server; returns their length.
async fn receive(clients: &Clients, to: &mut impl Write) -> Result<u64, Failure> {
    let mut stream = clients.store().await?.backup(BackupRequest {}).await?.into_inner();
    let mut bytes = 0;
    while let Some(chunk) = stream.message().await? {
        to.write_all(&chunk.data)?;
        bytes += chunk.data.len() as u64;
    }
    to.flush()?;
    Ok(bytes)
}
