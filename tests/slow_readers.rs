//! The server's memory with slow readers of one large snapshot, all of whom must receive it completely in the end.
//!
//! The server is the real binary in its own process, so that its memory can be measured. `make bench-memory` runs this in
//! release and prints the table.

// The helpers are test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chancery::proto::{
    admin::{PublishOptions, ReplaceSnapshotRequest, Resource, snapshot_service_client::SnapshotServiceClient},
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse},
    envoy::config::core::v3::Node,
};
use h2::{RecvStream, SendStream, client};
use http::{Method, Request};
use prost::Message;
use tokio::{net::TcpStream, runtime::Runtime, task::JoinSet};

const READERS: usize = 300;
const RESOURCES: usize = 1000;
const RESOURCE_BYTES: usize = 10_000;

/// 300 copies of 10 MB would be 3 GB; one copy and 300 streams need much less than this.
const MOST_KIB: u64 = 200 * 1024;

/// HTTP/2 window of a reader, for stream and connection: reading a response takes some 160 updates.
const WINDOW: u32 = 64 * 1024;

/// Long enough for a loaded machine, short enough to fail.
const PATIENCE: Duration = Duration::from_secs(120);

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// A kind of stream and subscription of the readers.
struct Case {
    name: &'static str,
    type_url: &'static str,
    path: &'static str,
    request: fn(Node) -> Vec<u8>,
    /// Decodes a whole response to name → encoded content.
    decode: fn(&[u8]) -> BTreeMap<String, Vec<u8>>,
}

/// `chancery serve`.
struct Server {
    child: Child,
    addresses: BTreeMap<String, String>,
}

/// One stream on its own connection.
struct Reader {
    body: RecvStream,
    /// Received bytes that were not read yet.
    next: Bytes,
    /// Kept, since dropping it would end the stream.
    _requests: SendStream<Bytes>,
}

/// Peaks of the server's memory in KiB, up to each moment.
struct Peaks {
    published: u64,
    stalled: u64,
    read: u64,
}

// === what is published ===

/// The used fields of a `Cluster`.
#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "28")]
    alt_stat_name: String,
}

/// The used fields of a `ClusterLoadAssignment`.
#[derive(Clone, PartialEq, Message)]
struct LoadAssignment {
    #[prost(string, tag = "1")]
    cluster_name: String,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<LocalityEndpoints>,
}

#[derive(Clone, PartialEq, Message)]
struct LocalityEndpoints {
    #[prost(message, repeated, tag = "2")]
    lb_endpoints: Vec<LbEndpoint>,
}

#[derive(Clone, PartialEq, Message)]
struct LbEndpoint {
    #[prost(message, optional, tag = "1")]
    endpoint: Option<Endpoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Endpoint {
    #[prost(string, tag = "3")]
    hostname: String,
}

fn name(number: usize) -> String {
    format!("resource-{number:04}")
}

/// One resource's content: its name repeated, so that no two are equal.
fn content(type_url: &str, number: usize) -> Vec<u8> {
    let name = name(number);
    let filling = name.repeat(RESOURCE_BYTES / name.len());
    match type_url {
        CLUSTER => Cluster {
            name,
            alt_stat_name: filling,
        }
        .encode_to_vec(),
        ENDPOINT => LoadAssignment {
            cluster_name: name,
            endpoints: vec![LocalityEndpoints {
                lb_endpoints: vec![LbEndpoint {
                    endpoint: Some(Endpoint { hostname: filling }),
                }],
            }],
        }
        .encode_to_vec(),
        other => panic!("no content for {other}"),
    }
}

fn published(type_url: &str) -> BTreeMap<String, Vec<u8>> {
    (0..RESOURCES)
        .map(|number| (name(number), content(type_url, number)))
        .collect()
}

// === the ways to ask ===

fn sotw_wildcard(node: Node) -> Vec<u8> {
    DiscoveryRequest {
        node: Some(node),
        type_url: CLUSTER.to_owned(),
        ..DiscoveryRequest::default()
    }
    .encode_to_vec()
}

fn delta_wildcard(node: Node) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: CLUSTER.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
    .encode_to_vec()
}

