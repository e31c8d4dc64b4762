//! Access rules on the xDS port: permitted node ids and groups, and responses to a node without access to some secrets.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use chancery::{
    access::{AccessConfig, NewToken, SALT_BYTES, SECRET_BYTES},
    proto::{
        discovery::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
        envoy::config::core::v3::Node,
        envoy::service::{
            cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient,
            load_stats::v3::{LoadStatsRequest, load_reporting_service_client::LoadReportingServiceClient},
            secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient,
        },
    },
    resource::ResourceType,
    settings::{Layer, LimitsLayer},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::{
    client::node,
    config::Config,
    server::{GROUP, PATIENCE, Server},
};

/// A server with two tokens for nodes: `shop` and `short`, which expires.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    dir: tempfile::TempDir,
    pub(crate) shop: String,
    short: String,
}

/// The two directions of a stream.
pub(crate) struct Stream<Q, A> {
    pub(crate) requests: mpsc::UnboundedSender<Q>,
    answers: Streaming<A>,
}

fn made(name: &str, expires: Option<SystemTime>) -> NewToken {
    NewToken::new(name, expires, &[3; SECRET_BYTES], &[5; SALT_BYTES]).unwrap()
}

fn config(dir: &Path) -> AccessConfig {
    let rules = r#"
nodes:
- token: "{ns}"
  node_id: "{ns}/*"
  groups: [demo]
  secrets: ["shop-*"]
"#;
    let mut config: AccessConfig = serde_saphyr::from_str(&format!("{rules}\ntokens_file: tokens")).unwrap();
    config.tokens_file = Some(dir.join("tokens"));
    config
}

impl Guarded {
    async fn start() -> Self {
        Self::with(Layer::default()).await
    }

    pub(crate) async fn with(layer: Layer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = made("shop", None);
        let short = made("short", SystemTime::now().checked_add(Duration::from_secs(4)));
        std::fs::write(dir.path().join("tokens"), format!("{}\n{}\n", shop.line, short.line)).unwrap();
        let mut layer = Layer {
            access: Some(config(dir.path())),
            ..layer
        };
        layer.audit.file = Some(dir.path().join("audit.log"));
        let server = Server::with(layer).await;
        Self {
            server,
            dir,
            shop: shop.token,
            short: short.token,
        }
    }

    pub(crate) async fn sotw(
        &self,
        token: &str,
        first: DiscoveryRequest,
    ) -> Result<Stream<DiscoveryRequest, DiscoveryResponse>, Status> {
        let (requests, stream) = mpsc::unbounded_channel();
        requests.send(first).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(self.server.connect().await);
        let call = bearing(token, UnboundedReceiverStream::new(stream));
        let answers = client.stream_aggregated_resources(call).await?.into_inner();
        Ok(Stream { requests, answers })
    }

    pub(crate) async fn delta(
        &self,
        token: &str,
        first: DeltaDiscoveryRequest,
    ) -> Result<Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>, Status> {
        let (requests, stream) = mpsc::unbounded_channel();
        requests.send(first).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(self.server.connect().await);
        let call = bearing(token, UnboundedReceiverStream::new(stream));
        let answers = client.delta_aggregated_resources(call).await?.into_inner();
        Ok(Stream { requests, answers })
    }

    /// The result of each kind of call as this node.
    async fn codes(&self, token: &str, node: &Node) -> [Code; 4] {
        let request = DiscoveryRequest {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            node: Some(node.clone()),
            ..DiscoveryRequest::default()
        };
        let delta = DeltaDiscoveryRequest {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            node: Some(node.clone()),
            ..DeltaDiscoveryRequest::default()
        };
        let sotw = match self.sotw(token, request.clone()).await {
            Ok(mut stream) => code(stream.next().await),
            Err(status) => status.code(),
        };
        let delta = match self.delta(token, delta).await {
            Ok(mut stream) => code(stream.next().await),
            Err(status) => status.code(),
        };
        let mut fetching = ClusterDiscoveryServiceClient::new(self.server.connect().await);
        let fetched = code(fetching.fetch_clusters(bearing(token, request)).await);
        let (reports, stream) = mpsc::unbounded_channel();
        let report = LoadStatsRequest {
            node: Some(node.clone()),
            ..LoadStatsRequest::default()
        };
        reports.send(report).unwrap();
        let mut reporting = LoadReportingServiceClient::new(self.server.connect().await);
        let call = bearing(token, UnboundedReceiverStream::new(stream));
        let reported = match reporting.stream_load_stats(call).await {
            Ok(answers) => code(timeout(PATIENCE, answers.into_inner().message()).await.unwrap()),
            Err(status) => status.code(),
        };
        [sotw, delta, fetched, reported]
    }
}

