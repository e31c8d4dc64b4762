//! Publishes within a millisecond, by the admin API on a kept connection.

use chancery::proto::admin::{
    Document, PublishOptions, ReplaceSnapshotRequest, document::Format, snapshot_service_client::SnapshotServiceClient,
};
use tonic::transport::{Channel, Endpoint};

use super::{Config, Control, GROUP, RUNTIME};

#[derive(Clone)]
pub(crate) struct Publisher {
    snapshots: SnapshotServiceClient<Channel>,
}

impl Publisher {
    pub(crate) fn to(control: &Control) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", control.admin)).unwrap();
        let channel = RUNTIME.block_on(endpoint.connect()).unwrap();
        Self {
            snapshots: SnapshotServiceClient::new(channel),
        }
    }

    #[track_caller]
    pub(crate) fn publish(&self, config: &Config) {
        self.publish_to(GROUP, config);
    }

    #[track_caller]
    pub(crate) fn publish_to(&self, group: &str, config: &Config) {
        let document = Document {
            name: "config.json".to_owned(),
            content: config.to_string().into_bytes(),
            format: Format::Json.into(),
        };
        let request = ReplaceSnapshotRequest {
            group: group.to_owned(),
            documents: vec![document],
            options: Some(PublishOptions {
                allow_removals: true,
                ..PublishOptions::default()
            }),
            ..ReplaceSnapshotRequest::default()
        };
        RUNTIME
            .block_on(self.snapshots.clone().replace_snapshot(request))
            .unwrap();
    }
}
