//! Client status (CSDS) over a real control plane, with real clients.

use std::process::{Child, Command, Stdio};

use chancery::{
    proto::envoy::{
        config::core::v3::node::UserAgentVersionType,
        service::status::v3::{
            ClientStatusRequest, ClientStatusResponse, ConfigStatus, client_config::GenericXdsConfig,
            client_status_discovery_service_client::ClientStatusDiscoveryServiceClient,
        },
        r#type::matcher::v3::{NodeMatcher, StringMatcher, StructMatcher, string_matcher::MatchPattern},
    },
    settings::{FleetLayer, Layer},
};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::harness::{CLUSTER, PATIENCE, Server, clusters, envoy_binary};

/// Envoy itself, in group `demo`, until it is dropped.
struct RealEnvoy(Child);

impl RealEnvoy {
    fn start(server: &Server, id: &str) -> Self {
        let xds = server.addresses.xds.to_string();
        let args = [
            "--node-id",
            id,
            "--node-cluster",
            "demo",
            "--xds-addr",
            &xds,
            "--admin-port",
            "0",
        ];
        let bootstrap = server
            .expect(0, &[&["bootstrap", "-o", "json"][..], &args].concat())
            .stdout;
        let envoy = Command::new(envoy_binary())
            .args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "off", "-c"])
            .arg(server.file("envoy.json", bootstrap))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(envoy.unwrap())
    }
}

impl Drop for RealEnvoy {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn publish(server: &Server, names: &[&str]) {
    let file = server.file("a.yaml", clusters(names));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
}

fn exact(id: &str) -> NodeMatcher {
    NodeMatcher {
        node_id: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(id.to_owned())),
            ignore_case: false,
        }),
        ..NodeMatcher::default()
    }
}

fn about(matchers: Vec<NodeMatcher>) -> ClientStatusRequest {
    ClientStatusRequest {
        node_matchers: matchers,
        ..ClientStatusRequest::default()
    }
}

fn fetch(server: &Server, request: ClientStatusRequest) -> ClientStatusResponse {
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel());
    let response = server.runtime.block_on(client.fetch_client_status(request));
    response.unwrap().into_inner()
}

/// Waits until the only type of the only matching node has this status.
#[track_caller]
fn wait_for(server: &Server, id: &str, status: ConfigStatus) -> GenericXdsConfig {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let response = fetch(server, about(vec![exact(id)]));
        let row = response
            .config
            .first()
            .and_then(|node| node.generic_xds_configs.first());
        if let Some(row) = row.filter(|row| row.config_status() == status) {
            return row.clone();
        }
        assert!(
            std::time::Instant::now() < deadline,
            "waited for {status:?}: {response:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn each_state_of_a_type_has_its_config_status() {
    let server = Server::start();
    let mut envoy = server.envoy("envoy-1");
    let row = wait_for(&server, "envoy-1", ConfigStatus::NotSent);
    assert_eq!((row.type_url.as_str(), row.version_info.as_str()), (CLUSTER, ""));

    publish(&server, &["a"]);
    let first = server.runtime.block_on(envoy.next());
    let row = wait_for(&server, "envoy-1", ConfigStatus::Stale);
    assert_eq!(row.version_info, first.version_info);
    server.runtime.block_on(envoy.ack(&first));
    let row = wait_for(&server, "envoy-1", ConfigStatus::Synced);
    assert_eq!(row.version_info, first.version_info);
    assert!(row.error_state.is_none() && row.last_updated.is_some(), "{row:?}");

    publish(&server, &["a", "b"]);
    let second = server.runtime.block_on(envoy.next());
    server.runtime.block_on(envoy.nack(&second, "cluster b: no"));
    let row = wait_for(&server, "envoy-1", ConfigStatus::Error);
    assert_eq!(row.version_info, second.version_info);
    let error = row.error_state.expect("the refusal");
    assert_eq!(
        (error.details.as_str(), error.version_info.as_str()),
        ("cluster b: no", second.version_info.as_str())
    );
    assert!(error.last_update_attempt.is_some());

    publish(&server, &["a", "c"]);
    let third = server.runtime.block_on(envoy.next());
    let row = wait_for(&server, "envoy-1", ConfigStatus::Stale);
    assert!(
        row.error_state.is_some(),
        "the last update that was answered failed: {row:?}"
    );
    server.runtime.block_on(envoy.ack(&third));
    let row = wait_for(&server, "envoy-1", ConfigStatus::Synced);
    assert!(row.error_state.is_none(), "{row:?}");
    assert!(row.xds_config.is_none(), "no contents are kept, so none are shown");
    assert_eq!(row.client_status, 0, "only clients set this field");
}

#[test]
fn any_matcher_finds_a_node_and_those_that_left_are_not_clients() {
    let server = Server::start();
    let _envoys = ["a", "b", "c"].map(|id| server.envoy(id));
    let gone = server.envoy("d");
    for id in ["a", "b", "c", "d"] {
        wait_for(&server, id, ConfigStatus::NotSent);
    }
    drop(gone);
    let ids = |request| -> Vec<String> {
        let nodes = fetch(&server, request).config.into_iter();
        nodes.map(|node| node.node.unwrap().id).collect()
    };
    assert_eq!(ids(about(vec![exact("a"), exact("c"), exact("z")])), ["a", "c"]);
    let deadline = std::time::Instant::now() + PATIENCE;
    while ids(ClientStatusRequest::default()) != ["a", "b", "c"] {
        assert!(std::time::Instant::now() < deadline, "d is still shown");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn node_is_shown_as_it_named_itself_and_long_words_are_cut() {
    let server = Server::with(Layer {
        fleet: FleetLayer {
            max_nack_message_bytes: Some("4".parse().unwrap()),
            ..FleetLayer::default()
        },
        ..Layer::default()
    });
    publish(&server, &["a"]);
    let mut envoy = server.envoy("envoy-1");
    server.runtime.block_on(async {
        let response = envoy.next().await;
        envoy.nack(&response, "no such thing").await;
    });
    let row = wait_for(&server, "envoy-1", ConfigStatus::Error);
    assert_eq!(row.error_state.unwrap().details, "no s…");
    let node = fetch(&server, ClientStatusRequest::default()).config[0]
        .node
        .clone()
        .unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("envoy-1", "demo"));
    assert_eq!(node.user_agent_name, "test");
    let version = UserAgentVersionType::UserAgentVersion("1.2.3".to_owned());
    assert_eq!(node.user_agent_version_type, Some(version));
}

#[test]
fn matcher_on_metadata_is_refused_by_name() {
    let server = Server::start();
    let metadata = NodeMatcher {
        node_metadatas: vec![StructMatcher::default()],
        ..NodeMatcher::default()
    };
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel());
    let refused = client.fetch_client_status(about(vec![metadata]));
    let status = server.runtime.block_on(refused).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("node_matchers[0].node_metadatas"),
        "{status:?}"
    );
}

