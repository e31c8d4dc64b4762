//! Churn for a long time: nodes connect and disconnect, change subscriptions, refuse, stop reading, while publishes follow each
//! other. Memory, threads, open files and streams are sampled, and must not grow after the warm-up.

use std::{
    collections::VecDeque,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    bench::Bench,
    content::{self, Item, cluster_name},
    hostile,
    load::{Behaviour, Fleet, NodePlan, TypePlan, Variant},
    peer::{Machines, Peer, PeerKind, Publish},
    results::quantile,
    scenario::memory,
    secure::Secure,
    wire::type_url,
};

/// Fleets that are connected at the same time; every second the oldest disconnects and another connects.
const FLEETS: usize = 10;
/// Number of nodes of each fleet. A fleet reconnects under the same names, so the remembered nodes are bounded.
const NODES: usize = 40;
/// Number of clusters, and of their endpoints.
const RESOURCES: usize = 300;
const PUBLISHES_PER_SECOND: u64 = 20;

/// The share of the time before growth counts: histories fill, allocators find their size.
const WARM_UP: f64 = 0.4;

/// The permitted growth of memory after the warm-up, by the line through its samples: a leak of a kilobyte per node that
/// connects and disconnects would be 14 MB in ten minutes.
const MEMORY_GROWTH: f64 = 6e6;
/// The permitted growth of threads, and the permitted rest once all nodes have disconnected.
const COUNT_GROWTH: f64 = 3.0;
/// The permitted growth of open files: the number of connections differs from second to second.
const FILES_GROWTH: f64 = 30.0;

/// One sample of the server.
#[derive(Clone, Copy, Debug)]
struct Look {
    seconds: f64,
    pss: f64,
    threads: f64,
    files: f64,
    streams: f64,
}

/// Runs for this time, and reports growth. A hostile run is over mTLS, with rules, and among clients that must be refused.
pub(crate) async fn run(bench: &Bench, span: Duration, is_hostile: bool) -> Result<ExitCode> {
    let groups = ["soak".to_owned()];
    let machines = if is_hostile {
        let secure = Secure::new()?;
        let rules = Some(hostile::rules(&secure, &groups[0])?);
        Machines {
            tls: Some(Arc::new(secure)),
            rules,
            ..bench.machines.clone()
        }
    } else {
        bench.machines.clone()
    };
    let mut peer = Peer::start(PeerKind::Chancery, &machines).await?;
    let mut churn = Churn::default();
    churn.publish(&mut peer, &groups).await?;
    let base = look(&mut peer, 0.0).await?;
    let mut looks = Vec::new();
    let begun = Instant::now();
    let mut turns = interval(Duration::from_secs(1) / u32::try_from(PUBLISHES_PER_SECOND)?);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < span {
        turns.tick().await;
        churn.publish(&mut peer, &groups).await?;
        if churn.version % PUBLISHES_PER_SECOND == 0 {
            churn.replace_fleet(&peer, &groups[0]).await?;
            if is_hostile {
                hostile::second(&peer.xds, &groups[0]).await?;
            }
            let look = look(&mut peer, begun.elapsed().as_secs_f64()).await?;
            if looks.len() % 10 == 0 {
                println!("    {look}");
            }
            looks.push(look);
        }
    }
    drop(churn);
    let left = rest(&mut peer).await?;
    println!("    at rest, without nodes: {left}");
    peer.stop().await;
    let warm: Vec<Look> = looks
        .iter()
        .copied()
        .filter(|look| look.seconds >= span.as_secs_f64() * WARM_UP)
        .collect();
    let grown = [
        Growth::of("memory in MB", &warm, |look| look.pss / 1e6, MEMORY_GROWTH / 1e6),
        Growth::of("threads", &warm, |look| look.threads, COUNT_GROWTH),
        Growth::of("open files", &warm, |look| look.files, FILES_GROWTH),
        Growth::of("open streams", &warm, |look| look.streams, FILES_GROWTH),
    ];
    let mut held = true;
    for growth in grown.into_iter().flatten() {
        println!("{growth}");
        held &= growth.holds();
    }
    for (what, left, base) in [
        ("streams left at the end", left.streams, base.streams),
        ("files left at the end", left.files, base.files),
    ] {
        let same = left <= base + COUNT_GROWTH;
        println!(
            "{what:<28}{left:>8}, {base} before: {}",
            if same { "ok" } else { "LEAKED" }
        );
        held &= same;
    }
    if warm.len() < 5 {
        println!("too short to tell growth: let it run for longer");
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(peer: &mut Peer, seconds: f64) -> Result<Look> {
    Ok(Look {
        seconds,
        pss: peer.watched.memory()?.pss as f64,
        threads: peer.watched.threads()? as f64,
        files: peer.watched.files()? as f64,
        streams: peer.open_streams().await? as f64,
    })
}

/// Waits until the closed streams are gone, and takes a sample.
async fn rest(peer: &mut Peer) -> Result<Look> {
    for _ in 0..100 {
        if peer.open_streams().await? == 0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    peer.settle().await?;
    look(peer, 0.0).await
}

/// The state of the churn.
#[derive(Default)]
struct Churn {
    version: u64,
    fleets: VecDeque<Fleet>,
    turn: usize,
}

impl Churn {
    /// Usually changes a few resources; now and then all of them, with another number of resources than before.
    async fn publish(&mut self, peer: &mut Peer, groups: &[String]) -> Result<()> {
        self.version += 1;
        let version = self.version;
        let replace = version % 50 == 1;
        let items: Vec<Item> = if replace {
            let count = RESOURCES - usize::try_from(version)? % 40;
            (0..count).flat_map(|number| both(number, version)).collect()
        } else {
            let at = usize::try_from(version)? * 7;
            // Below the smallest number of resources, so they always exist.
            (at..at + 3)
                .flat_map(|number| both(number % (RESOURCES - 40), version))
                .collect()
        };
        let publish = Publish {
            groups,
            version,
            replace,
            items: &items,
        };
        peer.publish(&publish).await?;
        Ok(())
    }

    /// Disconnects the oldest fleet, synced or not, and connects another with other subscriptions.
    async fn replace_fleet(&mut self, peer: &Peer, group: &str) -> Result<()> {
        if self.fleets.len() == FLEETS {
            self.fleets.pop_front();
        }
        let plans = plans(self.turn, group);
        self.turn += 1;
        self.fleets
            .push_back(Fleet::connect(&peer.xds, plans, 1 + self.turn % 3).await?);
        Ok(())
    }
}

fn both(number: usize, version: u64) -> [Item; 2] {
    [
        content::eds_cluster(number, version, 370),
        content::endpoints(number, version, 370),
    ]
}

fn plans(turn: usize, group: &str) -> Vec<NodePlan> {
    let names: Vec<String> = (0..50)
        .map(|index| cluster_name((turn * 13 + index) % RESOURCES))
        .collect();
    let types = |variant| -> Arc<[TypePlan]> {
        Arc::new([
            TypePlan::wildcard(variant, type_url::CLUSTER, RESOURCES),
            TypePlan::named(variant, type_url::ENDPOINT, &names).after(type_url::CLUSTER),
        ])
    };
    let (sotw, delta) = (types(Variant::Sotw), types(Variant::Delta));
    let node = |number: usize| {
        let variant = if number.is_multiple_of(2) {
            Variant::Sotw
        } else {
            Variant::Delta
        };
        NodePlan {
            id: format!("soak-{:02}-{number:02}", turn % (2 * FLEETS)),
            group: group.to_owned(),
            variant,
            types: Arc::clone(if variant == Variant::Sotw { &sotw } else { &delta }),
            behaviour: match number {
                0..4 => Behaviour::Nacks,
                4 => Behaviour::NeverReads,
                5 => Behaviour::Chatters(50),
                _ => Behaviour::Healthy,
            },
        }
    };
    (0..NODES).map(node).collect()
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>6.0} s  {:>7.1} MB  {:>4} threads  {:>5} files  {:>5} streams",
            self.seconds,
            self.pss / 1e6,
            self.threads,
            self.files,
            self.streams
        )
    }
}

