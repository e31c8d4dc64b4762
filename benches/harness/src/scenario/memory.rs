//! Scenario 5: the memory per node, per resource, and per node and resource.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::fan_out::{GROUP, SIZE, leading_number};
use crate::{
    bench::{Arm, Bench},
    content::{self, Item},
    load::{NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Plot, Section, Series, Table, Target},
    results::{Outcome, Ratio},
    wire::type_url,
};

const PEERS: [PeerKind; 5] = [
    PeerKind::Chancery,
    PeerKind::LimitRaw,
    PeerKind::Naive,
    PeerKind::GoSnapshot,
    PeerKind::GoLinear,
];

/// Proportional set size in bytes.
pub(super) const PSS: &str = "pss_bytes";

/// Number of resources in the loaded case.
const MANY: usize = 10_000;
const LARGE: usize = 1000;

/// A growing fleet, and its subscriptions.
pub(super) struct Growth<'a> {
    /// `idle` or `loaded`.
    pub(super) name: &'static str,
    pub(super) resources: usize,
    pub(super) size: usize,
    pub(super) variant: Variant,
    pub(super) steps: &'a [usize],
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    for round in 0..bench.pick(2, 1) {
        println!("    round {round}");
        for kind in bench.peers(&PEERS) {
            let idle = Growth {
                name: "idle",
                resources: 1,
                size: SIZE,
                variant: Variant::Delta,
                steps: bench.pick(&[0, 1000, 2000, 5000], &[0, 500, 1000]),
            };
            let done = idle.run(bench, kind).await;
            bench.survive(idle.name, kind, done);
            let loaded = Growth {
                name: "loaded",
                resources: bench.pick(MANY, MANY / 5),
                size: LARGE,
                variant: Variant::Delta,
                steps: if kind.is_go() {
                    &[0, 50, 100]
                } else {
                    &[0, 100, 200, 400]
                },
            };
            let done = loaded.run(bench, kind).await;
            bench.survive(loaded.name, kind, done);
        }
    }
    Ok(())
}

/// Number of resources in [`run_short`].
pub(crate) const SHORT_RESOURCES: usize = 2000;

/// Both growths of Chancery and limit-raw, at small sizes.
pub(crate) async fn run_short(bench: &Bench) -> Result<()> {
    for kind in [PeerKind::Chancery, PeerKind::LimitRaw] {
        for (name, resources, steps) in [("idle", 1, &[0, 200, 400]), ("loaded", SHORT_RESOURCES, &[0, 50, 100])] {
            let growth = Growth {
                name,
                resources,
                size: SIZE,
                variant: Variant::Delta,
                steps,
            };
            let done = growth.run(bench, kind).await;
            bench.survive(name, kind, done);
        }
    }
    Ok(())
}

impl Growth<'_> {
    pub(super) async fn run(&self, bench: &Bench, kind: PeerKind) -> Result<()> {
        let items: Vec<Item> = (0..self.resources)
            .map(|number| content::cluster(number, 1, self.size))
            .collect();
        let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &items).await?;
        drop(items);
        let clusters = TypePlan::wildcard(self.variant, type_url::CLUSTER, self.resources);
        let types: Arc<[TypePlan]> = Arc::new([clusters]);
        let mut plans = NodePlan::alike(*self.steps.last().unwrap_or(&0), GROUP, self.variant, &types).into_iter();
        let mut connected = 0;
        for &nodes in self.steps {
            let more: Vec<NodePlan> = plans.by_ref().take(nodes - connected).collect();
            connected = nodes;
            arm.connect(more).await?;
            let pss = at_rest(&mut arm).await?;
            bench.record(&self.case(nodes), kind, PSS, pss);
            println!("    {:<28}{kind:<18}{:>9.1} MB", self.case(nodes), pss / 1e6);
        }
        arm.stop().await;
        Ok(())
    }

    fn case(&self, nodes: usize) -> String {
        format!("{nodes} nodes, {}", self.name)
    }
}

/// Memory once the server has nothing left to do, and its runtime has returned free memory.
pub(crate) async fn at_rest(arm: &mut Arm) -> Result<f64> {
    arm.peer.settle().await?;
    sleep(Duration::from_millis(500)).await;
    arm.peer.trim().await?;
    arm.peer.settle().await?;
    Ok(arm.peer.watched.memory()?.pss as f64)
}

/// Bytes per node in each round: the slope of the memory over the number of nodes.
pub(crate) fn slopes(outcome: &Outcome, peer: PeerKind, growth: &str) -> Vec<f64> {
    let ending = format!(" nodes, {growth}");
    let cases: Vec<&str> = outcome
        .cases()
        .into_iter()
        .filter(|case| case.ends_with(&ending))
        .collect();
    let rounds = cases
        .iter()
        .map(|case| outcome.values(case, peer.name(), PSS).len())
        .filter(|rounds| *rounds > 0)
        .min()
        .unwrap_or(0);
    let points = |round: usize| -> Vec<(f64, f64)> {
        let point = |case: &&str| {
            let pss = outcome.values(case, peer.name(), PSS).get(round)?;
            Some((leading_number(case) as f64, *pss))
        };
        cases.iter().filter_map(point).collect()
    };
    (0..rounds).filter_map(|round| slope(&points(round))).collect()
}

