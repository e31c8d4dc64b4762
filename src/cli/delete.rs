//! `chancery delete`: deletes resources of one type; if one is missing, nothing is deleted.

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    group::Group,
    output::Output,
    publish::Publish,
};
use crate::{
    proto::admin::{PatchSnapshotRequest, ResourceKey},
    resource::ResourceType,
};

#[derive(Args, Debug)]
pub(super) struct Delete {
    #[command(flatten)]
    group: Group,
    /// cluster, listener, route, endpoint, secret, … (or cds, lds, …), or a type URL
    #[arg(value_name = "TYPE")]
    resource_type: ResourceType,
    /// The names of the resources
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    publish: Publish,
}

impl Delete {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let key = |name| ResourceKey {
            r#type: self.resource_type.type_url().to_owned(),
            name,
        };
        let request = PatchSnapshotRequest {
            group: self.group.group,
            documents: Vec::new(),
            resources: Vec::new(),
            delete: self.names.into_iter().map(key).collect(),
            options: Some(self.publish.options()),
        };
        let published = clients.snapshots().await?.patch_snapshot(request).await?.into_inner();
        self.publish.finish(&published, clients, output).await
    }
}
