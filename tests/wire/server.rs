//! A control plane in this process, on free ports.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use chancery::{
    app::{App, Running},
    proto::admin::{
        DeleteSnapshotRequest, Document, ListNodesRequest, NodeStatus, PublishOptions, ReplaceSnapshotRequest,
        ServerHealth, TypeStatus, node_service_client::NodeServiceClient,
        snapshot_service_client::SnapshotServiceClient,
    },
    resource::ResourceType,
    settings::{Layer, Settings},
};
use tonic::transport::{Channel, Endpoint};

use crate::config::Config;

/// Long enough for a loaded machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The group of every node unless a test names another.
pub(crate) const GROUP: &str = "demo";

pub(crate) struct Server {
    running: Running,
    admin: Channel,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Layer::default()).await
    }

    pub(crate) async fn with(layer: Layer) -> Self {
        let free = "127.0.0.1:0".parse().ok();
        let settings = Settings::resolve(layer.or(Layer {
            xds_addr: free,
            admin_addr: free,
            http_addr: free,
            ephemeral: Some(true),
            ..Layer::default()
        }));
        let running = App::start(settings.unwrap()).await.unwrap();
        let admin = connect(running.addresses.admin).await;
        Self { running, admin }
    }

    /// A server with this configuration.
    pub(crate) async fn serving(config: &Config) -> Self {
        let server = Self::start().await;
        server.publish(config).await;
        server
    }

    pub(crate) fn xds(&self) -> SocketAddr {
        self.running.addresses.xds
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.running.addresses.admin
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.addresses.http
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Channel {
        connect(self.xds()).await
    }

    pub(crate) async fn publish(&self, config: &Config) {
        self.publish_to(GROUP, config).await;
    }

    pub(crate) async fn publish_to(&self, group: &str, config: &Config) {
        let request = ReplaceSnapshotRequest {
            group: group.to_owned(),
            documents: vec![Document {
                name: "config.yaml".to_owned(),
                content: config.to_yaml().into_bytes(),
                ..Document::default()
            }],
            options: Some(PublishOptions {
                allow_removals: true,
                ..PublishOptions::default()
            }),
            ..ReplaceSnapshotRequest::default()
        };
        let mut client = SnapshotServiceClient::new(self.admin.clone());
        client.replace_snapshot(request).await.unwrap();
    }

    /// Deletes the group's snapshot.
    pub(crate) async fn delete(&self, group: &str) {
        let request = DeleteSnapshotRequest {
            group: group.to_owned(),
            expected_revision: None,
        };
        let mut client = SnapshotServiceClient::new(self.admin.clone());
        client.delete_snapshot(request).await.unwrap();
    }

    pub(crate) async fn nodes(&self) -> Vec<NodeStatus> {
        let mut client = NodeServiceClient::new(self.admin.clone());
        let nodes = client.list_nodes(ListNodesRequest::default()).await;
        nodes.unwrap().into_inner().nodes
    }

    /// The fleet's record of one node's type.
    pub(crate) async fn status(&self, node: &str, kind: &ResourceType) -> TypeStatus {
        let nodes = self.nodes().await;
        let node = nodes
            .into_iter()
            .find(|status| status.id == node)
            .expect("a known node");
        let mut rows = node.types.into_iter();
        rows.find(|row| row.type_url == kind.type_url())
            .expect("a row of the type")
    }

    /// Waits until the fleet's record of one node's type satisfies the condition.
    pub(crate) async fn await_status(&self, node: &str, kind: &ResourceType, holds: impl Fn(&TypeStatus) -> bool) {
        self.eventually("the status is as expected", async || {
            holds(&self.status(node, kind).await)
        })
        .await;
    }

    /// Every series of `/metrics`.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/metrics", self.running.addresses.http);
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.filter_map(|line| line.rsplit_once(' '));
        series
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    /// Status and body of a path of the HTTP port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}{path}", self.http());
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Posts a JSON body, and returns status and body of the response.
    pub(crate) async fn post(&self, path: &str, body: &'static str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("http://{}{path}", self.http())).body(body);
        let response = request.header("content-type", "application/json").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Waits until `/readyz` has this status.
    pub(crate) async fn await_ready(&self, status: u16) {
        self.eventually(&format!("/readyz is {status}"), async || {
            self.get("/readyz").await.0 == status
        })
        .await;
    }

    /// The health that the server reports.
    pub(crate) async fn health(&self) -> ServerHealth {
        let mut client = NodeServiceClient::new(self.admin.clone());
        let listed = client.list_nodes(ListNodesRequest::default()).await.unwrap();
        listed.into_inner().health.unwrap()
    }

    /// Waits until a series has this value.
    pub(crate) async fn await_metric(&self, series: &str, value: f64) {
        self.eventually(&format!("{series} is {value}"), async || {
            self.metrics().await.get(series) == Some(&value)
        })
        .await;
    }

    /// Waits until a series is larger than this value.
    pub(crate) async fn await_metric_above(&self, series: &str, value: f64) {
        self.eventually(&format!("{series} is more than {value}"), async || {
            self.metrics().await.get(series).is_some_and(|seen| *seen > value)
        })
        .await;
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.running.open_streams()
    }

    /// Waits until no stream is open, and the fleet records none.
    pub(crate) async fn await_no_streams(&self) {
        self.eventually("every stream's state is gone", async || {
            self.open_streams() == 0 && self.nodes().await.iter().all(|node| node.streams.is_empty())
        })
        .await;
    }

    async fn eventually(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let poll = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, poll).await;
        assert!(held.is_ok(), "not in {PATIENCE:?}: {what}");
    }
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}
