//! A control plane in this process, on free ports, and requests to its HTTP port.

use std::{net::SocketAddr, time::Duration};

use chancery::{
    app::{App, Running},
    proto::admin::{
        Document, ListNodesRequest, NodeStatus, PublishOptions, ReplaceSnapshotRequest, StreamStatus, TypeStatus,
        node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    },
    settings::{Layer, RegistryLayer, RestLayer, Settings},
};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    running: Running,
    admin: Channel,
    client: Client,
}

/// A response, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Layer::default()).await
    }

    pub(crate) async fn with(layer: Layer) -> Self {
        let free: Option<SocketAddr> = "127.0.0.1:0".parse().ok();
        let kept = layer.data_dir.is_some();
        let settings = Settings::resolve(layer.or(Layer {
            rest: RestLayer {
                enabled: Some(true),
                ..RestLayer::default()
            },
            registry: RegistryLayer { enabled: Some(true) },
            xds_addr: free,
            admin_addr: free,
            http_addr: free,
            ephemeral: (!kept).then_some(true),
            ..Layer::default()
        }));
        let running = App::start(settings.unwrap()).await.unwrap();
        let admin = Endpoint::from_shared(format!("http://{}", running.addresses.admin)).unwrap();
        Self {
            admin: admin.connect().await.unwrap(),
            running,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) async fn stop(self) {
        assert!(self.running.shutdown().await, "everything ended in time");
    }

    pub(crate) async fn publish(&self, group: &str, resources: &[Value]) {
        let request = ReplaceSnapshotRequest {
            group: group.to_owned(),
            documents: vec![Document {
                name: "config.json".to_owned(),
                content: json!({ "resources": resources }).to_string().into_bytes(),
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

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.running.addresses.http))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &str) -> Reply {
        let request = self.request(method, path).body(body.to_owned());
        read(request.header(CONTENT_TYPE, "application/json")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(Method::POST, path, body).await
    }

    /// Polls as a node of the group `demo`.
    pub(crate) async fn poll(&self, path: &str, names: &[&str], version: &str) -> Reply {
        self.post(path, &discovery(names, version).to_string()).await
    }

    pub(crate) async fn node(&self, id: &str) -> Option<NodeStatus> {
        let mut client = NodeServiceClient::new(self.admin.clone());
        let nodes = client.list_nodes(ListNodesRequest::default()).await.unwrap();
        nodes.into_inner().nodes.into_iter().find(|node| node.id == id)
    }

    pub(crate) async fn type_status(&self, type_url: &str) -> TypeStatus {
        let node = self.node("n").await.expect("a known node");
        let mut rows = node.types.into_iter();
        rows.find(|row| row.type_url == type_url).expect("a row of the type")
    }

    pub(crate) async fn streams(&self) -> Vec<StreamStatus> {
        self.node("n").await.map(|node| node.streams).unwrap_or_default()
    }
}

/// The body of a poll of the node `n`.
pub(crate) fn discovery(names: &[&str], version: &str) -> Value {
    json!({
        "version_info": version,
        "node": { "id": "n", "cluster": "demo", "user_agent_name": "envoy" },
        "resource_names": names,
    })
}

pub(crate) async fn read(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    Reply {
        status: response.status(),
        text: response.text().await.unwrap(),
    }
}

pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let poll = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, poll).await;
    assert!(held.is_ok(), "not in {PATIENCE:?}: {what}");
}

// === impl Reply ===

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The version and the names of a 200 response.
    #[track_caller]
    pub(crate) fn answer(&self) -> (String, Vec<String>) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        let json = self.json();
        let name = |resource: &Value| {
            let field = ["name", "cluster_name"]
                .into_iter()
                .find_map(|field| resource[field].as_str());
            field.expect("a name").to_owned()
        };
        let names = json["resources"].as_array().expect("resources").iter().map(name);
        (
            json["version_info"].as_str().expect("a version").to_owned(),
            names.collect(),
        )
    }
}

// === resources ===

pub(crate) fn cluster(name: &str, timeout: &str) -> Value {
    json!({ "@type": CLUSTER, "name": name, "connect_timeout": timeout })
}

pub(crate) fn assignment(name: &str) -> Value {
    json!({ "@type": ENDPOINTS, "cluster_name": name })
}
