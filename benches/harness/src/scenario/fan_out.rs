//! Scenario 1: one group of wildcard nodes over SotW; one resource changes per commit, so each push has all resources.
//!
//! Also the measurement of any fan-out: rounds of the peers in turn, CPU of the server per push.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    bench::{Arm, Bench},
    content::{self, Item},
    load::{NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Section, Target},
    results::{Outcome, quantile},
    wire::type_url,
};

pub(crate) const GROUP: &str = "fleet";

/// Encoded size of a cluster.
pub(crate) const SIZE: usize = 370;

/// Metrics of a fan-out.
pub(crate) mod metric {
    /// Server CPU per push in µs, including its ACK and its part of the commit.
    pub(crate) const CPU: &str = "cpu_us_per_push";
    /// Time from a commit to the last node, in ms; a value per commit.
    pub(crate) const LAST: &str = "last_node_ms";
    /// The generator's share of its core, in a round.
    pub(crate) const SHARE: &str = "generator_share";
    /// Server CPU until all nodes have connected and received everything, in s.
    pub(crate) const FIRST_SYNC: &str = "first_sync_cpu_s";
    /// As `CPU`, for Chancery with two numbers of resources in turn.
    pub(crate) const IN_TURN: &str = "cpu_us_per_push_in_turn";
}

/// The parameters of one fan-out.
#[derive(Clone, Debug)]
pub(crate) struct FanOut<'a> {
    pub(crate) case: String,
    pub(crate) variant: Variant,
    pub(crate) nodes: usize,
    pub(crate) resources: usize,
    pub(crate) rounds: usize,
    /// The peers, each with its commits per round.
    pub(crate) peers: &'a [(PeerKind, usize)],
}

impl FanOut<'_> {
    /// Starts all peers with their nodes, then measures them in turn.
    pub(crate) async fn run(&self, bench: &Bench) -> Result<()> {
        let items = self.items();
        let mut arms = Vec::new();
        for (kind, commits) in self.peers {
            let arm = self.start(bench, *kind, &items).await;
            if let Some((arm, cpu)) = bench.survive(&self.case, *kind, arm) {
                bench.record(&self.case, *kind, metric::FIRST_SYNC, cpu);
                arms.push((arm, *commits));
            }
        }
        for round in 0..self.rounds {
            let mut left = Vec::new();
            for (mut arm, commits) in arms {
                let done = self.round(bench, &mut arm, commits, round).await;
                if bench.survive(&self.case, arm.peer.kind, done).is_some() {
                    left.push((arm, commits));
                } else {
                    arm.stop().await;
                }
            }
            arms = left;
        }
        for (arm, _) in arms {
            arm.stop().await;
        }
        Ok(())
    }

    /// The resources of the first publish.
    pub(crate) fn items(&self) -> Vec<Item> {
        (0..self.resources)
            .map(|number| content::cluster(number, 1, SIZE))
            .collect()
    }

    /// Starts a peer, connects its nodes, and returns it with the CPU time of the first sync in seconds.
    pub(crate) async fn start(&self, bench: &Bench, kind: PeerKind, items: &[Item]) -> Result<(Arm, f64)> {
        let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], items).await?;
        let meter = arm.meter()?;
        let clusters = TypePlan::wildcard(self.variant, type_url::CLUSTER, self.resources);
        let types: Arc<[TypePlan]> = Arc::new([clusters]);
        arm.connect(NodePlan::alike(self.nodes, GROUP, self.variant, &types))
            .await?;
        let reading = arm.read(meter).await?;
        Ok((arm, reading.cpu))
    }

    /// Measures the server CPU in µs per push over these commits, and the generator's share of its core.
    pub(crate) async fn measure(&self, arm: &mut Arm, commits: usize) -> Result<(f64, f64)> {
        // Warms up caches and allocators, above all in the first round.
        arm.commit(&[self.change(arm.version)]).await?;
        arm.peer.settle().await?;
        arm.board().take_commits();
        let pushes = arm.board().totals().pushes;
        let meter = arm.meter()?;
        for _ in 0..commits {
            arm.commit(&[self.change(arm.version)]).await?;
        }
        let reading = arm.read(meter).await?;
        let pushes = arm.board().totals().pushes - pushes;
        Ok((reading.cpu * 1e6 / pushes as f64, reading.share))
    }

    async fn round(&self, bench: &Bench, arm: &mut Arm, commits: usize, round: usize) -> Result<()> {
        let kind = arm.peer.kind;
        let (cpu, share) = self.measure(arm, commits).await?;
        bench.record(&self.case, kind, metric::CPU, cpu);
        bench.record(&self.case, kind, metric::SHARE, share);
        for commit in arm.board().take_commits() {
            if let Some(last) = commit.last {
                bench.record(&self.case, kind, metric::LAST, last.as_secs_f64() * 1e3);
            }
        }
        println!(
            "    {:<28}{kind:<18}round {round}: {cpu:>9.1} µs per push, generator at {:.0} %",
            self.case,
            share * 100.0
        );
        Ok(())
    }

    fn change(&self, version: u64) -> Item {
        let number = usize::try_from(version).unwrap_or(0) * 7 % self.resources;
        content::cluster(number, version + 1, SIZE)
    }
}

