//! `chancery backup`: everything that the server keeps, as one file, while it runs.

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
    /// The file to write, or `-` for stdout; one that is there is not overwritten
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
        // Written aside: under its name there is a whole backup or none.
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

/// Writes the backup aside, to the disk, and gives it its name.
async fn save(clients: &Clients, aside: &Path, out: &Path) -> Result<u64, Failure> {
    let told = |error: io::Error| Failure::new(Exit::Unavailable, format!("{}: {error}", out.display()));
    // It holds private keys.
    let mut file = private::create_aside(aside, private::MODE).map_err(told)?;
    let bytes = receive(clients, &mut file).await?;
    file.sync_all().map_err(told)?;
    fs::rename(aside, out).map_err(told)?;
    Ok(bytes)
}

/// Writes what the server sends, and gives its length.
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
