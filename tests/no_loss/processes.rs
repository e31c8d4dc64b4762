//! The real binary and a real Envoy, each with its log in a file, killed when dropped.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::time::sleep;

use crate::ports::free_address;

/// The published group, which is the node's cluster.
pub(crate) const GROUP: &str = "no-loss";
/// Long enough for a loaded machine, short enough to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// `chancery serve`.
pub(crate) struct Chancery {
    child: Child,
    pub(crate) xds: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) log: PathBuf,
}

/// Envoy, configured by Chancery alone.
pub(crate) struct Envoy {
    child: Child,
    pub(crate) admin: SocketAddr,
    access_log: PathBuf,
}

impl Chancery {
    /// Starts on `addresses` (xDS, admin), or on free ones; logs to `DIR/chancery-NUMBER.log`.
    pub(crate) fn start(
        dir: &Path,
        number: u64,
        addresses: Option<(SocketAddr, SocketAddr)>,
        flags: &[String],
    ) -> anyhow::Result<Self> {
        let (xds, admin) = addresses.unwrap_or_else(|| (free_address(), free_address()));
        let log = dir.join(format!("chancery-{number}.log"));
        let mut child = chancery()
            .arg("serve")
            .arg("--data-dir")
            .arg(dir.join("data"))
            .args([format!("--xds-addr={xds}"), format!("--admin-addr={admin}")])
            .args([
                "--http-addr=127.0.0.1:0",
                "--log-format=json",
                "--log-level=chancery=debug",
            ])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let printed = child.stdout.take().context("standard output is piped")?;
        let mut bound = Vec::new();
        for line in BufReader::new(printed).lines().take(3) {
            let line = line?;
            let (name, address) = line.split_once(" listening on ").context("an address")?;
            bound.push((name.to_owned(), address.parse()?));
        }
        let find = |name: &str| {
            let found = bound.iter().find(|(bound, _)| bound == name);
            found
                .map(|(_, address)| *address)
                .context("chancery serve did not start")
        };
        Ok(Self {
            xds: find("xds")?,
            admin: find("admin")?,
            child,
            log,
        })
    }

    /// Kills the process, like `kill -9`.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// The events of a log with this message, oldest first.
pub(crate) fn events(log: &Path, message: &str) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(log)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["message"] == message).collect())
}

impl Envoy {
    /// Starts an Envoy that takes all its configuration from the control plane at `xds`.
    pub(crate) async fn start(dir: &Path, xds: SocketAddr, delta: bool, drain: Option<u32>) -> anyhow::Result<Self> {
        let mut bootstrap = chancery();
        bootstrap.args(["bootstrap", "--node-id=envoy", "--admin-port=0"]);
        bootstrap.args([format!("--node-cluster={GROUP}"), format!("--xds-addr={xds}")]);
        if delta {
            bootstrap.arg("--delta");
        }
        let printed = bootstrap.output()?;
        ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        std::fs::write(dir.join("envoy.yaml"), printed.stdout)?;

        let binary = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/envoy-1.40.0/envoy");
        ensure!(binary.exists(), "{} is missing: run `make tools`", binary.display());
        let (address_file, access_log) = (dir.join("envoy.address"), dir.join("access.log"));
        let child = Command::new(binary)
            .args(["--disable-hot-restart", "--concurrency", "2", "-l", "info", "-c"])
            .arg(dir.join("envoy.yaml"))
            .args(
                drain
                    .iter()
                    .flat_map(|seconds| ["--drain-time-s".to_owned(), seconds.to_string()]),
            )
            .arg("--admin-address-path")
            .arg(&address_file)
            .stdout(File::create(&access_log)?)
            .stderr(File::create(dir.join("envoy.log"))?)
            .spawn()?;
        let mut envoy = Self {
            child,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            access_log,
        };
        let deadline = Instant::now() + PATIENCE;
        while envoy.admin.port() == 0 {
            ensure!(Instant::now() < deadline, "Envoy does not start: see {}", dir.display());
            sleep(Duration::from_millis(20)).await;
            let written = std::fs::read_to_string(&address_file).unwrap_or_default();
            envoy.admin = written.trim().parse().unwrap_or(envoy.admin);
        }
        Ok(envoy)
    }

    /// A page of Envoy's admin interface.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        get(self.admin, path).await
    }

    /// The clusters that take traffic, sorted.
    pub(crate) async fn active_clusters(&self) -> anyhow::Result<Vec<String>> {
        let dump = self.get("/config_dump?resource=dynamic_active_clusters").await?;
        let mut names: Vec<_> = clusters_of(&dump)?.into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    /// Stops the Envoy, so that it writes its access log, which has all failed requests.
    pub(crate) fn end(mut self) -> anyhow::Result<Vec<String>> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("Envoy does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = std::fs::read_to_string(&self.access_log)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let response = reqwest::get(format!("http://{address}{path}")).await?;
    Ok(response.error_for_status()?.text().await?)
}

/// The clusters in a part of Envoy's configuration dump, each with the time of its update.
pub(crate) fn clusters_of(dump: &str) -> anyhow::Result<Vec<(String, String)>> {
    let dump: Value = serde_json::from_str(dump)?;
    let configs = dump["configs"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cluster = |config: &Value| (text(&config["cluster"]["name"]), text(&config["last_updated"]));
    Ok(configs.iter().map(cluster).collect())
}

/// The real binary, without the caller's environment variables.
fn chancery() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command
}

impl Drop for Chancery {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