fn sotw_named(node: Node) -> Vec<u8> {
    DiscoveryRequest {
        node: Some(node),
        type_url: ENDPOINT.to_owned(),
        resource_names: (0..RESOURCES).map(name).collect(),
        ..DiscoveryRequest::default()
    }
    .encode_to_vec()
}

fn decode_sotw_clusters(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let response = DiscoveryResponse::decode(message).unwrap();
    let named = |any: prost_types::Any| (Cluster::decode(&*any.value).unwrap().name, any.value);
    response.resources.into_iter().map(named).collect()
}

fn decode_sotw_endpoints(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let response = DiscoveryResponse::decode(message).unwrap();
    let named = |any: prost_types::Any| (LoadAssignment::decode(&*any.value).unwrap().cluster_name, any.value);
    response.resources.into_iter().map(named).collect()
}

fn decode_delta(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let response = DeltaDiscoveryResponse::decode(message).unwrap();
    let resources = response.resources.into_iter();
    resources
        .map(|wrapped| (wrapped.name, wrapped.resource.unwrap().value))
        .collect()
}

const CASES: [Case; 3] = [
    Case {
        name: "SotW ADS, all clusters",
        type_url: CLUSTER,
        path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        request: sotw_wildcard,
        decode: decode_sotw_clusters,
    },
    Case {
        name: "delta ADS, all clusters",
        type_url: CLUSTER,
        path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        request: delta_wildcard,
        decode: decode_delta,
    },
    Case {
        name: "SotW EDS, 1000 names",
        type_url: ENDPOINT,
        path: "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints",
        request: sotw_named,
        decode: decode_sotw_endpoints,
    },
];

// === impl Server ===

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "--ephemeral", "--log-level=warn"])
            .args([
                "--xds-addr=127.0.0.1:0",
                "--admin-addr=127.0.0.1:0",
                "--http-addr=127.0.0.1:0",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
        let address = |line: String| {
            let (name, address) = line.split_once(" listening on ").expect("an address");
            (name.to_owned(), address.to_owned())
        };
        let addresses = lines.map(|line| address(line.unwrap())).collect();
        Self { child, addresses }
    }

    async fn publish(&self, type_url: &str) {
        let resource = |(_, value)| Resource {
            resource: Some(prost_types::Any {
                type_url: type_url.to_owned(),
                value,
            }),
            ..Resource::default()
        };
        let request = ReplaceSnapshotRequest {
            group: "slow".to_owned(),
            resources: published(type_url).into_iter().map(resource).collect(),
            options: Some(PublishOptions {
                allow_removals: true,
                ..PublishOptions::default()
            }),
            ..ReplaceSnapshotRequest::default()
        };
        let url = format!("http://{}", self.addresses["admin"]);
        let channel = tonic::transport::Endpoint::from_shared(url)
            .unwrap()
            .connect()
            .await
            .unwrap();
        SnapshotServiceClient::new(channel)
            .replace_snapshot(request)
            .await
            .unwrap();
    }

    /// The process's highest resident memory so far, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

// === impl Reader ===

impl Reader {
    /// Subscribes, and receives the first piece of the response without opening the window further.
    async fn stall(server: &str, case: &Case, number: usize) -> Self {
        let tcp = TcpStream::connect(server).await.unwrap();
        let (requests, connection) = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(WINDOW)
            .handshake::<_, Bytes>(tcp)
            .await
            .unwrap();
        tokio::runtime::Handle::current().spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{server}{}", case.path))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut requests) = requests.ready().await.unwrap().send_request(request, false).unwrap();
        let message = (case.request)(Node {
            id: format!("reader-{number}"),
            cluster: "slow".to_owned(),
            ..Node::default()
        });
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message);
        requests.send_data(framed.into(), false).unwrap();
        let mut reader = Self {
            body: response.await.unwrap().into_body(),
            next: Bytes::new(),
            _requests: requests,
        };
        reader.next = reader.more(0).await;
        reader
    }

    /// The next piece; `done` bytes are returned to the window first.
    async fn more(&mut self, done: usize) -> Bytes {
        self.body.flow_control().release_capacity(done).unwrap();
        self.body.data().await.expect("the stream goes on").unwrap()
    }

    /// Reads up to the resources and returns the length of the rest of the response.
    async fn read_head(&mut self) -> usize {
        while self.next.len() < 512 {
            let more = self.more(0).await;
            self.next = [&*self.next, &more].concat().into();
        }
        let whole = u32::from_be_bytes(self.next[1..5].try_into().unwrap()) as usize;
        // Version and nonce differ between streams and come first; each has a key and a length of one byte.
        let mut head = 5;
        while matches!(self.next[head] >> 3, 1 | 5) {
            head += 2 + usize::from(self.next[head + 1]);
        }
        self.body.flow_control().release_capacity(head).unwrap();
        self.next = self.next.slice(head..);
        whole + 5 - head
    }

    /// Reads a whole response and returns the part that streams share.
    async fn read_whole(mut self) -> Vec<u8> {
        let len = self.read_head().await;
        let mut whole = Vec::with_capacity(len);
        loop {
            whole.extend_from_slice(&self.next);
            if whole.len() >= len {
                break;
            }
            self.next = self.more(self.next.len()).await;
        }
        assert_eq!(whole.len(), len);
        whole
    }

    /// Reads on, one window at a time, and compares with another reader's bytes.
    async fn read_slowly(mut self, expected: Arc<Vec<u8>>) {
        assert_eq!(self.read_head().await, expected.len());
        let mut at = 0;
        loop {
            let end = at + self.next.len();
            assert!(
                expected.get(at..end) == Some(&*self.next),
                "the bytes at {at} differ from the published ones"
            );
            at = end;
            if at == expected.len() {
                break;
            }
            tokio::task::yield_now().await;
            self.next = self.more(self.next.len()).await;
        }
    }
}

