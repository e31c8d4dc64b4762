//! `chancery delete-snapshot`: deletes a group's snapshot. Its nodes keep what they have; new nodes are met with silence.

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    group::Group,
    output::{Format, Output, escape, proto_json},
};
use crate::proto::admin::DeleteSnapshotRequest;

#[derive(Args, Debug)]
pub(super) struct DeleteSnapshot {
    #[command(flatten)]
    group: Group,
    /// Confirm that the whole snapshot is deleted
    #[arg(long)]
    yes: bool,
    /// Refuse unless the group is at this revision
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<u64>,
}

impl DeleteSnapshot {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let group = self.group.group;
        if !self.yes {
            return Err(Failure::usage(format!(
                "this deletes every resource of group \"{}\": confirm with --yes",
                escape(&group)
            )));
        }
        let request = DeleteSnapshotRequest {
            group: group.clone(),
            expected_revision: self.expected_revision,
        };
        let deleted = clients.snapshots().await?.delete_snapshot(request).await?.into_inner();
        match output.format {
            Format::Table => output.text(&format!(
                "{}: deleted, was revision {}\n",
                escape(&group),
                deleted.revision
            ))?,
            Format::Json | Format::Yaml => output.value(&proto_json(&deleted, "DeleteSnapshotResponse"))?,
        }
        Ok(Exit::Ok)
    }
}
