//! A server under test as a process of its own, pinned to a core; and the one way to publish to any of them.

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

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// How long it may take to end by itself.
const STOP: Duration = Duration::from_secs(10);

/// How long a publish may take.
const PUBLISH: Duration = Duration::from_secs(120);

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeerKind {
    /// `chancery serve`, keeping snapshots in memory.
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

/// Where the binaries are, and which cores are whose.
#[derive(Clone, Debug)]
pub(crate) struct Machines {
    pub(crate) chancery: PathBuf,
    pub(crate) go_peer: Option<PathBuf>,
    /// Of the servers and of the generator; `None` with a single core.
    pub(crate) cores: Option<(usize, usize)>,
    /// With it the xDS port speaks mTLS, of the servers that can: Chancery and limit-raw.
    pub(crate) tls: Option<Arc<Secure>>,
    /// Rules over who may be which node, as a config file of Chancery has them.
    pub(crate) rules: Option<PathBuf>,
}

/// A running server.
pub(crate) struct Peer {
    pub(crate) kind: PeerKind,
    pub(crate) xds: Door,
    pub(crate) watched: Watched,
    publisher: Publisher,
    child: Child,
    /// Everything it said on its standard error.
    log: File,
    _data: Option<tempfile::TempDir>,
}

enum Publisher {
    Admin(Admin),
    Pipe(Pipe),
}

/// What to publish.
#[derive(Clone, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) groups: &'a [String],
    /// `version_info` of the types that change: a commit's number.
    pub(crate) version: u64,
    /// Everything the groups have from now on, or only what changes.
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

    /// Whether it can be told to speak mTLS.
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
    /// Starts it, and waits until it listens.
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
        let watched = Watched::of(child.id().context("it has ended")?)?;
        let mut output = BufReader::new(child.stdout.take().context("its output is piped")?);
        let (xds, publisher) = match kind {
            PeerKind::Chancery | PeerKind::ChanceryOnDisk => {
                let (xds, admin) = chancery_addresses(&mut output).await?;
                // What it prints from now on is not read: there is none.
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

    /// Publishes, and gives the time that the publish itself took: of the server's own call where it says so, of the RPC
    /// otherwise.
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

    /// Asks the runtime to give memory back, where there is one that keeps it.
    pub(crate) async fn trim(&mut self) -> Result<()> {
        match &mut self.publisher {
            Publisher::Admin(_) => Ok(()),
            Publisher::Pipe(pipe) => timeout(PUBLISH, pipe.trim()).await.context("no answer to a trim")?,
        }
    }

    /// Streams that the server says are open; of Chancery only.
    pub(crate) async fn open_streams(&mut self) -> Result<usize> {
        match &mut self.publisher {
            Publisher::Admin(admin) => timeout(PUBLISH, admin.open_streams())
                .await
                .context("no list of nodes")?,
            Publisher::Pipe(_) => anyhow::bail!("{} has no list of nodes", self.kind),
        }
    }

    /// Waits until the server has nothing left to do, a few seconds at most.
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

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        drop(self.publisher);
        if matches!(self.kind, PeerKind::Chancery | PeerKind::ChanceryOnDisk) {
            // Its shutdown is not what is measured.
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
    // The offset is the server's, which may still write.
    let read = log.read_at(&mut bytes, len.saturating_sub(2000)).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..read]);
    if text.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.trim_end().lines().collect();
    format!("; it says: {}", lines[lines.len().saturating_sub(5)..].join(" | "))
}

/// The child inherits the core that this thread is on at the moment.
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
            .with_context(|| format!("it said {line:?}"))?;
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
    let address = line.strip_prefix(before).with_context(|| format!("it said {line:?}"))?;
    Ok(address.parse()?)
}

async fn read_line(output: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    let read = output.take(4096).read_line(&mut line).await?;
    ensure!(read > 0, "it ended before it listened");
    Ok(line.trim_end().to_owned())
}
