//! A control plane in this process, the real binary as its client, and a client that acts as an Envoy.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use chancery::{
    app::{Addresses, App, Running},
    proto::{
        discovery::{
            DiscoveryRequest, DiscoveryResponse, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
        envoy::config::core::v3::{Node, node::UserAgentVersionType},
        google::rpc,
    },
    settings::{Layer, RegistryLayer, RestLayer, Settings},
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// Long enough for a loaded machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    pub(crate) addresses: Addresses,
    pub(crate) dir: tempfile::TempDir,
    running: Option<Running>,
}

/// Output and exit code of a run of the binary.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct FakeEnvoy {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Layer::default())
    }

    pub(crate) fn with(layer: Layer) -> Self {
        let free = "127.0.0.1:0".parse().ok();
        let settings = Settings::resolve(layer.or(Layer {
            rest: RestLayer {
                enabled: Some(true),
                ..RestLayer::default()
            },
            registry: RegistryLayer { enabled: Some(true) },
            xds_addr: free,
            admin_addr: free,
            http_addr: free,
            ephemeral: Some(true),
            ..Layer::default()
        }))
        .unwrap();
        let runtime = Runtime::new().unwrap();
        let running = runtime.block_on(App::start(settings)).unwrap();
        Self {
            addresses: running.addresses,
            runtime,
            dir: tempfile::tempdir().unwrap(),
            running: Some(running),
        }
    }

    /// Runs the binary against this server; the file `-` reads `stdin`.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin).ok();
        child.wait_with_output().unwrap().into()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs the binary and expects this exit code.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = chancery(args);
        command.env("CHANCERY_ADMIN", format!("http://{}", self.addresses.admin));
        command
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn channel(&self) -> Channel {
        let url = format!("http://{}", self.addresses.admin);
        let connect = tonic::transport::Endpoint::from_shared(url).unwrap();
        self.runtime.block_on(connect.connect()).unwrap()
    }

    /// A client with this node id in group `demo` that subscribes to all clusters.
    pub(crate) fn envoy(&self, id: &str) -> FakeEnvoy {
        self.envoy_of("demo", id)
    }

    /// A client as of [`Self::envoy`], in another group.
    pub(crate) fn envoy_of(&self, group: &str, id: &str) -> FakeEnvoy {
        self.runtime.block_on(FakeEnvoy::connect(self.addresses, group, id))
    }

    pub(crate) fn shutdown(mut self) -> bool {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.shutdown())
    }
}

impl FakeEnvoy {
    pub(crate) async fn connect(addresses: Addresses, group: &str, id: &str) -> Self {
        let url = format!("http://{}", addresses.xds);
        let channel = tonic::transport::Endpoint::from_shared(url)
            .unwrap()
            .connect()
            .await
            .unwrap();
        let (requests, stream) = mpsc::channel(16);
        let first = DiscoveryRequest {
            type_url: CLUSTER.to_owned(),
            node: Some(Node {
                id: id.to_owned(),
                cluster: group.to_owned(),
                user_agent_name: "test".to_owned(),
                user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion("1.2.3".to_owned())),
                ..Node::default()
            }),
            ..DiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let responses = AggregatedDiscoveryServiceClient::new(channel)
            .stream_aggregated_resources(ReceiverStream::new(stream))
            .await
            .unwrap()
            .into_inner();
        Self { requests, responses }
    }

    pub(crate) async fn next(&mut self) -> DiscoveryResponse {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        response.expect("a response in time").unwrap().expect("an open stream")
    }

    /// The status that ends the stream.
    pub(crate) async fn end(&mut self) -> tonic::Status {
        let ended = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        ended.expect("an end in time").expect_err("a status")
    }

    pub(crate) async fn ack(&self, response: &DiscoveryResponse) {
        self.answer(response, &response.version_info, None).await;
    }

    /// Subscribes to names of another type, with or without an ACK of its last response.
    pub(crate) async fn ask(&self, type_url: &str, names: &[&str], answered: Option<&DiscoveryResponse>) {
        let request = DiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            version_info: answered
                .map(|response| response.version_info.clone())
                .unwrap_or_default(),
            response_nonce: answered.map(|response| response.nonce.clone()).unwrap_or_default(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    pub(crate) async fn nack(&self, response: &DiscoveryResponse, message: &str) {
        let error = rpc::Status {
            code: 13,
            message: message.to_owned(),
            details: Vec::new(),
        };
        self.answer(response, "", Some(error)).await;
    }

    async fn answer(&self, response: &DiscoveryResponse, version: &str, error_detail: Option<rpc::Status>) {
        let request = DiscoveryRequest {
            type_url: response.type_url.clone(),
            version_info: version.to_owned(),
            response_nonce: response.nonce.clone(),
            error_detail,
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

/// The real binary, without the caller's environment variables.
pub(crate) fn chancery(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// A file of clusters with these names.
pub(crate) fn clusters(names: &[&str]) -> String {
    let item = |name: &&str| format!("- {{\"@type\": {CLUSTER}, name: {name}, connect_timeout: 1s}}\n");
    format!("resources:\n{}", names.iter().map(item).collect::<String>())
}

pub(crate) fn envoy_binary() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/envoy-1.40.0/envoy");
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the binary ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