/// A case of the scenario, with commits per round of ours, of `SnapshotCache` and of `LinearCache`: their numbers make the
/// rounds about equally long.
struct Case {
    resources: usize,
    nodes: usize,
    rounds: usize,
    commits: [usize; 3],
}

const fn case(resources: usize, nodes: usize, rounds: usize, commits: [usize; 3]) -> Case {
    Case {
        resources,
        nodes,
        rounds,
        commits,
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let cases = bench.pick(
        [
            case(1, 1000, 5, [20, 10, 10]),
            case(100, 1000, 5, [10, 3, 5]),
            // A commit of go's SnapshotCache takes seven seconds in this case.
            case(1000, 1000, 3, [3, 1, 2]),
        ],
        [
            case(1, 500, 2, [5, 5, 5]),
            case(100, 100, 2, [5, 2, 3]),
            case(1000, 50, 2, [3, 1, 2]),
        ],
    );
    for case in cases {
        let [ours, snapshot, linear] = case.commits;
        let peers: Vec<(PeerKind, usize)> = [
            (PeerKind::Chancery, ours),
            (PeerKind::LimitRaw, ours),
            (PeerKind::Naive, ours),
            (PeerKind::GoSnapshot, snapshot),
            (PeerKind::GoLinear, linear),
        ]
        .into_iter()
        .filter(|(kind, _)| bench.machines.go_peer.is_some() || !kind.is_go())
        .collect();
        let resources = if case.resources == 1 { "resource" } else { "resources" };
        let fan_out = FanOut {
            case: format!("{} {resources}, {} nodes", case.resources, case.nodes),
            variant: Variant::Sotw,
            nodes: case.nodes,
            resources: case.resources,
            rounds: case.rounds,
            peers: &peers,
        };
        fan_out.run(bench).await?;
    }
    Ok(())
}

const PEERS: [PeerKind; 5] = [
    PeerKind::Chancery,
    PeerKind::LimitRaw,
    PeerKind::Naive,
    PeerKind::GoSnapshot,
    PeerKind::GoLinear,
];

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(
        "One group of wildcard nodes subscribes to clusters of 370 B over SotW ADS. One cluster changes per commit, so every push \
         carries all of them. The next commit follows once every node has the last one.",
    );
    section.table(report::cpu_table(outcome, &PEERS, metric::CPU));
    section.table(latency_table(outcome));
    let ours = PeerKind::Chancery.name();
    for case in outcome.cases() {
        let resources = leading_number(case);
        let against = |peer: PeerKind| outcome.ratio(case, metric::CPU, ours, peer.name());
        let mut target = |peer: PeerKind, bound: f64| {
            section.targets.push(Target::at_most(
                format!("{case}: CPU per push ÷ that of {peer}"),
                against(peer),
                bound,
            ));
        };
        target(PeerKind::LimitRaw, 1.25);
        if resources == 100 {
            target(PeerKind::GoSnapshot, 1.0 / 20.0);
            target(PeerKind::GoLinear, 1.0 / 4.0);
        }
        if resources == 1000 {
            target(PeerKind::GoSnapshot, 1.0 / 30.0);
            target(PeerKind::GoLinear, 1.0 / 3.5);
        }
    }
    section
}

/// p50 and p99 of the time from a commit to the last node; void if the generator was the bottleneck.
fn latency_table(outcome: &Outcome) -> report::Table {
    let mut table = report::Table::new(
        "Commit → last node, in ms: p50 / p99. *void*: the generator used more than 95 % of its core, so this is its time, not the server's",
        &["case"],
    );
    table.columns.extend(PEERS.map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let mut row = vec![case.to_owned()];
        for peer in PEERS {
            let last = outcome.values(case, peer.name(), metric::LAST);
            let share = outcome.median(case, peer.name(), metric::SHARE);
            row.push(match (quantile(last, 0.5), quantile(last, 0.99)) {
                (Some(p50), Some(p99)) => {
                    let void = if share.is_some_and(|share| share > 0.95) {
                        " *void*"
                    } else {
                        ""
                    };
                    format!("{} / {}{void}", report::figure(p50), report::figure(p99))
                }
                _ => "–".to_owned(),
            });
        }
        table.rows.push(row);
    }
    table
}

/// The number at the start of a case's name.
pub(crate) fn leading_number(case: &str) -> usize {
    let digits: String = case.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
