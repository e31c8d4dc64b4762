//! `chancery apply`: adds and updates resources; what the files do not name stays.

use std::path::PathBuf;

use clap::Args;

use super::{
    connect::Clients,
    envoy::{AskEnvoy, Own},
    exit::{Exit, Failure},
    input,
    output::Output,
    publish::{Group, Publish},
};
use crate::proto::admin::{PatchSnapshotRequest, PublishOptions};

#[derive(Args, Debug)]
pub(super) struct Apply {
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

impl Apply {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let documents = input::read(&self.files)?;
        self.envoy
            .before_publish(clients, &self.group.group, &documents, Own::Kept)
            .await?;
        let request = PatchSnapshotRequest {
            group: self.group.group,
            documents,
            resources: Vec::new(),
            delete: Vec::new(),
            options: Some(PublishOptions {
                version_info: self.version_info.unwrap_or_default(),
                ..self.publish.options()
            }),
        };
        let published = clients.snapshots().await?.patch_snapshot(request).await?.into_inner();
        self.publish.finish(&published, clients, output).await
    }
}
