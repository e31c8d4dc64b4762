//! Scenario 7: the commits per second of one publisher, by size of the commit and number of nodes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::fan_out::GROUP;
use crate::{
    bench::{Arm, Bench, PATIENCE},
    content::{self, Item},
    load::{self, NodePlan, TypePlan, Variant},
    peer::PeerKind,
    report::{self, Section, Table, Target},
    results::{Outcome, Ratio, quantile},
    wire::type_url,
};

const PEERS: [PeerKind; 3] = [PeerKind::Chancery, PeerKind::ChanceryOnDisk, PeerKind::GoSnapshot];
const SIZE: usize = 1000;

/// Commits divided by the time within the publishing call.
const RATE: &str = "commits_per_second";
/// Server CPU in ms, pushes included.
const CPU: &str = "cpu_ms_per_commit";
/// Responses sent.
const PUSHES: &str = "pushes";

/// The content of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A patch of this many resources.
    Patch(usize),
    /// A replacement of everything, with one changed resource.
    Replace,
    /// A patch of one unchanged resource.
    NoOp,
}

const FORMS: [Form; 4] = [Form::Patch(1), Form::Patch(100), Form::Replace, Form::NoOp];

impl Form {
    fn name(self) -> String {
        match self {
            Self::Patch(count) => format!("patch of {count}"),
            Self::Replace => "replace, 1 changed".to_owned(),
            Self::NoOp => "no-op".to_owned(),
        }
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let resources = bench.pick(10_000, 2000);
    let arms: &[(PeerKind, usize)] = &[
        (PeerKind::Chancery, 0),
        (PeerKind::Chancery, 200),
        (PeerKind::Chancery, 1000),
        (PeerKind::ChanceryOnDisk, 0),
        (PeerKind::ChanceryOnDisk, 200),
        (PeerKind::GoSnapshot, 0),
        (PeerKind::GoSnapshot, 200),
    ];
    for &(kind, nodes) in arms {
        if bench.peers(&[kind]).is_empty() || (bench.quick && nodes == 1000) {
            continue;
        }
        let done = one(bench, kind, nodes, resources).await;
        bench.survive(&format!("{nodes} nodes"), kind, done);
    }
    Ok(())
}

async fn one(bench: &Bench, kind: PeerKind, nodes: usize, resources: usize) -> Result<()> {
    let mut items: Vec<Item> = (0..resources).map(|number| content::cluster(number, 1, SIZE)).collect();
    let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &items).await?;
    let types: Arc<[TypePlan]> = Arc::new([TypePlan::wildcard(Variant::Delta, type_url::CLUSTER, resources)]);
    arm.connect(NodePlan::alike(nodes, GROUP, Variant::Delta, &types))
        .await?;
    for form in FORMS {
        measure(bench, &mut arm, form, &mut items).await?;
    }
    arm.stop().await;
    Ok(())
}

async fn measure(bench: &Bench, arm: &mut Arm, form: Form, items: &mut [Item]) -> Result<()> {
    let (kind, nodes) = (arm.peer.kind, arm.board().totals().nodes);
    let case = format!("{}, {nodes} nodes", form.name());
    let span = Duration::from_secs(bench.pick(4, 1));
    step(arm, form, items).await?;
    arm.peer.settle().await?;
    arm.board().take_commits();
    let pushes = arm.board().totals().pushes;
    let meter = arm.meter()?;
    let (begun, mut busy, mut commits) = (Instant::now(), Duration::ZERO, 0_u64);
    while begun.elapsed() < span {
        busy += step(arm, form, items).await?;
        commits += 1;
    }
    if nodes > 0 && form != Form::NoOp {
        let what = format!("the last of {commits} commits");
        load::until(arm.board(), &what, PATIENCE, |totals| totals.delivered >= commits).await?;
    }
    let reading = arm.read(meter).await?;
    let rate = commits as f64 / busy.as_secs_f64();
    bench.record(&case, kind, RATE, rate);
    bench.record(&case, kind, CPU, reading.cpu * 1e3 / commits as f64);
    bench.record(&case, kind, PUSHES, (arm.board().totals().pushes - pushes) as f64);
    println!("    {case:<32}{kind:<18}{rate:>9.1} commits/s");
    Ok(())
}

/// Makes one commit. Returns the time within the publishing call.
async fn step(arm: &mut Arm, form: Form, items: &mut [Item]) -> Result<Duration> {
    let next = arm.version + 1;
    let at = usize::try_from(next)? * 100 % items.len();
    let changed = match form {
        Form::Patch(count) => count,
        Form::Replace => 1,
        Form::NoOp => 0,
    };
    for offset in 0..changed {
        let number = (at + offset) % items.len();
        items[number] = content::cluster(number, next, SIZE);
    }
    if form != Form::NoOp {
        arm.board().begin(next, Instant::now());
    }
    match form {
        Form::Replace => arm.publish(items, true).await,
        Form::Patch(count) => {
            let some: Vec<Item> = (0..count)
                .map(|offset| items[(at + offset) % items.len()].clone())
                .collect();
            arm.publish(&some, false).await
        }
        Form::NoOp => arm.publish(&items[at..=at], false).await,
    }
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    let resources = if outcome.quick { 2000 } else { 10_000 };
    section.text(&format!(
        "{resources} clusters of 1 KB; one publisher, one commit after the other, for some seconds each; wildcard nodes over delta ADS. Chancery's time is \
         that of the admin RPC, with decoding, admission and comparison; go-control-plane's is that of `NewResources` and `SetSnapshot` alone, on existing \
         Go structures. A late node is sent the newest state, so there may be fewer pushes than commits × nodes.",
    ));
    let mut table = Table::new(
        "Commits per second / server CPU in ms per commit, pushes included / pushes per commit",
        &["case"],
    );
    table.columns.extend(PEERS.map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let mut row = vec![case.to_owned()];
        for peer in PEERS {
            let of = |metric| outcome.median(case, peer.name(), metric);
            row.push(match (of(RATE), of(CPU), of(PUSHES)) {
                (Some(rate), Some(cpu), Some(pushes)) => {
                    format!(
                        "{} / {} / {} in all",
                        report::figure(rate),
                        report::figure(cpu),
                        report::figure(pushes)
                    )
                }
                _ => "–".to_owned(),
            });
        }
        table.rows.push(row);
    }
    table.caption = "Commits per second / server CPU in ms per commit, pushes included / pushes".to_owned();
    section.table(table);
    let (ours, theirs) = (PeerKind::Chancery.name(), PeerKind::GoSnapshot.name());
    for form in [Form::Patch(1), Form::Patch(100), Form::Replace] {
        let case = format!("{}, 200 nodes", form.name());
        section.targets.push(Target::at_least(
            format!("{case}: commits per second ÷ those of {theirs}"),
            outcome.ratio(&case, RATE, ours, theirs),
            20.0,
        ));
    }
    let no_ops: Vec<f64> = outcome
        .cases()
        .into_iter()
        .filter(|case| case.starts_with("no-op"))
        .flat_map(|case| outcome.values(case, ours, PUSHES).to_vec())
        .collect();
    section.targets.push(Target::at_most(
        "pushes of all no-op commits".to_owned(),
        quantile(&no_ops, 1.0).and_then(|most| Ratio::of(&[most])),
        0.0,
    ));
    section
}
