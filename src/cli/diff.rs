//! `chancery diff`: what changes between two revisions, or between a revision and files. Exit 1 on a difference.

use std::path::PathBuf;

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::warn,
    input,
    output::{Format, Output, proto_json},
    publish::{Group, changes},
};
use crate::proto::admin::{Candidate, DiffSnapshotRequest, diff_snapshot_request::To};

#[derive(Args, Debug)]
pub(super) struct Diff {
    #[command(flatten)]
    group: Group,
    /// The revision to compare from; the current one where not given
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "REVISION")]
    from: u64,
    /// The revision to compare to
    #[arg(
        long,
        value_name = "REVISION",
        conflicts_with = "files",
        required_unless_present = "files"
    )]
    to: Option<u64>,
    /// The files to compare to, as `replace` would publish them
    #[arg(short, long = "file", value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
}

impl Diff {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let to = match self.to {
            Some(revision) => To::ToRevision(revision),
            None => To::ToCandidate(Candidate {
                documents: input::read(&self.files)?,
                resources: Vec::new(),
            }),
        };
        let request = DiffSnapshotRequest {
            group: self.group.group,
            from_revision: self.from,
            to: Some(to),
        };
        let diff = clients.snapshots().await?.diff_snapshot(request).await?.into_inner();
        warn(&diff.findings)?;
        match output.format {
            Format::Table => output.text(&changes(&diff.changes))?,
            Format::Json | Format::Yaml => output.value(&proto_json(&diff, "DiffSnapshotResponse"))?,
        }
        Ok(if diff.changes.is_empty() {
            Exit::Ok
        } else {
            Exit::Difference
        })
    }
}