async fn run(case: &'static Case) -> Peaks {
    let server = Server::start();
    server.publish(case.type_url).await;
    let published_peak = server.peak_kib();
    let mut stalled = JoinSet::new();
    for number in 0..READERS {
        let address = server.addresses["xds"].clone();
        stalled.spawn(async move { Reader::stall(&address, case, number).await });
    }
    let mut readers = stalled.join_all().await;
    let stalled_peak = server.peak_kib();

    let shared = readers.pop().unwrap().read_whole().await;
    let resources = (case.decode)(&shared);
    assert!(
        resources == published(case.type_url),
        "{}: the response is what was published",
        case.name
    );
    let shared = Arc::new(shared);
    let mut reading = JoinSet::new();
    for reader in readers {
        reading.spawn(reader.read_slowly(Arc::clone(&shared)));
    }
    reading.join_all().await;
    Peaks {
        published: published_peak,
        stalled: stalled_peak,
        read: server.peak_kib(),
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is what the benchmark is run for")]
fn slow_readers_of_a_large_snapshot_share_its_bytes() {
    let runtime = Runtime::new().unwrap();
    let megabytes = RESOURCES * RESOURCE_BYTES / 1_000_000;
    println!("{READERS} readers of {megabytes} MB each; peak memory of the server in MiB");
    println!(
        "{:<26}{:>12}{:>12}{:>12}{:>10}",
        "", "published", "stalled", "read on", "seconds"
    );
    for case in &CASES {
        let begun = Instant::now();
        let run = async { tokio::time::timeout(PATIENCE, run(case)).await };
        let peaks = runtime
            .block_on(run)
            .unwrap_or_else(|_| panic!("{}: not done in time", case.name));
        let [published, stalled, read] = [peaks.published, peaks.stalled, peaks.read].map(|kib| kib / 1024);
        let seconds = begun.elapsed().as_secs_f32();
        println!("{:<26}{published:>12}{stalled:>12}{read:>12}{seconds:>10.1}", case.name);
        assert!(
            peaks.read < MOST_KIB,
            "{}: {read} MiB, more than {} MiB",
            case.name,
            MOST_KIB / 1024
        );
    }
}
