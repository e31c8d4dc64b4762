//! The connection to the admin API.

use std::{error::Error as _, fs, net::IpAddr, path::Path, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};

use super::exit::{Exit, Failure};
use crate::proto::admin::{
    node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    source_service_client::SourceServiceClient, store_service_client::StoreServiceClient,
};

/// A server that is there answers at once; one that is not should not hold a script.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A connection on which every call shows who makes it.
type Shown = InterceptedService<Channel, Bearer>;

/// Where the admin API is, and who calls it.
#[derive(Debug)]
pub(super) struct Clients {
    url: String,
    bearer: Bearer,
}

/// What is shown with every call; nothing without a token.
#[derive(Clone, Debug, Default)]
pub(super) struct Bearer {
    /// Marked as sensitive: it is never shown.
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, Failure> {
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let bearer = token_file.map(Bearer::read).transpose()?.unwrap_or_default();
        if bearer.authorization.is_some() && !is_private(&url) {
            return Err(Failure::usage(format!(
                "--token-file: a token is not sent to {url} in the clear: use https://, or a loopback address"
            )));
        }
        Ok(Self { url, bearer })
    }

    /// A client for snapshots. Replies have no limit: a snapshot is as large as its group.
    pub(super) async fn snapshots(&self) -> Result<SnapshotServiceClient<Shown>, Failure> {
        let client = SnapshotServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for nodes.
    pub(super) async fn nodes(&self) -> Result<NodeServiceClient<Shown>, Failure> {
        let client = NodeServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for sources.
    pub(super) async fn sources(&self) -> Result<SourceServiceClient<Shown>, Failure> {
        let client = SourceServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for the store.
    pub(super) async fn store(&self) -> Result<StoreServiceClient<Shown>, Failure> {
        Ok(StoreServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Shown, Failure> {
        Ok(InterceptedService::new(self.connect().await?, self.bearer.clone()))
    }

    async fn connect(&self) -> Result<Channel, Failure> {
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

/// Whether nobody between here and there can read what is sent.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    uri.scheme_str() == Some("https") || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

// === impl Bearer ===

impl Bearer {
    fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: String| Failure::usage(format!("--token-file {}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let value = format!("Bearer {}", text.trim());
        let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| failed("it holds no token".to_owned()))?;
        if text.trim().is_empty() {
            return Err(failed("it is empty".to_owned()));
        }
        value.set_sensitive(true);
        Ok(Self {
            authorization: Some(value),
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
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
