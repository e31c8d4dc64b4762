//! A server under test as a separate process, pinned to a core; and the common interface to publish to any server.

mod chancery;
mod pipe;

use std::{
    fmt,
    fs::File,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use self::{chancery::Admin, pipe::Pipe};
use crate::{
    content::Item,
    process::{self, Watched},
    secure::{Door, Secure},
};

/// The bound on the start of a server.
const START: Duration = Duration::from_secs(30);

/// The bound on the orderly end of a server.
const STOP: Duration = Duration::from_secs(10);

/// The bound on a publish.
const PUBLISH: Duration = Duration::from_secs(120);

/// The compared servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeerKind {
    /// `chancery serve` with snapshots in memory.
    Chancery,
    /// `chancery serve` with a data directory.
    ChanceryOnDisk,
    LimitRaw,
    Naive,
    /// go-control-plane's `SnapshotCache`.
    GoSnapshot,
    /// go-control-plane's `LinearCache`.
    GoLinear,
}

/// The paths of the binaries, and the assignment of cores.
#[derive(Clone, Debug)]
pub(crate) struct Machines {
    pub(crate) chancery: PathBuf,
    pub(crate) go_peer: Option<PathBuf>,
    /// Cores of the servers and of the generator; `None` with a single core.
    pub(crate) cores: Option<(usize, usize)>,
    /// If set, the xDS port of Chancery and limit-raw uses mTLS.
    pub(crate) tls: Option<Arc<Secure>>,
    /// Rules that map identities to nodes, as a config file of Chancery.
    pub(crate) rules: Option<PathBuf>,
}

/// A running server.
pub(crate) struct Peer {
    pub(crate) kind: PeerKind,
    pub(crate) xds: Door,
    pub(crate) watched: Watched,
    publisher: Publisher,
    child: Child,
    /// The server's standard error.
    log: File,
    _data: Option<tempfile::TempDir>,
}

enum Publisher {
    Admin(Admin),
    Pipe(Pipe),
}

/// The content of a publish.
#[derive(Clone, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) groups: &'a [String],
    /// `version_info` of the changed types: a commit's number.
    pub(crate) version: u64,
    /// True to replace all resources of the groups, false to publish only changes.
    pub(crate) replace: bool,
    pub(crate) items: &'a [Item],
}

// === impl PeerKind ===

impl PeerKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chancery => "chancery",
            Self::ChanceryOnDisk => "chancery, redb",
            Self::LimitRaw => "limit-raw",
            Self::Naive => "naive",
            Self::GoSnapshot => "go SnapshotCache",
            Self::GoLinear => "go LinearCache",
        }
    }

    /// Returns true if the server supports mTLS.
    pub(crate) const fn can_tls(self) -> bool {
        matches!(self, Self::Chancery | Self::ChanceryOnDisk | Self::LimitRaw)
    }

    pub(crate) const fn is_go(self) -> bool {
        matches!(self, Self::GoSnapshot | Self::GoLinear)
    }
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// === impl Peer ===

impl Peer {
    /// Starts the server, and waits until it listens.
    pub(crate) async fn start(kind: PeerKind, machines: &Machines) -> Result<Self> {
        let log = tempfile::tempfile().context("no file for its log")?;
        timeout(START, Self::starting(kind, machines, &log))
            .await
            .with_context(|| format!("{kind} did not start within {START:?}"))?
            .with_context(|| format!("{kind} did not start{}", tail(&log)))
    }

    async fn starting(kind: PeerKind, machines: &Machines, log: &File) -> Result<Self> {
        let (mut command, data) = command(kind, machines)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .kill_on_drop(true);
        let mut child = spawn(&mut command, machines.cores)?;
        let watched = Watched::of(child.id().context("the server has ended")?)?;
        let mut output = BufReader::new(child.stdout.take().context("its output is piped")?);
        let (xds, publisher) = match kind {
            PeerKind::Chancery | PeerKind::ChanceryOnDisk => {
                let (xds, admin) = chancery_addresses(&mut output).await?;
                // Chancery prints nothing after this, so nobody reads its output.
                (xds, Publisher::Admin(Admin::connect(admin).await?))
            }
            PeerKind::LimitRaw | PeerKind::Naive | PeerKind::GoSnapshot | PeerKind::GoLinear => {
                let xds = listening(&mut output, "listening on ").await?;
                let input = child.stdin.take().context("its input is piped")?;
                (xds, Publisher::Pipe(Pipe::new(input, output)))
            }
        };
        let xds = Door {
            address: xds,
            tls: machines.tls.clone().filter(|_| kind.can_tls()),
        };
        Ok(Self {
            kind,
            xds,
            watched,
            publisher,
            child,
            log: log.try_clone()?,
            _data: data,
        })
    }

    /// Publishes, and returns the time of the publish itself: of the server's own call if the server reports it, otherwise of the
    /// RPC.
    pub(crate) async fn publish(&mut self, publish: &Publish<'_>) -> Result<Duration> {
        let kind = self.kind;
        let publishing = async {
            let begun = Instant::now();
            match &mut self.publisher {
                Publisher::Admin(admin) => {
                    admin.publish(publish).await?;
                    Ok(begun.elapsed())
                }
                Publisher::Pipe(pipe) => pipe.publish(publish).await,
            }
        };
        timeout(PUBLISH, publishing)
            .await
            .with_context(|| format!("{kind} did not answer a publish within {PUBLISH:?}"))?
            .with_context(|| format!("publishing to {kind}{}", tail(&self.log)))
    }

