//! Floods of every kind against the real binary, while a small fleet is served: no node is locked out, no publish is lost, and the
//! memory stays bounded.
//!
//! Each flood lasts some seconds here, 15 s if its memory grows slowly, and a minute in `make floods`, which also checks times.

// The helpers are test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod attack;
mod caller;
mod crowd;
mod fleet;
mod server;

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use self::{
    attack::{FLOODS, Flood, Target},
    crowd::{Crowd, UNAVAILABLE},
    fleet::{Fleet, PATIENCE, Seen, next_publish},
    server::Server,
};

/// Number of attackers at once. Half of them share an address, the others have one each.
const ATTACKERS: usize = 20;

/// The limit of the server's memory under any flood, in KiB.
const MOST_KIB: u64 = 512 * 1024;

/// The bounds on times in `make floods`.
const SLOWEST_PUBLISH: Duration = Duration::from_secs(1);
const SLOWEST_PROBE: Duration = Duration::from_millis(100);

/// The measurements of one flood.
struct Outcome {
    publishes: Seen,
    probes: Seen,
    peak_kib: u64,
}

fn seconds(is_slow: bool) -> u64 {
    let seconds = std::env::var("FLOOD_SECONDS").ok();
    let least = if is_slow { 15 } else { 4 };
    seconds.map_or(least, |seconds| seconds.parse().expect("FLOOD_SECONDS is a number"))
}

/// `make floods` checks times as well, which depend on the machine and its load.
fn judges() -> bool {
    std::env::var_os("FLOODS_JUDGE").is_some()
}

/// Runs the attackers in their own thread, so that they do not delay the measurements.
fn attack(flood: &Flood, target: &Arc<Target>) -> JoinHandle<()> {
    let attacks: Vec<_> = (0..ATTACKERS)
        .map(|number| (flood.attack)(Arc::clone(target), number))
        .collect();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut attackers = JoinSet::new();
            attacks.into_iter().for_each(|attack| {
                attackers.spawn(attack);
            });
            attackers.join_all().await;
        });
    })
}

async fn run(flood: &Flood) -> Outcome {
    let server = Server::start();
    let fleet = Fleet::connect(&server).await;
    fleet.publish().await;
    let until = Instant::now() + Duration::from_secs(seconds(flood.is_slow));
    let target = Arc::new(Target::new(&server, until));
    let attackers = attack(flood, &target);
    let (publishes, probes) = tokio::join!(fleet.publish_until(until), server.probe_until(until));
    attackers.join().expect("an attacker does not panic");
    // After the flood new clients are served, and the fleet holds the last publish.
    fleet.publish().await;
    Fleet::connect(&server).await.publish().await;
    Outcome {
        publishes,
        probes,
        peak_kib: server.peak_kib(),
    }
}

fn flooded(name: &str) {
    let flood = FLOODS.iter().find(|flood| flood.name == name).unwrap();
    let outcome = runtime(1).block_on(run(flood));
    println!(
        "{name:<20} publishes {:>4}: {}   probes {:>5}: {}   at most {:>4} MiB",
        outcome.publishes.count(),
        outcome.publishes,
        outcome.probes.count(),
        outcome.probes,
        outcome.peak_kib / 1024
    );
    assert!(
        outcome.peak_kib < MOST_KIB,
        "{name}: the server grew to {} KiB",
        outcome.peak_kib
    );
    if judges() {
        let publish = outcome.publishes.p99();
        assert!(publish < SLOWEST_PUBLISH, "{name}: publishes took {publish:?} at p99");
        let probe = outcome.probes.p99();
        assert!(probe < SLOWEST_PROBE, "{name}: probes took {probe:?} at p99");
    }
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn five_thousand_nodes_that_come_at_once_are_in_sync() {
    runtime(2).block_on(async {
        let server = Server::start();
        let fleet = Fleet::connect(&server).await;
        fleet.publish().await;
        let crowd = Crowd::come(server.address("xds"), 5000);
        let until = Instant::now() + Duration::from_secs(seconds(false));
        let (publishes, probes) = tokio::join!(fleet.publish_until(until), server.probe_until(until));
        let publish = next_publish();
        crowd.expect(publish);
        fleet.publish_as(publish).await;
        crowd.hold(2 * PATIENCE).await;
        let peak = server.peak_kib();
        println!(
            "5000 nodes at once: publishes {publishes}   probes {probes}   at most {} MiB",
            peak / 1024
        );
        assert!(peak < MOST_KIB, "the server grew to {peak} KiB");
    });
}

#[test]
fn sigterm_ends_a_thousand_streams_with_their_status_and_the_process_with_0() {
    runtime(2).block_on(async {
        let mut server = Server::start();
        let fleet = Fleet::connect(&server).await;
        fleet.publish().await;
        let crowd = Crowd::come(server.address("xds"), 1000);
        let publish = next_publish();
        crowd.expect(publish);
        fleet.publish_as(publish).await;
        crowd.hold(PATIENCE).await;
        drop(fleet);
        let ended = timeout(PATIENCE, spawn_blocking(move || server.terminate())).await;
        let code = ended.expect("the process ends").unwrap();
        assert_eq!(code, Some(0));
        let statuses = timeout(PATIENCE, crowd.ended())
            .await
            .expect("every stream ends with a status");
        let unavailable = statuses.iter().filter(|status| status.as_deref() == Some(UNAVAILABLE));
        assert_eq!(unavailable.count(), statuses.len());
    });
}

/// A test for each flood, so that a failure names the flood.
macro_rules! floods {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            flooded(stringify!($name));
        })*

        #[test]
        fn every_flood_is_run() {
            let run = [$(stringify!($name)),*];
            let all: Vec<&str> = FLOODS.iter().map(|flood| flood.name).collect();
            assert_eq!(all, run);
        }
    };
}

floods![
    extensions, metadata, nodes, names, edits, globs, type_urls, refusals, unfinished, streams, resets, pings,
    settings, silence, polls, deaf,
];
