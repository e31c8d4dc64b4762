//! Scenario 6: the effect of a few bad clients on the others. One clean run, and one with clients that refuse everything, never
//! read, or send a thousand requests a second.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    fan_out::{GROUP, SIZE},
    propagation::steady,
};
use crate::{
    bench::{Arm, Bench},
    content::{self, Item},
    load::{Behaviour, NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Section, Table, Target, figure},
    results::{Outcome, Ratio, quantile},
    wire::type_url,
};

const NODES: usize = 500;
const RESOURCES: usize = 1000;
const RATE: f64 = 10.0;

/// Time until the last healthy node has a commit, in ms, a value per commit.
const LAST: &str = "last_healthy_node_ms";
const GROWTH: &str = "memory_growth_bytes";
const RESENT: &str = "resent_after_nack";
const SHARE: &str = "generator_share";
const SERVER: &str = "server_share";

const CLEAN: &str = "clean";
const BAD: &str = "with bad clients";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    for case in [CLEAN, BAD] {
        // Equally long for both runs: the 99th percentile of few commits would be chance.
        let seconds = bench.pick(120, 15);
        let done = one(bench, case, Duration::from_secs(seconds)).await;
        bench.survive(case, PeerKind::Chancery, done);
    }
    Ok(())
}

async fn one(bench: &Bench, case: &str, span: Duration) -> Result<()> {
    let kind = PeerKind::Chancery;
    let items: Vec<Item> = (0..RESOURCES).map(|number| content::cluster(number, 1, SIZE)).collect();
    let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &items).await?;
    arm.fleet.add(&arm.peer.xds, plans(case == BAD), 1).await?;
    arm.synced().await?;
    // The warm-up includes the bad clients, which are active from the start.
    steady(&mut arm, RATE, Duration::from_secs(bench.pick(10, 4))).await?;
    let before = arm.peer.watched.memory()?.pss;
    let resent = arm.board().totals().resent;
    let meter = arm.meter()?;
    let steady = steady(&mut arm, RATE, span).await?;
    let reading = arm.read(meter).await?;
    let after = arm.peer.watched.memory()?.pss;
    let last = steady.commits.iter().filter_map(|commit| commit.last);
    let last: Vec<f64> = last.map(|last| last.as_secs_f64() * 1e3).collect();
    bench.record_all(case, kind, LAST, &last);
    bench.record(case, kind, GROWTH, after as f64 - before as f64);
    bench.record(case, kind, RESENT, (arm.board().totals().resent - resent) as f64);
    bench.record(case, kind, SHARE, reading.share);
    bench.record(case, kind, SERVER, reading.cpu / reading.wall);
    println!(
        "    {case:<28}{kind:<18}{} commits, memory {:+.2} MB, server at {:.0} %",
        steady.commits.len(),
        (after as f64 - before as f64) / 1e6,
        reading.cpu / reading.wall * 100.0
    );
    sleep(Duration::from_millis(100)).await;
    arm.stop().await;
    Ok(())
}

/// Delta nodes, except for those that never read: in SotW every push is large enough to fill their window.
fn plans(bad: bool) -> Vec<NodePlan> {
    let types = |variant| -> Arc<[TypePlan]> { Arc::new([TypePlan::wildcard(variant, type_url::CLUSTER, RESOURCES)]) };
    let delta = types(Variant::Delta);
    let sotw = types(Variant::Sotw);
    let mut plans = NodePlan::alike(NODES, GROUP, Variant::Delta, &delta);
    for (number, plan) in plans.iter_mut().enumerate() {
        plan.behaviour = match number % 100 {
            _ if !bad => Behaviour::Healthy,
            0..10 => Behaviour::Nacks,
            10 => Behaviour::NeverReads,
            11 => Behaviour::Chatters(1000),
            _ => Behaviour::Healthy,
        };
        if plan.behaviour == Behaviour::NeverReads {
            plan.variant = Variant::Sotw;
            plan.types = Arc::clone(&sotw);
        }
    }
    plans
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(&format!(
        "{NODES} wildcard nodes, {RESOURCES} clusters of 370 B over delta ADS, {RATE:.0} commits a second. In the bad run, 10 % of the nodes NACK everything, 1 % \
         subscribe over SotW and never read, 1 % repeat their last answer 1000 times a second. Times are to the last healthy node, in ms.",
    ));
    let mut table = Table::new(
        "Latency of the healthy nodes, in ms, and the server's cost",
        &[
            "case",
            "p50",
            "p99",
            "p99.9",
            "memory growth, MB",
            "resent after a NACK",
            "server CPU",
            "generator CPU",
        ],
    );
    let name = PeerKind::Chancery.name();
    for case in outcome.cases() {
        let last = outcome.values(case, name, LAST);
        let of = |q| quantile(last, q).map_or_else(|| "–".to_owned(), figure);
        let growth: Vec<f64> = outcome
            .values(case, name, GROWTH)
            .iter()
            .map(|bytes| bytes / 1e6)
            .collect();
        let percent = |metric| {
            let share = outcome.median(case, name, metric);
            share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0))
        };
        table.rows.push(vec![
            case.to_owned(),
            of(0.5),
            of(0.99),
            of(0.999),
            report::spread(&growth),
            report::spread(outcome.values(case, name, RESENT)),
            percent(SERVER),
            percent(SHARE),
        ]);
    }
    section.table(table);
    let p99 = |case| quantile(outcome.values(case, name, LAST), 0.99);
    let slowed = match (p99(BAD), p99(CLEAN)) {
        (Some(bad), Some(clean)) => Ratio::of(&[bad / clean]),
        _ => None,
    };
    section.targets.push(Target::at_most(
        "p99 to the last healthy node ÷ that of the clean run".to_owned(),
        slowed,
        1.2,
    ));
    let growth: Vec<f64> = outcome
        .values(BAD, name, GROWTH)
        .iter()
        .map(|bytes| bytes / 1e6)
        .collect();
    section.targets.push(Target::at_most(
        "memory growth in MB".to_owned(),
        Ratio::of(&growth),
        1.0,
    ));
    section.targets.push(Target::at_most(
        "responses sent again after their NACK".to_owned(),
        Ratio::of(outcome.values(BAD, name, RESENT)),
        0.0,
    ));
    section
}
