//! An Envoy as a child process, its admin interface, and requests through its listeners.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::JoinHandle,
};

use super::{Control, RUNTIME, Relay, ads, eventually, expect};

/// The number of lines of an Envoy's log in the message of a failed test.
const SHOWN: usize = 80;

/// Opens a new connection for every request, so that it reaches the listener's current version.
static CLIENT: LazyLock<Client> = LazyLock::new(|| client(0));

fn client(idle_connections: usize) -> Client {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(idle_connections);
    client.timeout(Duration::from_secs(20)).build().unwrap()
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Release {
    V1_40,
    V1_36,
}

/// The streams of an Envoy: one or one for each type, SotW or delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    AdsSotw,
    AdsDelta,
    SeparateSotw,
    SeparateDelta,
}

/// Runs until it is dropped.
pub(crate) struct Envoy {
    pub(crate) node: String,
    child: Child,
    admin: SocketAddr,
    dir: TempDir,
}

/// A response, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Sends requests one after the other, and collects the failures.
pub(crate) struct Traffic {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<String>>,
}

// === impl Release ===

impl Release {
    fn binary(self) -> PathBuf {
        let version = match self {
            Self::V1_40 => "1.40.0",
            Self::V1_36 => "1.36.4",
        };
        let below = format!("target/tools/envoy-{version}/envoy");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(below);
        assert!(path.exists(), "{} is missing: run `make tools`", path.display());
        path
    }
}

// === impl Mode ===

impl Mode {
    pub(crate) const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::AdsSotw => &[],
            Self::AdsDelta => &["--delta"],
            Self::SeparateSotw => &["--no-ads"],
            Self::SeparateDelta => &["--no-ads", "--delta"],
        }
    }

    /// The config source of the resources' children.
    pub(crate) fn source(self) -> Value {
        let own = |api: &str| {
            let service = json!({ "envoy_grpc": { "cluster_name": "xds_cluster" } });
            let source = json!({ "api_type": api, "transport_api_version": "V3", "grpc_services": [service] });
            json!({ "api_config_source": source, "resource_api_version": "V3" })
        };
        match self {
            Self::AdsSotw | Self::AdsDelta => ads(),
            Self::SeparateSotw => own("GRPC"),
            Self::SeparateDelta => own("DELTA_GRPC"),
        }
    }

    pub(crate) const fn is_ads(self) -> bool {
        matches!(self, Self::AdsSotw | Self::AdsDelta)
    }

    pub(crate) const fn is_delta(self) -> bool {
        matches!(self, Self::AdsDelta | Self::SeparateDelta)
    }
}

// === impl Envoy ===

impl Envoy {
    /// Starts a node of the group, with the bootstrap that `chancery bootstrap` writes.
    pub(crate) fn start(release: Release, node: &str, mode: Mode, control: &Control) -> Self {
        Self::boot(release, node, &control.bootstrap(node, mode.flags()))
    }

    /// Starts a node that reaches the control plane through the relay.
    pub(crate) fn start_behind(relay: &Relay, release: Release, node: &str, mode: Mode, control: &Control) -> Self {
        Self::boot(release, node, &control.bootstrap_at(relay.address, node, mode.flags()))
    }