/// The slope by least squares.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let along: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let across: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (points.len() > 1 && along > 0.0).then(|| across / along)
}

/// The quotients of two lists, round by round.
pub(crate) fn quotients(ours: &[f64], theirs: &[f64]) -> Option<Ratio> {
    let values: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Ratio::of(&values)
}

/// Bytes per resource: the difference between one and many resources, without nodes.
fn per_resource(outcome: &Outcome, peer: PeerKind) -> Vec<f64> {
    let with = outcome.values("0 nodes, loaded", peer.name(), PSS);
    let without = outcome.values("0 nodes, idle", peer.name(), PSS);
    let many = resources(outcome) as f64;
    with.iter()
        .zip(without)
        .map(|(with, without)| (with - without) / many)
        .collect()
}

/// Bytes per node and resource.
fn product(outcome: &Outcome, peer: PeerKind) -> Vec<f64> {
    let (loaded, idle) = (slopes(outcome, peer, "loaded"), slopes(outcome, peer, "idle"));
    let many = resources(outcome) as f64;
    loaded
        .iter()
        .zip(&idle)
        .map(|(loaded, idle)| (loaded - idle) / many)
        .collect()
}

const fn resources(outcome: &Outcome) -> usize {
    if outcome.quick { MANY / 5 } else { MANY }
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(&format!(
        "*idle*: delta nodes with a connection each that have ACKed the only cluster. *loaded*: nodes that have received and ACKed {} clusters of \
         1 KB. Proportional set size of the server once it is at rest; the Go runtime is asked to return free memory. \
         Slopes are least squares over the numbers of nodes.",
        resources(outcome)
    ));
    let mut table = Table::new(
        "Memory in bytes, median (range) of the rounds",
        &[
            "",
            "per idle node",
            "per node, loaded",
            "per node × resource",
            "per resource of 1 KB",
        ],
    );
    for peer in PEERS {
        table.rows.push(vec![
            peer.name().to_owned(),
            report::spread(&slopes(outcome, peer, "idle")),
            report::spread(&slopes(outcome, peer, "loaded")),
            report::spread(&product(outcome, peer)),
            report::spread(&per_resource(outcome, peer)),
        ]);
    }
    section.table(table);
    let mut raw = Table::new("Memory in MB", &["case"]);
    raw.columns.extend(PEERS.map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let mut row = vec![case.to_owned()];
        row.extend(PEERS.map(|peer| {
            let megabytes: Vec<f64> = outcome
                .values(case, peer.name(), PSS)
                .iter()
                .map(|pss| pss / 1e6)
                .collect();
            report::spread(&megabytes)
        }));
        raw.rows.push(row);
    }
    section.table(raw);
    let ours = PeerKind::Chancery;
    section.targets.push(Target::at_most(
        format!("memory per idle node ÷ that of {}", PeerKind::LimitRaw),
        quotients(
            &slopes(outcome, ours, "idle"),
            &slopes(outcome, PeerKind::LimitRaw, "idle"),
        ),
        1.2,
    ));
    section.targets.push(Target::at_most(
        "bytes per resource of 1 KB, without nodes".to_owned(),
        Ratio::of(&per_resource(outcome, ours)),
        1.5 * LARGE as f64 + 200.0,
    ));
    section.targets.push(Target::at_most(
        "bytes per node × resource, for wildcard nodes: 0, within the precision".to_owned(),
        Ratio::of(&product(outcome, ours)),
        1.0,
    ));
    for growth in ["idle", "loaded"] {
        section.plots.extend(plot(outcome, growth));
    }
    section
}

fn plot(outcome: &Outcome, growth: &str) -> Option<Plot> {
    let ending = format!(" nodes, {growth}");
    let cases: Vec<&str> = outcome
        .cases()
        .into_iter()
        .filter(|case| case.ends_with(&ending))
        .collect();
    let series = |peer: PeerKind| {
        let point = |case: &&str| {
            let pss = outcome.median(case, peer.name(), PSS)?;
            Some((leading_number(case) as f64, pss / 1e6))
        };
        Series {
            name: peer.name().to_owned(),
            points: cases.iter().filter_map(point).collect(),
        }
    };
    let series: Vec<Series> = PEERS.map(series).into_iter().filter(|s| s.points.len() > 1).collect();
    (!series.is_empty()).then(|| Plot {
        file: format!("memory-{growth}.svg"),
        title: format!("Memory of the server, {growth}"),
        x: "nodes".to_owned(),
        y: "MB".to_owned(),
        logarithmic: (false, false),
        series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_that_of_the_line() {
        let line = slope(&[(0.0, 10.0), (100.0, 210.0), (200.0, 410.0)]).unwrap();
        assert!((line - 2.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 1.0)]), None);
    }
}
