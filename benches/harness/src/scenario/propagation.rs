//! Scenario 3: commits at random moments at a steady rate, over delta; the times to each commit's first, median and last node.
//!
//! The load is open: a commit's time counts from the moment at which it is due, even if the server is still busy with earlier
//! ones. A late node is sent the newest state, and has then received every commit up to it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::fan_out::{GROUP, SIZE, leading_number};
use crate::{
    bench::{Arm, Bench},
    content::{self, Item},
    load::{self, Commit, NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Plot, Section, Series, Table, Target, figure},
    results::{Outcome, Ratio, quantile},
    wire::type_url,
};

const PEERS: [PeerKind; 2] = [PeerKind::Chancery, PeerKind::GoSnapshot];
const NODES: usize = 500;
const RESOURCES: usize = 1000;

/// The largest delay of a publisher at the end of a run for which the rate counts as sustained.
const LATE: Duration = Duration::from_millis(500);

/// Times in ms, a value per commit.
const FIRST: &str = "first_node_ms";
const MEDIAN: &str = "median_node_ms";
pub(super) const LAST: &str = "last_node_ms";
const PUBLISH: &str = "publish_ms";
/// Metrics of a run.
const SHARE: &str = "generator_share";
pub(super) const SERVER: &str = "server_share";
pub(super) const ACHIEVED: &str = "commits_per_second";
const SUSTAINED: &str = "sustained";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let seconds = bench.pick(20, 5);
    for kind in bench.peers(&PEERS) {
        let rates: &[u32] = match kind {
            PeerKind::GoSnapshot => bench.pick(&[1, 2, 5, 10], &[2, 10]),
            _ => bench.pick(&[10, 100, 1000], &[10, 100]),
        };
        for &rate in rates {
            let case = case(rate);
            let done = one(bench, kind, &case, rate, seconds).await;
            bench.survive(&case, kind, done);
        }
    }
    Ok(())
}

fn case(rate: u32) -> String {
    format!("{rate} commits/s")
}

pub(super) async fn one(bench: &Bench, kind: PeerKind, case: &str, rate: u32, seconds: u64) -> Result<()> {
    let items: Vec<Item> = (0..RESOURCES).map(|number| content::cluster(number, 1, SIZE)).collect();
    let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &items).await?;
    let types: Arc<[TypePlan]> = Arc::new([TypePlan::wildcard(Variant::Delta, type_url::CLUSTER, RESOURCES)]);
    arm.connect(NodePlan::alike(NODES, GROUP, Variant::Delta, &types))
        .await?;
    for _ in 0..3 {
        arm.commit(&[change(arm.version)]).await?;
    }
    arm.peer.settle().await?;
    arm.board().take_commits();
    let meter = arm.meter()?;
    let steady = steady(&mut arm, f64::from(rate), Duration::from_secs(seconds)).await?;
    let reading = arm.read(meter).await?;
    bench.record(case, kind, SHARE, reading.share);
    bench.record(case, kind, SERVER, reading.cpu / reading.wall);
    bench.record(case, kind, ACHIEVED, steady.achieved);
    bench.record(case, kind, SUSTAINED, f64::from(u8::from(steady.late < LATE)));
    let times: [(&str, Time); 4] = [
        (FIRST, |commit| commit.first),
        (MEDIAN, |commit| commit.median),
        (LAST, |commit| commit.last),
        (PUBLISH, |commit| commit.answered),
    ];
    for (metric, time) in times {
        let ms = |commit| time(commit).map(|time| time.as_secs_f64() * 1e3);
        let values: Vec<f64> = steady.commits.iter().filter_map(ms).collect();
        bench.record_all(case, kind, metric, &values);
    }
    println!(
        "    {case:<28}{kind:<18}{:.1} commits/s, late by {:?} at the end, server at {:.0} %, generator at {:.0} %",
        steady.achieved,
        steady.late,
        reading.cpu / reading.wall * 100.0,
        reading.share * 100.0
    );
    arm.stop().await;
    Ok(())
}

/// One of a commit's times.
type Time = fn(&Commit) -> Option<Duration>;

/// The result of a steady load.
pub(crate) struct Steady {
    pub(crate) commits: Vec<Commit>,
    /// Commits that reached every node, per second.
    pub(crate) achieved: f64,
    /// The publisher's delay behind its schedule at the end.
    pub(crate) late: Duration,
}

/// Commits at random moments, at `rate` per second, for this time; then waits until all are received.
pub(crate) async fn steady(arm: &mut Arm, rate: f64, span: Duration) -> Result<Steady> {
    let begun = Instant::now();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut due = Duration::ZERO;
    let mut published = 0_u64;
    let mut late = Duration::ZERO;
    loop {
        due += Duration::from_secs_f64(-random.share().ln() / rate);
        // A publisher that cannot keep up also stops in time.
        if due >= span || begun.elapsed() >= span + LATE * 4 {
            break;
        }
        if let Some(wait) = due.checked_sub(begun.elapsed()) {
            sleep(wait).await;
        }
        late = begun.elapsed().saturating_sub(due);
        arm.board().begin(arm.version + 1, begun + due);
        arm.publish(&[change(arm.version)], false).await?;
        published += 1;
    }
    load::until(arm.board(), "the last commits", Duration::from_secs(60), |totals| {
        totals.delivered >= published
    })
    .await?;
    Ok(Steady {
        achieved: published as f64 / begun.elapsed().as_secs_f64(),
        commits: arm.board().take_commits(),
        late,
    })
}

