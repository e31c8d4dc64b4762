//! Scenario 9: scenarios 1, 3, 4 and 5 over mTLS, for Chancery and limit-raw. Encrypted bytes cannot be shared between nodes, so
//! the quotients show the share of Chancery's own cost in the total.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    fan_out::{FanOut, GROUP, SIZE, metric},
    memory::{self, Growth, PSS},
    propagation::{self, ACHIEVED, LAST, SERVER},
};
use crate::{
    bench::{Arm, Bench},
    content,
    load::{NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Section, Table, Target, figure, spread},
    results::{Outcome, quantile},
    wire::type_url,
};

const PEERS: [PeerKind; 2] = [PeerKind::Chancery, PeerKind::LimitRaw];

/// Number of clusters that each node of a storm receives.
const CLUSTERS: usize = 1000;

/// Metrics of a storm: time until all nodes have everything, in s; the server's CPU, in s; its peak memory, in bytes.
const SYNCED: &str = "all_synced_s";
const CPU: &str = "server_cpu_s";
const PEAK: &str = "peak_bytes";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let bench = &bench.over_tls()?;
    fan_outs(bench).await?;
    let seconds = bench.pick(20, 5);
    for rate in bench.pick([10, 100], [10, 50]) {
        let case = format!("{rate} commits/s, delta");
        for kind in PEERS {
            let done = propagation::one(bench, kind, &case, rate, seconds).await;
            bench.survive(&case, kind, done);
        }
    }
    for variant in [Variant::Sotw, Variant::Delta] {
        let nodes = bench.pick(1000, 100);
        let case = format!("storm of {nodes} nodes, {}", variant.name());
        for _ in 0..bench.pick(3, 1) {
            for kind in PEERS {
                let done = storm(bench, kind, variant, nodes, &case).await;
                bench.survive(&case, kind, done);
            }
        }
    }
    for _ in 0..bench.pick(3, 1) {
        for kind in PEERS {
            let growth = Growth {
                name: "idle",
                resources: 1,
                size: SIZE,
                variant: Variant::Delta,
                steps: bench.pick(&[0, 500, 1000, 2000], &[0, 100, 200]),
            };
            let done = growth.run(bench, kind).await;
            bench.survive("idle", kind, done);
        }
    }
    Ok(())
}

async fn fan_outs(bench: &Bench) -> Result<()> {
    let cases = bench.pick(
        [(1, 1000, 5, 20), (100, 1000, 5, 5), (1000, 200, 3, 3)],
        [(1, 200, 2, 5), (100, 50, 2, 5), (1000, 20, 2, 3)],
    );
    for (resources, nodes, rounds, commits) in cases {
        let fan_out = FanOut {
            case: format!("{resources} × {nodes} nodes, SotW"),
            variant: Variant::Sotw,
            nodes,
            resources,
            rounds,
            peers: &PEERS.map(|kind| (kind, commits)),
        };
        fan_out.run(bench).await?;
    }
    Ok(())
}

