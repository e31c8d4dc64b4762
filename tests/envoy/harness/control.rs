//! A control plane, in this process or in its own, and the command line as its client.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use chancery::{
    app::{App, Running},
    settings::{Layer, RegistryLayer, RestLayer, Settings, Span, XdsLayer},
};
use serde_json::Value;

use super::{Config, RUNTIME};

/// The group, which is the cluster of every node.
pub(crate) const GROUP: &str = "demo";

/// A control plane that runs until it is dropped.
pub(crate) struct Control {
    pub(crate) xds: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) http: SocketAddr,
    plane: Plane,
}

enum Plane {
    InProcess(Option<Box<Running>>),
    Process(Child),
}

/// Output and exit code of a run of the binary.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl Control ===

impl Control {
    /// Starts in this process, on free ports, without a store.
    pub(crate) fn start() -> Self {
        Self::with(Layer::default())
    }

    /// Starts in this process, and publishes the folders of a directory.
    pub(crate) fn over_files(root: &Path) -> Self {
        Self::with(Layer {
            files: Some(root.to_owned()),
            ..Layer::default()
        })
    }

    /// Starts in this process with these settings.
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
            xds: XdsLayer {
                drain: Some(Span(Duration::ZERO)),
                ..XdsLayer::default()
            },
            ..Layer::default()
        }));
        let running = RUNTIME.block_on(App::start(settings.unwrap())).unwrap();
        Self {
            xds: running.addresses.xds,
            admin: running.addresses.admin,
            http: running.addresses.http,
            plane: Plane::InProcess(Some(Box::new(running))),
        }
    }

    /// Starts the binary with the data directory `data`.
    pub(crate) fn process(data: &Path, xds: SocketAddr, admin: SocketAddr) -> Self {
        Self::process_with(&["--data-dir", data.to_str().unwrap()], xds, admin)
    }

    /// Starts the binary with these flags.
    pub(crate) fn process_with(flags: &[&str], xds: SocketAddr, admin: SocketAddr) -> Self {
        let mut child = chancery(&["serve", "--http-addr=127.0.0.1:0"])
            .args(flags)
            .args([format!("--xds-addr={xds}"), format!("--admin-addr={admin}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.next().expect("an address for every port").unwrap();
            let (found, address) = line.split_once(" listening on ").expect("an address");
            assert_eq!(found, name);
            address.parse().unwrap()
        };
        Self {
            xds: address("xds"),
            admin: address("admin"),
            http: address("http"),
            plane: Plane::Process(child),
        }
    }

    /// Kills the process, and starts another in its place.
    pub(crate) fn restart(&mut self, data: &Path) {
        self.restart_with(&["--data-dir", data.to_str().unwrap()]);
    }

    /// Kills the process, and starts another with these flags in its place.
    pub(crate) fn restart_with(&mut self, flags: &[&str]) {
        self.kill();
        *self = Self::process_with(flags, self.xds, self.admin);
    }

    pub(crate) fn kill(&mut self) {
        let Plane::Process(child) = &mut self.plane else {
            panic!("only a process can be killed");
        };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs the binary against this control plane, with `stdin` for `-f -`.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).ok();
        child.wait_with_output().unwrap().into()
    }

    /// The binary against this control plane.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = chancery(args);
        command.env("CHANCERY_ADMIN", format!("http://{}", self.admin));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Publishes without waiting for the nodes.
    #[track_caller]
    pub(crate) fn publish(&self, config: &Config) {
        let ran = self.replace(config, &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Publishes, and waits until every connected node has the revision.
    #[track_caller]
    pub(crate) fn deliver(&self, config: &Config) {
        let ran = self.replace(config, &["--wait", "--timeout=30s"]);
        assert_eq!(ran.code, 0, "{ran:?}\n{}", self.run(&["status"]).stdout);
    }

    /// Runs `chancery replace` with additional flags.
    pub(crate) fn replace(&self, config: &Config, flags: &[&str]) -> Ran {
        let args = ["replace", "-g", GROUP, "-f", "-", "--allow-removals"];
        self.run_with(&[&args, flags].concat(), config.to_string().as_bytes())
    }

    /// The node in the output of `chancery status NODE -o json`.
    pub(crate) fn status(&self, node: &str) -> Result<Value, String> {
        let ran = self.run(&["status", node, "-o", "json"]);
        if ran.code != 0 {
            return Err(ran.stderr);
        }
        serde_json::from_str(&ran.stdout).map_err(|error| error.to_string())
    }

    /// The status of one type of the node, over all its streams.
    pub(crate) fn type_status(&self, node: &str, type_url: &str) -> Result<Value, String> {
        let status = self.status(node)?;
        let rows = status["types"].as_array().expect("a list of types");
        let row = rows.iter().find(|row| row["type_url"] == type_url);
        row.cloned()
            .ok_or_else(|| format!("{node} has no {type_url}: {status}"))
    }

    /// The number of responses of one type that the node was sent.
    pub(crate) fn sent_total(&self, node: &str, type_url: &str) -> u64 {
        let row = self.type_status(node, type_url).unwrap();
        row["sent_total"].as_u64().unwrap()
    }

    /// The number of open streams of the node.
    pub(crate) fn streams(&self, node: &str) -> usize {
        let status = self.status(node).unwrap();
        status["streams"].as_array().unwrap().len()
    }

    /// The output of `chancery bootstrap` for a node of the group.
    pub(crate) fn bootstrap(&self, node: &str, flags: &[&str]) -> Value {
        self.bootstrap_at(self.xds, node, flags)
    }

    /// The bootstrap of a node that reaches the control plane at another address.
    pub(crate) fn bootstrap_at(&self, xds: SocketAddr, node: &str, flags: &[&str]) -> Value {
        let xds = xds.to_string();
        let who = ["--node-id", node, "--node-cluster", GROUP, "--admin-port", "0"];
        let args = [&["bootstrap", "-o", "json", "--xds-addr", &xds], &who[..], flags].concat();
        let ran = self.run(&args);
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        match &mut self.plane {
            Plane::InProcess(running) => {
                RUNTIME.block_on(running.take().expect("only drop takes the server").shutdown());
            }
            Plane::Process(child) => {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

/// The real binary, without the caller's environment variables.
fn chancery(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
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
