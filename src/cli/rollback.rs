//! `chancery rollback`: publishes the content of an earlier revision again, as a new revision.

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    group::Group,
    output::Output,
    publish::Publish,
};
use crate::proto::admin::RollbackSnapshotRequest;

#[derive(Args, Debug)]
pub(super) struct Rollback {
    #[command(flatten)]
    group: Group,
    /// The revision whose content to publish; see `chancery history`
    #[arg(long, value_name = "REVISION")]
    to: u64,
    #[command(flatten)]
    publish: Publish,
}

impl Rollback {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let request = RollbackSnapshotRequest {
            group: self.group.group,
            to_revision: self.to,
            options: Some(self.publish.options()),
        };
        let published = clients
            .snapshots()
            .await?
            .rollback_snapshot(request)
            .await?
            .into_inner();
        self.publish.finish(&published, clients, output).await
    }
}