    pub(crate) fn boot(release: Release, node: &str, bootstrap: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bootstrap.json");
        fs::write(&file, bootstrap.to_string()).unwrap();
        let address = dir.path().join("admin-address");
        let log = File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new(release.binary())
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&address)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info"])
            .args(["--component-log-level", "config:debug"])
            .args(["--drain-time-s", "1", "--drain-strategy", "immediate"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let admin = eventually("the Envoy's admin address", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("Envoy ended, {status}: {}", tail(&dir));
            }
            let text = fs::read_to_string(&address).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| format!("no address: {text:?}"))
        });
        Self {
            node: node.to_owned(),
            child,
            admin,
            dir,
        }
    }

    /// A page of the admin interface.
    pub(crate) fn admin(&self, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.admin);
        send(CLIENT.get(url)).unwrap()
    }

    /// The counter or gauge of this name, or `None` before it exists.
    pub(crate) fn stat(&self, name: &str) -> Option<u64> {
        let text = self
            .admin(&format!("/stats?filter=^{}$", name.replace('.', "\\.")))
            .body;
        let (_, value) = text.trim().split_once(": ")?;
        value.parse().ok()
    }

    #[track_caller]
    pub(crate) fn expect_stat(&self, name: &str, value: u64) {
        eventually(name, || expect(self.stat(name), Some(value)));
    }

    /// All counters and gauges other than 0 with matching names, as `NAME: VALUE`.
    pub(crate) fn stats_beyond_zero(&self, pattern: &str) -> Vec<String> {
        let text = self.admin(&format!("/stats?filter={pattern}")).body;
        let beyond = text.lines().filter(|line| !line.ends_with(": 0"));
        beyond.map(str::to_owned).collect()
    }

    /// Asserts that no subscription timed out, including subscriptions that no longer exist.
    #[track_caller]
    pub(crate) fn expect_no_fetch_timeout(&self) {
        assert_eq!(self.stats_beyond_zero("init_fetch_timeout"), Vec::<String>::new());
        let log = self.log();
        let mut said = log.lines().filter(|line| line.contains("initial fetch timed out"));
        assert_eq!(said.next(), None, "{}", self.node);
    }

    /// Asserts that the Envoy refused nothing.
    #[track_caller]
    pub(crate) fn expect_no_refusal(&self) {
        assert_eq!(self.stats_beyond_zero("update_rejected"), Vec::<String>::new());
    }

    /// The whole log of the Envoy.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The connect timeout of the cluster in use.
    pub(crate) fn connect_timeout(&self, cluster: &str) -> Option<String> {
        let page = self.admin("/config_dump?resource=dynamic_active_clusters").body;
        let page: Value = serde_json::from_str(&page).unwrap();
        let clusters = page["configs"].as_array()?;
        let found = clusters.iter().find(|found| found["cluster"]["name"] == cluster)?;
        found["cluster"]["connect_timeout"].as_str().map(str::to_owned)
    }

    /// The clusters that are still warming, so without traffic.
    pub(crate) fn warming_clusters(&self) -> Vec<String> {
        let page = self.admin("/config_dump?resource=dynamic_warming_clusters").body;
        let page: Value = serde_json::from_str(&page).unwrap();
        let clusters = page["configs"].as_array().cloned().unwrap_or_default();
        let name = |found: &Value| found["cluster"]["name"].as_str().map(str::to_owned);
        clusters.iter().filter_map(name).collect()
    }

    /// Returns true once the Envoy has completed its initialization.
    pub(crate) fn is_ready(&self) -> bool {
        self.admin("/ready").status.is_success()
    }

    #[track_caller]
    pub(crate) fn expect_ready(&self) {
        eventually("the Envoy is ready", || expect(self.is_ready(), true));
    }

    /// The address on which the listener accepts connections.
    pub(crate) fn address(&self, listener: &str) -> Result<SocketAddr, String> {
        let page = self.admin("/listeners?format=json").body;
        let page: Value = serde_json::from_str(&page).map_err(|error| format!("{error}: {page}"))?;
        let all = page["listener_statuses"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|status| status["name"] == listener);
        let socket = &found.ok_or_else(|| format!("no listener {listener}"))?["local_address"]["socket_address"];
        let port = socket["port_value"].as_u64().unwrap();
        format!("127.0.0.1:{port}").parse().map_err(|_| format!("{socket}"))
    }

    /// Sends a request through a listener.
    pub(crate) fn get(&self, listener: &str) -> Result<Reply, String> {
        send(self.request(listener, "/")?)
    }

    /// The body of the answer to a request for this path, which must succeed.
    pub(crate) fn body(&self, listener: &str, path: &str) -> Result<String, String> {
        let reply = send(self.request(listener, path)?)?;
        expect(reply.status, StatusCode::OK)?;
        Ok(reply.body)
    }

    /// A request through a listener, to which headers can be added.
    pub(crate) fn request(&self, listener: &str, path: &str) -> Result<RequestBuilder, String> {
        Ok(CLIENT.get(format!("http://{}{path}", self.address(listener)?)))
    }

    /// Waits until requests through the listener are answered with this body.
    #[track_caller]
    pub(crate) fn expect_body(&self, listener: &str, body: &str) {
        eventually(&format!("requests through {listener} reach {body}"), || {
            let reply = self.get(listener)?;
            expect((reply.status, reply.body.as_str()), (StatusCode::OK, body))
        });
    }

    /// Returns true if the Envoy uses the cluster.
    pub(crate) fn has_cluster(&self, name: &str) -> bool {
        self.admin("/clusters").body.contains(&format!("{name}::"))
    }

    /// Sends requests through the listener from now on, on one connection as long as that lasts.
    pub(crate) fn kept_alive_traffic(&self, listener: &str) -> Traffic {
        Traffic::start(client(1), format!("http://{}/", self.address(listener).unwrap()))
    }

    /// Sends requests through the listener from now on, each on a new connection.
    pub(crate) fn traffic(&self, listener: &str) -> Traffic {
        self.traffic_to(listener, "/")
    }

    /// Sends requests for another path from now on, each on a new connection.
    pub(crate) fn traffic_to(&self, listener: &str, path: &str) -> Traffic {
        Traffic::start(
            CLIENT.clone(),
            format!("http://{}{path}", self.address(listener).unwrap()),
        )
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- Envoy {}, the end of its log:\n{}", self.node, tail(&self.dir));
        }
    }
}

/// The last lines of an Envoy's log.
fn tail(dir: &TempDir) -> String {
    let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    // The log begins with the names of all extensions, which are omitted.
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !(line.contains("[main] [source/server/server.cc:") && line.contains("]   ")))
        .collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

// === impl Traffic ===

impl Traffic {
    pub(crate) fn start(client: Client, url: String) -> Self {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let (stop, mut stopped) = oneshot::channel();
        let task = RUNTIME.spawn(async move {
            let mut failures = Vec::new();
            // Until the owner stops the traffic or is dropped.
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let number = SENT.fetch_add(1, Ordering::Relaxed);
                match receive(client.get(&url)).await {
                    Ok(reply) if reply.status.is_success() => {}
                    Ok(reply) => failures.push(format!("{number}: {reply:?}")),
                    Err(error) => failures.push(format!("{number}: {error}")),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failures
        });
        Self { stop, task }
    }

    /// Asserts that every request succeeded.
    #[track_caller]
    pub(crate) fn expect_no_failure(self) {
        self.stop.send(()).expect("the traffic goes on until here");
        let failures = RUNTIME.block_on(self.task).unwrap();
        assert!(failures.is_empty(), "{} requests failed: {failures:#?}", failures.len());
    }
}

/// Sends a request and reads the whole response.
pub(crate) fn send(request: RequestBuilder) -> Result<Reply, String> {
    RUNTIME.block_on(receive(request))
}

async fn receive(request: RequestBuilder) -> Result<Reply, String> {
    let failed = |error: reqwest::Error| format!("{error:?}");
    let response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.map_err(failed)?;
    Ok(Reply { status, headers, body })
}
