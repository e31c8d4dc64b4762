//! Scenario 2: wildcard nodes over delta; one of R resources changes per commit. The cost of a push must not depend on R.

use anyhow::Result;

use super::fan_out::{FanOut, leading_number, metric};
use crate::{
    bench::Bench,
    load::Variant,
    peer::PeerKind,
    report::{self, Plot, Section, Series, Target},
    results::{Outcome, Ratio},
};

const PEERS: [PeerKind; 5] = [
    PeerKind::Chancery,
    PeerKind::LimitRaw,
    PeerKind::Naive,
    PeerKind::GoSnapshot,
    PeerKind::GoLinear,
];

/// The most resources for go-control-plane: beyond, a first sync alone takes minutes.
const GO_UP_TO: usize = 5000;

/// Numbers of resources whose pushes are compared, and for how many nodes.
const SLOPES: &[(usize, usize, usize)] = &[(100, 100_000, 200), (100, 5000, 1000)];
/// The slopes of the short form.
const QUICK_SLOPES: &[(usize, usize, usize)] = &[(100, 1000, 100)];

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let full: &[(usize, usize)] = &[
        (100, 200),
        (1000, 200),
        (5000, 200),
        (20_000, 200),
        (100_000, 200),
        (100, 1000),
        (1000, 1000),
        (5000, 1000),
    ];
    let quick: &[(usize, usize)] = &[(100, 100), (1000, 100), (20_000, 50)];
    for &(resources, nodes) in bench.pick(full, quick) {
        let commits = commits(bench, nodes);
        let mut peers = vec![(PeerKind::Chancery, commits), (PeerKind::LimitRaw, commits)];
        if resources <= GO_UP_TO {
            peers.push((PeerKind::Naive, commits));
        }
        if resources <= GO_UP_TO && nodes <= 200 && bench.machines.go_peer.is_some() {
            let commits = if resources < GO_UP_TO { 10 } else { 3 };
            peers.push((PeerKind::GoSnapshot, commits));
            peers.push((PeerKind::GoLinear, commits));
        }
        fan_out(bench, resources, nodes, &peers).run(bench).await?;
    }
    for &(from, to, nodes) in bench.pick(SLOPES, QUICK_SLOPES) {
        in_turn(bench, [from, to], nodes).await?;
    }
    Ok(())
}

/// Commits per round for the fast servers: a number that takes about as long as go's round.
fn commits(bench: &Bench, nodes: usize) -> usize {
    bench.pick(20_000, 2000) / nodes
}

fn fan_out<'a>(bench: &Bench, resources: usize, nodes: usize, peers: &'a [(PeerKind, usize)]) -> FanOut<'a> {
    FanOut {
        case: case(resources, nodes),
        variant: Variant::Delta,
        nodes,
        resources,
        rounds: bench.pick(5, 2),
        peers,
    }
}

/// Measures Chancery with two numbers of resources in turn, so that both are measured at the same time.
async fn in_turn(bench: &Bench, resources: [usize; 2], nodes: usize) -> Result<()> {
    let kind = PeerKind::Chancery;
    let mut arms = Vec::new();
    for resources in resources {
        let fan_out = fan_out(bench, resources, nodes, &[]);
        let (arm, _) = fan_out.start(bench, kind, &fan_out.items()).await?;
        arms.push((fan_out, arm));
    }
    for round in 0..bench.pick(7, 2) {
        for (fan_out, arm) in &mut arms {
            let (cpu, _) = fan_out.measure(arm, commits(bench, nodes)).await?;
            bench.record(&fan_out.case, kind, metric::IN_TURN, cpu);
            println!(
                "    {:<28}in turn           round {round}: {cpu:>9.1} µs per push",
                fan_out.case
            );
        }
    }
    for (_, arm) in arms {
        arm.stop().await;
    }
    Ok(())
}

fn case(resources: usize, nodes: usize) -> String {
    format!("{resources} resources, {nodes} nodes")
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(
        "One group of wildcard nodes subscribes to clusters of 370 B over delta ADS. One cluster changes per commit, so every push carries \
         one. The CPU time includes commits: with 200 nodes a commit of 1 ms adds 5 µs to each push.",
    );
    section.table(report::cpu_table(outcome, &PEERS, metric::CPU));
    section.table(report::seconds_table(
        outcome,
        "Server CPU until every node has connected and received everything, in seconds",
        &PEERS,
        metric::FIRST_SYNC,
    ));
    let ours = PeerKind::Chancery.name();
    for nodes in [200, 1000] {
        section.plots.extend(plot(outcome, nodes));
    }
    let slope = |from: usize, to: usize, nodes: usize| {
        let values = |resources| outcome.values(&case(resources, nodes), ours, metric::IN_TURN);
        let quotients: Vec<f64> = values(to)
            .iter()
            .zip(values(from))
            .map(|(to, from)| to / from)
            .collect();
        Ratio::of(&quotients)
    };
    let measured = |&&(from, to, nodes): &&(usize, usize, usize)| slope(from, to, nodes).is_some();
    for &(from, to, nodes) in SLOPES.iter().chain(QUICK_SLOPES.iter().filter(measured)) {
        section.targets.push(Target::at_most(
            format!("{nodes} nodes: CPU per push at {to} resources ÷ at {from}, measured in turn"),
            slope(from, to, nodes),
            1.3,
        ));
    }
    section.targets.push(Target::at_most(
        format!("{}: CPU per push ÷ that of {}", case(5000, 200), PeerKind::GoSnapshot),
        outcome.ratio(&case(5000, 200), metric::CPU, ours, PeerKind::GoSnapshot.name()),
        1.0 / 100.0,
    ));
    for name in outcome.cases() {
        section.targets.push(Target::at_most(
            format!("{name}: CPU per push ÷ that of {}", PeerKind::LimitRaw),
            outcome.ratio(name, metric::CPU, ours, PeerKind::LimitRaw.name()),
            1.3,
        ));
    }
    section
}

fn plot(outcome: &Outcome, nodes: usize) -> Option<Plot> {
    let ending = format!(", {nodes} nodes");
    let cases: Vec<&str> = outcome
        .cases()
        .into_iter()
        .filter(|case| case.ends_with(&ending))
        .collect();
    let series = |peer: PeerKind| Series {
        name: peer.name().to_owned(),
        points: cases
            .iter()
            .filter_map(|case| {
                let cpu = outcome.median(case, peer.name(), metric::CPU)?;
                Some((leading_number(case) as f64, cpu))
            })
            .collect(),
    };
    let series: Vec<Series> = PEERS.map(series).into_iter().filter(|s| s.points.len() > 1).collect();
    (!series.is_empty()).then(|| Plot {
        file: format!("delta-slope-{nodes}.svg"),
        title: format!("Delta, {nodes} nodes, one resource changes: server CPU per push"),
        x: "resources".to_owned(),
        y: "µs per push".to_owned(),
        logarithmic: (true, true),
        series,
    })
}
