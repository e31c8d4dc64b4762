//! The connection to the admin API.

use std::{error::Error as _, time::Duration};

use tonic::transport::{Channel, Endpoint};

use super::exit::{Exit, Failure};
use crate::proto::admin::{
    node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    source_service_client::SourceServiceClient, store_service_client::StoreServiceClient,
};

/// A server that is there answers at once; one that is not should not hold a script.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where the admin API is.
#[derive(Debug)]
pub(super) struct Clients {
    url: String,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(url: &str) -> Self {
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        Self { url }
    }

    /// A client for snapshots. Replies have no limit: a snapshot is as large as its group.
    pub(super) async fn snapshots(&self) -> Result<SnapshotServiceClient<Channel>, Failure> {
        let client = SnapshotServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for nodes.
    pub(super) async fn nodes(&self) -> Result<NodeServiceClient<Channel>, Failure> {
        let client = NodeServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for sources.
    pub(super) async fn sources(&self) -> Result<SourceServiceClient<Channel>, Failure> {
        let client = SourceServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for the store.
    pub(super) async fn store(&self) -> Result<StoreServiceClient<Channel>, Failure> {
        Ok(StoreServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        if !self.url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "--admin {}: expected http://HOST:PORT",
                self.url
            )));
        }
        let endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(|error| Failure::usage(format!("--admin {}: {}", self.url, causes(&error))))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        endpoint.connect().await.map_err(|error| {
            Failure::new(
                Exit::Unavailable,
                format!(
                    "cannot reach the admin API at {}: {}; set it with --admin URL or CHANCERY_ADMIN",
                    self.url,
                    causes(&error)
                ),
            )
        })
    }
}

/// The innermost cause says what happened; the outer ones say "transport error".
fn causes(error: &tonic::transport::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
