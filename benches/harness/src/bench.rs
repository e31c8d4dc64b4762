//! The context of a scenario: the machine's cores, the binaries, and the samples.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    content::Item,
    load::{self, Board, Fleet, NodePlan},
    peer::{Machines, Peer, PeerKind, Publish},
    process,
    results::Outcome,
    secure::Secure,
};

/// The bound on the time for a fleet to receive one commit, or to connect and receive everything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) machines: Machines,
    /// True for the short form.
    pub(crate) quick: bool,
    outcome: Arc<Mutex<Outcome>>,
}

/// A server with its fleet.
pub(crate) struct Arm {
    pub(crate) peer: Peer,
    pub(crate) fleet: Fleet,
    pub(crate) groups: Vec<String>,
    /// The version of the last commit.
    pub(crate) version: u64,
}

/// Measures server CPU, own CPU and wall time, from one moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    wall: Instant,
    own: Duration,
    server: Duration,
}

/// The values of a [`Meter`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) wall: f64,
    /// CPU time of the server in seconds.
    pub(crate) cpu: f64,
    /// The generator's share of its core.
    pub(crate) share: f64,
}

// === impl Bench ===

impl Bench {
    pub(crate) fn new(machines: Machines, quick: bool) -> Self {
        Self {
            machines,
            quick,
            outcome: Arc::default(),
        }
    }

    /// A copy of the run, over mTLS.
    pub(crate) fn over_tls(&self) -> Result<Self> {
        Ok(Self {
            machines: Machines {
                tls: Some(Arc::new(Secure::new()?)),
                ..self.machines.clone()
            },
            quick: self.quick,
            outcome: Arc::clone(&self.outcome),
        })
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The samples recorded since the last call.
    pub(crate) fn take(&self) -> Outcome {
        std::mem::take(&mut self.outcome())
    }

    pub(crate) fn record(&self, case: &str, peer: PeerKind, metric: &str, value: f64) {
        self.outcome().add(case, peer.name(), metric, value);
    }

    pub(crate) fn record_all(&self, case: &str, peer: PeerKind, metric: &str, values: &[f64]) {
        self.outcome().add_all(case, peer.name(), metric, values);
    }

    /// Adds a remark that a reader of the figures must know.
    pub(crate) fn note(&self, note: String) {
        println!("    ! {note}");
        let mut outcome = self.outcome();
        if !outcome.notes.contains(&note) {
            outcome.notes.push(note);
        }
    }

    /// `full`, or `quick` in the short form.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Those of `kinds` that have binaries.
    pub(crate) fn peers(&self, kinds: &[PeerKind]) -> Vec<PeerKind> {
        let built = |kind: PeerKind| self.machines.go_peer.is_some() || !kind.is_go();
        let there = |kind: &&PeerKind| built(**kind) && (self.machines.tls.is_none() || kind.can_tls());
        kinds.iter().filter(there).copied().collect()
    }

    /// The value of the result, or on failure a note that this peer drops out of the case.
    pub(crate) fn survive<T>(&self, case: &str, peer: PeerKind, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(format!("{case}: {peer} is left out: {error:#}"));
                None
            }
        }
    }
}

// === impl Arm ===

impl Arm {
    /// Starts a server without nodes that has published `items` to `groups` as its first commit.
    pub(crate) async fn start(bench: &Bench, kind: PeerKind, groups: &[String], items: &[Item]) -> Result<Self> {
        let mut peer = Peer::start(kind, &bench.machines).await?;
        let version = 1;
        if !items.is_empty() {
            peer.publish(&Publish {
                groups,
                version,
                replace: true,
                items,
            })
            .await?;
        }
        Ok(Self {
            peer,
            fleet: Fleet::default(),
            groups: groups.to_vec(),
            version,
        })
    }

    /// Connects nodes and waits until they have received all expected resources.
    pub(crate) async fn connect(&mut self, plans: Vec<NodePlan>) -> Result<()> {
        self.fleet.add(&self.peer.xds, plans, 1).await?;
        self.synced().await?;
        self.peer.settle().await
    }

    pub(crate) async fn synced(&self) -> Result<()> {
        let what = format!("{}'s nodes to be sent all they asked for", self.peer.kind);
        load::until(self.board(), &what, PATIENCE, |totals| totals.synced >= totals.nodes).await
    }

    pub(crate) fn board(&self) -> &Board {
        self.fleet.board()
    }

    /// Publishes a change without waiting for nodes. Returns the time of the publish itself.
    pub(crate) async fn publish(&mut self, items: &[Item], replace: bool) -> Result<Duration> {
        self.version += 1;
        let publish = Publish {
            groups: &self.groups,
            version: self.version,
            replace,
            items,
        };
        let took = self.peer.publish(&publish).await?;
        self.fleet.board().answered(self.version);
        Ok(took)
    }

    /// Publishes a change, and waits until every healthy node has it.
    pub(crate) async fn commit(&mut self, items: &[Item]) -> Result<()> {
        let before = self.board().totals().delivered;
        self.board().begin(self.version + 1, Instant::now());
        self.publish(items, false).await?;
        let what = format!("commit {} to reach every node of {}", self.version, self.peer.kind);
        load::until(self.board(), &what, PATIENCE, |totals| totals.delivered > before).await
    }

    pub(crate) fn meter(&self) -> Result<Meter> {
        Ok(Meter {
            wall: Instant::now(),
            own: process::own_cpu(),
            server: self.peer.watched.cpu()?,
        })
    }

    /// Reads the meter, once the server has come to rest. The wait counts only for the server's CPU.
    pub(crate) async fn read(&self, meter: Meter) -> Result<Reading> {
        let wall = meter.wall.elapsed().as_secs_f64();
        let own = process::own_cpu().saturating_sub(meter.own).as_secs_f64();
        self.peer.settle().await?;
        let cpu = self.peer.watched.cpu()?.saturating_sub(meter.server).as_secs_f64();
        Ok(Reading {
            wall,
            cpu,
            share: own / wall.max(1e-6),
        })
    }

    pub(crate) async fn stop(self) {
        drop(self.fleet);
        self.peer.stop().await;
    }
}