    /// Asks the server's runtime to return free memory, if it keeps any.
    pub(crate) async fn trim(&mut self) -> Result<()> {
        match &mut self.publisher {
            Publisher::Admin(_) => Ok(()),
            Publisher::Pipe(pipe) => timeout(PUBLISH, pipe.trim()).await.context("no answer to a trim")?,
        }
    }

    /// The number of open streams in Chancery's own status; Chancery only.
    pub(crate) async fn open_streams(&mut self) -> Result<usize> {
        match &mut self.publisher {
            Publisher::Admin(admin) => timeout(PUBLISH, admin.open_streams())
                .await
                .context("no list of nodes")?,
            Publisher::Pipe(_) => anyhow::bail!("{} has no list of nodes", self.kind),
        }
    }

    /// Waits until the server has nothing left to do, for a few seconds at most.
    pub(crate) async fn settle(&self) -> Result<()> {
        let begun = Instant::now();
        let (mut before, mut quiet) = (self.watched.cpu()?, 0);
        while quiet < 2 && begun.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(10)).await;
            let now = self.watched.cpu()?;
            let rested = now.saturating_sub(before) < Duration::from_micros(200) && self.watched.sleeps()?;
            quiet = if rested { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// Stops the server.
    pub(crate) async fn stop(mut self) {
        drop(self.publisher);
        if matches!(self.kind, PeerKind::Chancery | PeerKind::ChanceryOnDisk) {
            // The shutdown is not measured.
            self.child.start_kill().ok();
        }
        if timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await.ok();
        }
    }
}

fn command(kind: PeerKind, machines: &Machines) -> Result<(Command, Option<tempfile::TempDir>)> {
    let mut data = None;
    let command = match kind {
        PeerKind::Chancery | PeerKind::ChanceryOnDisk => {
            let mut command = Command::new(&machines.chancery);
            for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
                command.env_remove(name);
            }
            command
                .args(["serve", "--log-level=error", "--keep-revisions=5"])
                .args([
                    "--xds-addr=127.0.0.1:0",
                    "--admin-addr=127.0.0.1:0",
                    "--http-addr=127.0.0.1:0",
                ]);
            if let Some(secure) = &machines.tls {
                command.args(secure.flags("xds-"));
            }
            if let Some(rules) = &machines.rules {
                command.arg("--config").arg(rules);
            }
            if kind == PeerKind::ChanceryOnDisk {
                let dir = tempfile::tempdir().context("no directory for its data")?;
                command.arg("--data-dir").arg(dir.path());
                data = Some(dir);
            } else {
                command.arg("--ephemeral");
            }
            command
        }
        PeerKind::LimitRaw | PeerKind::Naive => {
            let mut command = Command::new(std::env::current_exe()?);
            let which = if kind == PeerKind::Naive { "naive" } else { "limit-raw" };
            command.args(["serve", which]);
            if let Some(secure) = machines.tls.as_ref().filter(|_| kind.can_tls()) {
                command.args(secure.flags(""));
            }
            command
        }
        PeerKind::GoSnapshot | PeerKind::GoLinear => {
            let binary = machines.go_peer.as_ref();
            let mut command = Command::new(binary.context("--go-peer is not given")?);
            command.arg(if kind == PeerKind::GoLinear {
                "linear"
            } else {
                "snapshot"
            });
            command
        }
    };
    Ok((command, data))
}

/// The last lines of a log, as the end of an error.
fn tail(log: &File) -> String {
    let len = log.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; 2000];
    // The server shares the file's offset, and may still write.
    let read = log.read_at(&mut bytes, len.saturating_sub(2000)).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..read]);
    if text.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.trim_end().lines().collect();
    format!("; it says: {}", lines[lines.len().saturating_sub(5)..].join(" | "))
}

/// Spawns the process on the server's core, which the child inherits from this thread.
fn spawn(command: &mut Command, cores: Option<(usize, usize)>) -> Result<Child> {
    if let Some((server, _)) = cores {
        process::pin(server)?;
    }
    let child = command.spawn().context("the process cannot be started");
    if let Some((_, generator)) = cores {
        process::pin(generator)?;
    }
    child
}

async fn chancery_addresses(output: &mut BufReader<ChildStdout>) -> Result<(SocketAddr, SocketAddr)> {
    let (mut xds, mut admin) = (None, None);
    for _ in 0..3 {
        let line = read_line(output).await?;
        let (name, address) = line
            .split_once(" listening on ")
            .with_context(|| format!("the server printed {line:?}"))?;
        match name {
            "xds" => xds = Some(address.parse()?),
            "admin" => admin = Some(address.parse()?),
            _ => {}
        }
    }
    Ok((xds.context("no xDS address")?, admin.context("no admin address")?))
}

async fn listening(output: &mut BufReader<ChildStdout>, before: &str) -> Result<SocketAddr> {
    let line = read_line(output).await?;
    let address = line
        .strip_prefix(before)
        .with_context(|| format!("the server printed {line:?}"))?;
    Ok(address.parse()?)
}

async fn read_line(output: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    let read = output.take(4096).read_line(&mut line).await?;
    ensure!(read > 0, "the server ended before it listened");
    Ok(line.trim_end().to_owned())
}