fn change(version: u64) -> Item {
    let number = usize::try_from(version).unwrap_or(0) * 7 % RESOURCES;
    content::cluster(number, version + 1, SIZE)
}

/// Marsaglia's xorshift: the same moments for every peer.
struct Random(u64);

impl Random {
    /// A number between 0 and 1, never 0.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(&format!(
        "{NODES} wildcard nodes, {RESOURCES} clusters of 370 B, delta ADS; one cluster changes per commit, at moments of a Poisson process, \
         the same for both. Times count from the moment a commit is due, in ms: p50 / p99 / p99.9. *void*: the generator used more than 95 % of its core. \
         A rate is sustained if the publisher is at most {} ms late at the end.",
        LATE.as_millis()
    ));
    let mut table = Table::new(
        "Propagation",
        &[
            "case",
            "peer",
            "to the first node",
            "to the median node",
            "to the last node",
            "publish answered",
            "achieved per s",
            "sustained",
            "server CPU",
            "generator CPU",
        ],
    );
    for case in outcome.cases() {
        for peer in PEERS {
            table.rows.extend(row(outcome, case, peer.name()));
        }
    }
    section.table(table);
    section.plots.extend(plot(outcome));
    let p99 = |peer: PeerKind, case: &str| quantile(outcome.values(case, peer.name(), LAST), 0.99);
    let ten = case(10);
    let against = match (p99(PeerKind::Chancery, &ten), p99(PeerKind::GoSnapshot, &ten)) {
        (Some(ours), Some(theirs)) => Ratio::of(&[ours / theirs]),
        _ => None,
    };
    section.targets.push(Target::at_most(
        format!("10 commits/s: p99 to the last node ÷ that of {}", PeerKind::GoSnapshot),
        against,
        0.1,
    ));
    let best = |peer: PeerKind| {
        let rate = |case: &str| {
            let sustained = outcome.median(case, peer.name(), SUSTAINED)? == 1.0;
            let achieved = outcome.median(case, peer.name(), ACHIEVED)?;
            Some(if sustained {
                leading_number(case) as f64
            } else {
                achieved
            })
        };
        outcome.cases().into_iter().filter_map(rate).max_by(f64::total_cmp)
    };
    let times = match (best(PeerKind::Chancery), best(PeerKind::GoSnapshot)) {
        (Some(ours), Some(theirs)) => Ratio::of(&[ours / theirs]),
        _ => None,
    };
    section.targets.push(Target::at_least(
        format!(
            "highest rate sustained, or reached where none was, ÷ that of {}",
            PeerKind::GoSnapshot
        ),
        times,
        10.0,
    ));
    section
}

fn row(outcome: &Outcome, case: &str, peer: &str) -> Option<Vec<String>> {
    let share = outcome.median(case, peer, SHARE)?;
    let void = if share > 0.95 { " *void*" } else { "" };
    let triple = |metric: &str| {
        let values = outcome.values(case, peer, metric);
        let of = |q| quantile(values, q).map_or_else(|| "–".to_owned(), figure);
        format!("{} / {} / {}{void}", of(0.5), of(0.99), of(0.999))
    };
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    Some(vec![
        case.to_owned(),
        peer.to_owned(),
        triple(FIRST),
        triple(MEDIAN),
        triple(LAST),
        triple(PUBLISH),
        report::spread(outcome.values(case, peer, ACHIEVED)),
        if outcome.median(case, peer, SUSTAINED)? == 1.0 {
            "yes"
        } else {
            "no"
        }
        .to_owned(),
        percent(outcome.median(case, peer, SERVER)?),
        percent(share),
    ])
}

/// The share of commits that have reached their last node by a time, as quantiles.
fn plot(outcome: &Outcome) -> Option<Plot> {
    let mut series = Vec::new();
    for peer in PEERS {
        for case in outcome.cases() {
            let values = outcome.values(case, peer.name(), LAST);
            let quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
            let points: Vec<(f64, f64)> = quantiles
                .into_iter()
                .filter_map(|q| Some((quantile(values, q)?, q * 100.0)))
                .collect();
            if !points.is_empty() {
                series.push(Series {
                    name: format!("{}, {case}", peer.name().trim_end_matches("Cache")),
                    points,
                });
            }
        }
    }
    (!series.is_empty()).then(|| Plot {
        file: "propagation.svg".to_owned(),
        title: format!("Commit → last of {NODES} nodes"),
        x: "ms".to_owned(),
        y: "% of commits".to_owned(),
        logarithmic: (true, false),
        series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_moments_have_the_rate_asked_for() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let sum: f64 = (0..10_000).map(|_| -random.share().ln()).sum();
        assert!((sum / 10_000.0 - 1.0).abs() < 0.05, "{sum}");
    }
}