#[test]
fn stream_answers_each_request_once_and_ends_with_a_bad_one() {
    let server = Server::start();
    let _envoys = ["a", "b"].map(|id| server.envoy(id));
    wait_for(&server, "a", ConfigStatus::NotSent);
    wait_for(&server, "b", ConfigStatus::NotSent);
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel());
    let unset = NodeMatcher {
        node_id: Some(StringMatcher::default()),
        ..NodeMatcher::default()
    };
    let requests = [
        ClientStatusRequest::default(),
        about(vec![exact("b")]),
        about(vec![unset]),
        ClientStatusRequest::default(),
    ];
    let answers: Vec<Result<ClientStatusResponse, tonic::Status>> = server.runtime.block_on(async {
        let answers = client.stream_client_status(tokio_stream::iter(requests)).await.unwrap();
        tokio::time::timeout(PATIENCE, answers.into_inner().collect())
            .await
            .unwrap()
    });
    let counts: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map_or_else(|status| Err(status.code()), |answer| Ok(answer.config.len())))
        .collect();
    assert_eq!(counts, [Ok(2), Ok(1), Err(Code::InvalidArgument)]);
}

#[test]
fn open_stream_does_not_hold_up_a_shutdown() {
    let server = Server::start();
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel());
    let (_requests, stream) = tokio::sync::mpsc::channel::<ClientStatusRequest>(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = server
        .runtime
        .block_on(client.stream_client_status(requests))
        .unwrap()
        .into_inner();
    let ended = server.runtime.spawn(async move { answers.next().await });
    let runtime = server.runtime.handle().clone();
    let stopped = std::thread::spawn(move || server.shutdown());
    let end = runtime.block_on(async { tokio::time::timeout(PATIENCE, ended).await });
    assert_eq!(end.unwrap().unwrap().unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(stopped.join().unwrap(), "shutdown was forced");
}

#[test]
fn real_refusal_of_a_real_envoy_is_an_error_with_its_words() {
    let server = Server::start();
    let bad = format!(
        "resources:\n- {{\"@type\": {CLUSTER}, name: bad, connect_timeout: 1s, \
         transport_socket: {{name: nobody.has.this, typed_config: {{\"@type\": type.googleapis.com/google.protobuf.Struct, value: {{}}}}}}}}\n"
    );
    let file = server.file("bad.yaml", bad);
    server.expect(0, &["replace", "-g", "demo", "--allow-warnings", "-f", &file]);
    let _envoy = RealEnvoy::start(&server, "envoy-1");
    let row = wait_for(&server, "envoy-1", ConfigStatus::Error);
    let error = row.error_state.unwrap();
    assert!(error.details.contains("nobody.has.this"), "{error:?}");
    assert_eq!(error.version_info, row.version_info);
}