impl<Q, A> Stream<Q, A> {
    pub(crate) async fn next(&mut self) -> Result<Option<A>, Status> {
        timeout(PATIENCE, self.answers.message())
            .await
            .expect("an answer or the end")
    }
}

fn code<T>(answered: Result<T, Status>) -> Code {
    answered.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn clusters(id: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: ResourceType::Cluster.type_url().to_owned(),
        node: Some(node(id)),
        ..DiscoveryRequest::default()
    }
}

#[tokio::test]
async fn a_node_is_what_its_token_lets_it_be_on_every_way_in() {
    let guarded = Guarded::start().await;
    let config = Config::new().with(&ResourceType::Cluster, "c", 1);
    guarded.server.publish(&config).await;
    guarded.server.publish_to("other", &config).await;
    let elsewhere = Node {
        cluster: "other".to_owned(),
        ..node("shop/1")
    };
    for (token, node, expected) in [
        (guarded.shop.as_str(), node("shop/1"), Code::Ok),
        (&guarded.shop, node("pay/1"), Code::PermissionDenied),
        (&guarded.shop, node("shop"), Code::PermissionDenied),
        (&guarded.shop, elsewhere, Code::PermissionDenied),
        ("", node("shop/1"), Code::Unauthenticated),
        ("shop.guessed", node("shop/1"), Code::Unauthenticated),
        ("nobody.guessed", node("shop/1"), Code::Unauthenticated),
        ("a.b.c", node("shop/1"), Code::Unauthenticated),
    ] {
        assert_eq!(
            guarded.codes(token, &node).await,
            [expected; 4],
            "{token:.6} as {node:?}"
        );
    }
    let metrics = guarded.server.metrics().await;
    for (reason, count) in [("node", 8.0), ("group", 4.0), ("anonymous", 4.0), ("credential", 12.0)] {
        let series = format!("xds_access_denied_total{{port=\"xds\",reason=\"{reason}\"}}");
        assert_eq!(metrics.get(&series), Some(&count), "{series}");
    }
    let log = std::fs::read_to_string(guarded.dir.path().join("audit.log")).unwrap();
    let refused = log.lines().filter(|line| line.contains("\"allowed\":false"));
    assert_eq!(refused.count(), 28, "{log}");
}

#[tokio::test]
async fn a_denied_secret_is_as_one_that_does_not_exist() {
    let guarded = Guarded::start().await;
    let config = |pay: u16, shop: u16| {
        Config::new()
            .with(&ResourceType::Secret, "pay-tls", pay)
            .with(&ResourceType::Secret, "shop-tls", shop)
    };
    guarded.server.publish(&config(1, 1)).await;
    let ask = |names: &[&str]| DeltaDiscoveryRequest {
        type_url: ResourceType::Secret.type_url().to_owned(),
        node: Some(node("shop/1")),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    let answer_for = async |names: &[&str]| {
        let mut stream = guarded.delta(&guarded.shop, ask(names)).await.unwrap();
        stream.next().await.unwrap().unwrap()
    };
    let (denied, missing) = (answer_for(&["pay-tls"]).await, answer_for(&["pay-xyz"]).await);
    assert!(denied.resources.is_empty());
    let plain = |answer: &DeltaDiscoveryResponse| {
        let mut answer = answer.clone();
        answer.nonce.clear();
        format!("{answer:?}")
            .replace("pay-tls", "NAME")
            .replace("pay-xyz", "NAME")
    };
    assert_eq!(plain(&denied), plain(&missing));

    // A denied secret is neither in a wildcard response nor in a unary one.
    let mut all = guarded.delta(&guarded.shop, ask(&["*"])).await.unwrap();
    let first = all.next().await.unwrap().unwrap();
    let names: Vec<&str> = first.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["shop-tls"]);
    let mut fetching = SecretDiscoveryServiceClient::new(guarded.server.connect().await);
    let fetch = DiscoveryRequest {
        node: Some(node("shop/2")),
        ..DiscoveryRequest::default()
    };
    let fetched = fetching
        .fetch_secrets(bearing(&guarded.shop, fetch))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(fetched.resources.len(), 1);

    // A change of a denied secret is no change: the next response follows a change of a visible one.
    let ack = DeltaDiscoveryRequest {
        type_url: first.type_url.clone(),
        response_nonce: first.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    };
    all.requests.send(ack).unwrap();
    guarded.server.publish(&config(2, 1)).await;
    guarded.server.publish(&config(2, 2)).await;
    let second = all.next().await.unwrap().unwrap();
    assert_eq!(second.resources.len(), 1);
    assert_eq!(second.resources[0].name, "shop-tls");
    assert_ne!(second.resources[0].version, first.resources[0].version);
    assert_ne!(second.system_version_info, first.system_version_info);

    let series = "xds_access_denied_total{port=\"xds\",reason=\"secret\"}";
    assert_eq!(guarded.server.metrics().await.get(series), Some(&2.0));
    let log = std::fs::read_to_string(guarded.dir.path().join("audit.log")).unwrap();
    assert!(
        log.contains("\"resource\":\"pay-tls\"") && log.contains("\"resource\":\"pay-xyz\""),
        "{log}"
    );
}

