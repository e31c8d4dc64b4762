//! The fleet that a flood must not affect: delta nodes that ACK everything, and their publisher.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use chancery::proto::{
    admin::{PublishOptions, ReplaceSnapshotRequest, Resource, snapshot_service_client::SnapshotServiceClient},
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
    envoy::config::core::v3::Node,
};
use prost::Message;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::server::Server;

/// Number of nodes of the fleet.
const NODES: usize = 20;
/// Time between two publishes.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// Long enough for a loaded machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const GROUP: &str = "fleet";
pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// Counter for unique publishes in the whole process.
static PUBLISHES: AtomicU64 = AtomicU64::new(0);

/// The used fields of a `Cluster`.
#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "28")]
    alt_stat_name: String,
}

/// Measured durations.
#[derive(Default)]
pub(crate) struct Seen(Vec<Duration>);

/// Nodes with a stream each.
pub(crate) struct Fleet {
    admin: SnapshotServiceClient<Channel>,
    /// The number of the last publish that each node holds.
    held: Vec<watch::Receiver<u64>>,
    _nodes: JoinSet<()>,
}

// === impl Seen ===

impl Seen {
    pub(crate) fn note(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1).expect("something was seen");
        sorted[(last as f64 * part).ceil() as usize]
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, most] = [0.5, 0.99, 1.0].map(|part| self.quantile(part).as_millis());
        write!(f, "{median:>4} ms median, {p99:>5} ms p99, {most:>5} ms at most")
    }
}

// === impl Fleet ===

impl Fleet {
    pub(crate) async fn connect(server: &Server) -> Self {
        let mut nodes = JoinSet::new();
        let mut held = Vec::new();
        for number in 0..NODES {
            let (tell, hear) = watch::channel(0);
            let channel = channel(server.address("xds")).await;
            nodes.spawn(node(channel, number, tell));
            held.push(hear);
        }
        Self {
            admin: SnapshotServiceClient::new(channel(server.address("admin")).await),
            held,
            _nodes: nodes,
        }
    }

    /// Publishes, and waits until every node holds it.
    pub(crate) async fn publish(&self) -> Duration {
        self.publish_as(next_publish()).await
    }

    /// Publishes under a number drawn earlier, and waits until every node holds it.
    pub(crate) async fn publish_as(&self, number: u64) -> Duration {
        let cluster = Cluster {
            name: "a".to_owned(),
            alt_stat_name: number.to_string(),
        };
        let request = ReplaceSnapshotRequest {
            group: GROUP.to_owned(),
            resources: vec![Resource {
                resource: Some(prost_types::Any {
                    type_url: CLUSTER.to_owned(),
                    value: cluster.encode_to_vec(),
                }),
                ..Resource::default()
            }],
            options: Some(PublishOptions::default()),
            ..ReplaceSnapshotRequest::default()
        };
        let begun = Instant::now();
        let published = timeout(PATIENCE, self.admin.clone().replace_snapshot(request)).await;
        published.expect("a publish is answered").expect("a publish is taken");
        for held in &self.held {
            let mut held = held.clone();
            let arrived = timeout(PATIENCE, held.wait_for(|held| *held >= number)).await;
            arrived
                .expect("a publish reaches every node")
                .expect("a node's stream goes on");
        }
        begun.elapsed()
    }

    pub(crate) async fn publish_until(&self, until: Instant) -> Seen {
        let mut seen = Seen::default();
        while Instant::now() < until {
            seen.note(self.publish().await);
            sleep(PUBLISH_EVERY).await;
        }
        seen
    }
}

/// The number of a future publish.
pub(crate) fn next_publish() -> u64 {
    PUBLISHES.fetch_add(1, Ordering::Relaxed) + 1
}

async fn channel(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    timeout(PATIENCE, endpoint.connect())
        .await
        .expect("a connection")
        .unwrap()
}

/// Runs one node, and reports the publishes that it holds; its stream must not end.
async fn node(channel: Channel, number: usize, tell: watch::Sender<u64>) {
    let (requests, all) = mpsc::channel(8);
    let first = DeltaDiscoveryRequest {
        node: Some(Node {
            id: format!("fleet-{number}"),
            cluster: GROUP.to_owned(),
            ..Node::default()
        }),
        type_url: CLUSTER.to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    requests.send(first).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let mut responses = client
        .delta_aggregated_resources(ReceiverStream::new(all))
        .await
        .unwrap()
        .into_inner();
    while let Some(response) = responses.message().await.unwrap() {
        let ack = DeltaDiscoveryRequest {
            type_url: CLUSTER.to_owned(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(ack).await.unwrap();
        if let Some(number) = number_of(response) {
            tell.send_replace(number);
        }
    }
}

pub(crate) fn number_of(response: DeltaDiscoveryResponse) -> Option<u64> {
    let resource = response.resources.into_iter().next()?.resource?;
    Cluster::decode(&*resource.value).unwrap().alt_stat_name.parse().ok()
}