/// All nodes connect at once and receive every cluster; handshakes dominate the cost.
async fn storm(bench: &Bench, kind: PeerKind, variant: Variant, nodes: usize, case: &str) -> Result<()> {
    let items: Vec<_> = (0..CLUSTERS).map(|number| content::cluster(number, 1, SIZE)).collect();
    let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &items).await?;
    arm.peer.settle().await?;
    arm.peer.watched.reset_peak();
    let types: Arc<[TypePlan]> = Arc::new([TypePlan::wildcard(variant, type_url::CLUSTER, CLUSTERS)]);
    let meter = arm.meter()?;
    let begun = Instant::now();
    arm.fleet
        .add(&arm.peer.xds, NodePlan::alike(nodes, GROUP, variant, &types), 1)
        .await?;
    arm.synced().await?;
    let synced: Duration = begun.elapsed();
    let peak = arm.peer.watched.memory()?.peak;
    let reading = arm.read(meter).await?;
    bench.record(case, kind, SYNCED, synced.as_secs_f64());
    bench.record(case, kind, CPU, reading.cpu);
    bench.record(case, kind, PEAK, peak as f64);
    println!(
        "    {case:<28}{kind:<18}{:.2} s, {:.2} s of CPU, {:.1} MB at most, generator at {:.0} %",
        synced.as_secs_f64(),
        reading.cpu,
        peak as f64 / 1e6,
        reading.share * 100.0
    );
    arm.stop().await;
    Ok(())
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(
        "Chancery and limit-raw, both over mTLS with a certificate for each side, TLS 1.3, nothing resumed: a fan-out as in scenario 1, commits at a \
         steady rate as in 3, nodes that all connect at once and are sent 1000 clusters as in 4, and memory per idle node as in 5.",
    );
    let (ours, limit) = (PeerKind::Chancery.name(), PeerKind::LimitRaw.name());
    let mut fan_outs = outcome.clone();
    fan_outs.samples.retain(|sample| sample.metric == metric::CPU);
    section.table(report::cpu_table(&fan_outs, &PEERS, metric::CPU));
    section.table(steady_table(outcome));
    let seconds = "Nodes that connect at once: server CPU in s until it has come to rest";
    section.table(report::seconds_table(outcome, seconds, &PEERS, CPU));
    let seconds = "Nodes that connect at once: s until all have everything";
    section.table(report::seconds_table(outcome, seconds, &PEERS, SYNCED));
    section.table(memory_table(outcome));
    for case in outcome.cases() {
        for (metric, what, bound) in [
            (metric::CPU, "CPU per push ÷ that of limit-raw", 1.25),
            (CPU, "CPU ÷ that of limit-raw", 1.5),
        ] {
            let measured = outcome.ratio(case, metric, ours, limit);
            if measured.is_some() {
                section
                    .targets
                    .push(Target::at_most(format!("mTLS, {case}: {what}"), measured, bound));
            }
        }
    }
    let slopes = |kind| memory::slopes(outcome, kind, "idle");
    let measured = memory::quotients(&slopes(PeerKind::Chancery), &slopes(PeerKind::LimitRaw));
    section.targets.push(Target::at_most(
        "mTLS, memory per idle node ÷ that of limit-raw".to_owned(),
        measured,
        1.5,
    ));
    section
}

fn steady_table(outcome: &Outcome) -> Table {
    let mut table = Table::new(
        "Commits at a steady rate to 500 nodes with 1000 clusters",
        &[
            "case",
            "peer",
            "commits/s",
            "last node p50 / p99 in ms",
            "server's share of its core",
        ],
    );
    for case in outcome.cases() {
        for peer in PEERS.map(PeerKind::name) {
            let last = outcome.values(case, peer, LAST);
            let (Some(p50), Some(p99)) = (quantile(last, 0.5), quantile(last, 0.99)) else {
                continue;
            };
            let Some(achieved) = outcome.median(case, peer, ACHIEVED) else {
                continue;
            };
            let share = outcome.median(case, peer, SERVER).unwrap_or_default();
            table.rows.push(vec![
                case.to_owned(),
                peer.to_owned(),
                figure(achieved),
                format!("{} / {}", figure(p50), figure(p99)),
                format!("{:.0} %", share * 100.0),
            ]);
        }
    }
    table
}

fn memory_table(outcome: &Outcome) -> Table {
    let mut table = Table::new("Memory at rest, in MB", &["case"]);
    table.columns.extend(PEERS.map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let megabytes = |peer: PeerKind| -> Vec<f64> {
            let values = outcome.values(case, peer.name(), PSS);
            values.iter().map(|bytes| bytes / 1e6).collect()
        };
        let cells = PEERS.map(|peer| spread(&megabytes(peer)));
        if cells.iter().any(|cell| cell != "–") {
            table.rows.push(std::iter::once(case.to_owned()).chain(cells).collect());
        }
    }
    table
}