/// The rise of the line through the samples.
#[derive(Debug)]
struct Growth {
    what: &'static str,
    per_minute: f64,
    whole: f64,
    median: f64,
    most: f64,
}

impl Growth {
    fn of(what: &'static str, looks: &[Look], value: fn(&Look) -> f64, most: f64) -> Option<Self> {
        let points: Vec<(f64, f64)> = looks.iter().map(|look| (look.seconds, value(look))).collect();
        let slope = memory::slope(&points)?;
        let span = looks.last()?.seconds - looks.first()?.seconds;
        let values: Vec<f64> = points.iter().map(|point| point.1).collect();
        Some(Self {
            what,
            per_minute: slope * 60.0,
            whole: slope * span,
            median: quantile(&values, 0.5)?,
            most,
        })
    }

    fn holds(&self) -> bool {
        self.whole <= self.most
    }
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.holds() { "ok" } else { "GROWS" };
        write!(
            f,
            "{:<28}{:>8.1} in the middle, {:+.2} a minute, {:+.2} in all, at most {:+.2}: {verdict}",
            self.what, self.median, self.per_minute, self.whole, self.most
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let look = |seconds: u32, pss| Look {
            seconds: f64::from(seconds),
            pss,
            threads: 4.0,
            files: 10.0,
            streams: 0.0,
        };
        let memory = |looks: &[Look]| Growth::of("memory", looks, |look| look.pss, 5.0).unwrap();
        let noisy: Vec<Look> = (0..60).map(|n| look(n, 100.0 + f64::from(n % 3))).collect();
        assert!(memory(&noisy).holds());
        let leaking: Vec<Look> = (0..60).map(|n| look(n, 100.0 + f64::from(n))).collect();
        assert!(!memory(&leaking).holds());
    }
}