/// The first requests of a stream of clusters and of one of load reports.
fn first_of(id: &str) -> (DiscoveryRequest, LoadStatsRequest) {
    let discovery = DiscoveryRequest {
        type_url: ResourceType::Cluster.type_url().to_owned(),
        node: Some(node(id)),
        ..DiscoveryRequest::default()
    };
    let load = LoadStatsRequest {
        node: Some(node(id)),
        ..LoadStatsRequest::default()
    };
    (discovery, load)
}

#[tokio::test]
async fn streams_of_one_identity_are_counted_whatever_its_nodes() {
    let guarded = Guarded::with(Layer {
        limits: LimitsLayer {
            max_streams_per_identity: Some(2),
            ..LimitsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    let clusters = Config::new().with(&ResourceType::Cluster, "c", 1);
    guarded.server.publish(&clusters).await;
    let open = async |token: &str, id: &str| guarded.sotw(token, first_of(id).0).await;

    let mut held = open(&guarded.shop, "shop/1").await.unwrap();
    held.next().await.unwrap().unwrap();
    let (reports, stream) = mpsc::unbounded_channel();
    reports.send(first_of("shop/2").1).unwrap();
    let mut client = LoadReportingServiceClient::new(guarded.server.connect().await);
    let call = bearing(&guarded.shop, UnboundedReceiverStream::new(stream));
    let load = client.stream_load_stats(call).await.unwrap().into_inner();

    let refused = open(&guarded.shop, "shop/3").await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("limits.max_streams_per_identity"),
        "{refused:?}"
    );
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    let series = r#"xds_streams_refused_total{reason="identity_streams"}"#;
    assert_eq!(guarded.server.metrics().await[series], 1.0);

    let mut other = open(&guarded.short, "short/1").await.unwrap();
    other.next().await.unwrap().unwrap();
    drop((load, reports));
    let again = async || match open(&guarded.shop, "shop/3").await {
        Ok(mut stream) => stream.next().await.is_ok(),
        Err(_) => false,
    };
    let come_again = async {
        while !again().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, come_again)
        .await
        .expect("a place that was given up is had again");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_and_others_stay() {
    let guarded = Guarded::start().await;
    guarded
        .server
        .publish(&Config::new().with(&ResourceType::Cluster, "c", 1))
        .await;
    let kept = made("kept", None);
    let both = format!("{}\n{}\n", made("shop", None).line, kept.line);
    let tokens = guarded.dir.path().join("tokens");
    std::fs::write(&tokens, both).unwrap();
    guarded
        .server
        .await_metric("xds_access_reloads_total{outcome=\"loaded\"}", 1.0)
        .await;
    let mut revoked = guarded.sotw(&guarded.shop, clusters("shop/1")).await.unwrap();
    let mut staying = guarded.sotw(&kept.token, clusters("kept/1")).await.unwrap();
    for stream in [&mut revoked, &mut staying] {
        let answer = stream.next().await.unwrap().unwrap();
        assert_eq!(answer.resources.len(), 1);
        let ack = DiscoveryRequest {
            type_url: answer.type_url,
            version_info: answer.version_info,
            response_nonce: answer.nonce,
            ..DiscoveryRequest::default()
        };
        stream.requests.send(ack).unwrap();
    }
    // An invalid file changes nothing.
    std::fs::write(&tokens, "shop:nonsense").unwrap();
    guarded
        .server
        .await_metric("xds_access_reloads_total{outcome=\"failed\"}", 1.0)
        .await;
    std::fs::write(&tokens, format!("{}\n", kept.line)).unwrap();
    assert_eq!(revoked.next().await.unwrap_err().code(), Code::Unauthenticated);
    // The other stream goes on.
    guarded
        .server
        .publish_to(GROUP, &Config::new().with(&ResourceType::Cluster, "c", 2))
        .await;
    assert_eq!(staying.next().await.unwrap().unwrap().resources.len(), 1);
    drop(revoked.requests);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let guarded = Guarded::start().await;
    guarded
        .server
        .publish(&Config::new().with(&ResourceType::Cluster, "c", 1))
        .await;
    let mut stream = guarded.sotw(&guarded.short, clusters("short/1")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().resources.len(), 1);
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unauthenticated);
    let again = guarded.codes(&guarded.short, &node("short/1")).await;
    assert_eq!(again, [Code::Unauthenticated; 4]);
}
