//! `chancery replace` and `chancery apply`: publish files as the whole snapshot of a group, or in addition to it.

use std::path::PathBuf;

use clap::Args;

use super::{
    connect::Clients,
    envoy::{AskEnvoy, Own},
    exit::{Exit, Failure},
    group::Group,
    input,
    output::Output,
    publish::Publish,
};
use crate::proto::admin::{PatchSnapshotRequest, PublishOptions, ReplaceSnapshotRequest};

/// The flags of both commands.
#[derive(Args, Debug)]
pub(super) struct PublishFiles {
    #[command(flatten)]
    group: Group,
    /// A file, a directory of files, or `-` for stdin; may be given more than once
    #[arg(short, long = "file", required = true, value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// `version_info` of the types that change, instead of the hash of their content
    #[arg(long, value_name = "VERSION")]
    version_info: Option<String>,
    #[command(flatten)]
    envoy: AskEnvoy,
    #[command(flatten)]
    publish: Publish,
}

impl PublishFiles {
    /// Publishes the files in place of the group's own resources, or in addition to them.
    pub(super) async fn run(self, own: Own, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let documents = input::read(&self.files)?;
        let group = self.group.group;
        self.envoy.before_publish(clients, &group, &documents, own).await?;
        let options = Some(PublishOptions {
            version_info: self.version_info.unwrap_or_default(),
            ..self.publish.options()
        });
        let resources = Vec::new();
        let mut snapshots = clients.snapshots().await?;
        let published = match own {
            Own::Replaced => {
                let request = ReplaceSnapshotRequest {
                    group,
                    documents,
                    resources,
                    options,
                };
                snapshots.replace_snapshot(request).await?
            }
            Own::Kept => {
                let request = PatchSnapshotRequest {
                    group,
                    documents,
                    resources,
                    delete: Vec::new(),
                    options,
                };
                snapshots.patch_snapshot(request).await?
            }
        };
        self.publish.finish(published.get_ref(), clients, output).await
    }
}
