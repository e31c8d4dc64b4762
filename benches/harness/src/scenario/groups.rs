//! Scenario 8: many groups whose nodes subscribe to some of many endpoints by name; a hundredth of them changes at a time.

use std::{sync::Arc, time::Instant};

use anyhow::Result;

use crate::{
    bench::{Arm, Bench, PATIENCE},
    content::{self, Item, cluster_name},
    load::{self, NodePlan, TypePlan, Variant},
    peer::{PeerKind, Publish},
    report::{self, Section, Table, Target},
    results::Outcome,
    wire::type_url,
};

const PEERS: [PeerKind; 2] = [PeerKind::Chancery, PeerKind::GoSnapshot];

const RESOURCES: usize = 2000;
const SIZE: usize = 1000;
/// Number of names of a node.
const NAMES: usize = 200;
/// Number of resources that change in a commit: a hundredth.
const CHANGED: usize = RESOURCES / 100;
/// Number of changed resources that each node subscribes to.
const NEEDED: usize = CHANGED * NAMES / RESOURCES;

/// Server CPU in s per million changed and subscribed resources.
const CPU: &str = "cpu_s_per_million";
/// Received bytes divided by the bytes of changed and subscribed resources.
const BYTES: &str = "bytes_sent_to_needed";
/// Time from a commit to the last node, in ms; a value per commit.
const LAST: &str = "last_node_ms";
const SHARE: &str = "generator_share";
const SYNC: &str = "first_sync_cpu_s";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let groups = bench.pick(500, 50);
    for variant in [Variant::Delta, Variant::Sotw] {
        let case = format!("{}, {groups} groups × 4 nodes", variant.name());
        for round in 0..bench.pick(3, 1) {
            for kind in bench.peers(&PEERS) {
                // A round of a go peer takes as long as all of ours.
                if kind.is_go() && round > 0 && variant == Variant::Sotw {
                    continue;
                }
                let done = one(bench, kind, &case, variant, groups).await;
                bench.survive(&case, kind, done);
            }
        }
    }
    Ok(())
}

async fn one(bench: &Bench, kind: PeerKind, case: &str, variant: Variant, groups: usize) -> Result<()> {
    let names: Vec<String> = (0..groups).map(|group| format!("group-{group:03}")).collect();
    let own = [content::cluster(0, 1, 370)];
    let shared: Vec<Item> = (0..RESOURCES)
        .map(|number| content::endpoints(number, 1, SIZE))
        .collect();
    // Chancery has a group that all others share; go-control-plane is given one snapshot object for all.
    let mut arm = if kind.is_go() {
        let all = [&own[..], &shared[..]].concat();
        Arm::start(bench, kind, &names, &all).await?
    } else {
        let mut arm = Arm::start(bench, kind, &["*".to_owned()], &shared).await?;
        let publish = Publish {
            groups: &names,
            version: 1,
            replace: true,
            items: &own,
        };
        arm.peer.publish(&publish).await?;
        arm
    };
    arm.peer.settle().await?;
    let meter = arm.meter()?;
    let subscribed: Vec<Arc<[TypePlan]>> = (0..RESOURCES / NAMES)
        .map(|first| subscription(variant, first))
        .collect();
    let plans = names.iter().enumerate().flat_map(|(group, name)| {
        let types = &subscribed[group % subscribed.len()];
        NodePlan::alike(4, name, variant, types)
    });
    arm.connect(plans.collect()).await?;
    let reading = arm.read(meter).await?;
    bench.record(case, kind, SYNC, reading.cpu);

    let commits = bench.pick(10, 3);
    change(&mut arm, 0).await?;
    arm.peer.settle().await?;
    let before = arm.board().totals();
    let meter = arm.meter()?;
    for number in 1..=commits {
        let begun = Instant::now();
        change(&mut arm, number).await?;
        bench.record(case, kind, LAST, begun.elapsed().as_secs_f64() * 1e3);
    }
    let reading = arm.read(meter).await?;
    let needed = (commits * before.nodes * NEEDED) as f64;
    let bytes = (arm.board().totals().bytes - before.bytes) as f64;
    let size = shared[0].value.len() as f64;
    bench.record(case, kind, CPU, reading.cpu * 1e6 / needed);
    bench.record(case, kind, BYTES, bytes / (needed * size));
    bench.record(case, kind, SHARE, reading.share);
    println!(
        "    {case:<32}{kind:<18}{:.1} CPU-s per million, {:.2} × the bytes needed",
        reading.cpu * 1e6 / needed,
        bytes / (needed * size)
    );
    arm.stop().await;
    Ok(())
}

/// Every tenth endpoint, from `first`.
fn subscription(variant: Variant, first: usize) -> Arc<[TypePlan]> {
    let names: Vec<String> = (0..NAMES)
        .map(|index| cluster_name(first + index * RESOURCES / NAMES))
        .collect();
    Arc::new([TypePlan::named(variant, type_url::ENDPOINT, &names)])
}

/// Changes a hundredth in one commit, and waits until every node has received a push, since each subscribes to a part.
async fn change(arm: &mut Arm, number: usize) -> Result<()> {
    let before = arm.board().totals().pushes;
    let items: Vec<Item> = (0..CHANGED)
        .map(|index| (number * CHANGED + index) % RESOURCES)
        .map(|resource| content::endpoints(resource, 2 + number as u64, SIZE))
        .collect();
    arm.publish(&items, false).await?;
    let what = format!("change {number} to reach every node of {}", arm.peer.kind);
    load::until(arm.board(), &what, PATIENCE, |totals| {
        totals.pushes >= before + totals.nodes as u64
    })
    .await
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(&format!(
        "{RESOURCES} endpoints of 1 KB, shared by all groups. Every node subscribes to {NAMES} of them by name over ADS, the nodes of a group to the same ones. {CHANGED} change per \
         commit, and each node subscribes to {NEEDED} of these. Chancery has the endpoints in the group `*` and a cluster in each group; go-control-plane has one snapshot \
         object for all groups.",
    ));
    let mut table = Table::new(
        "Median (range) of the rounds",
        &[
            "case",
            "peer",
            "CPU-s per million resources needed",
            "bytes sent ÷ needed",
            "commit → last node, ms",
            "first sync, CPU-s",
            "generator CPU",
        ],
    );
    let ours = PeerKind::Chancery.name();
    let theirs = PeerKind::GoSnapshot.name();
    for case in outcome.cases() {
        for peer in [ours, theirs] {
            let of = |metric| report::spread(outcome.values(case, peer, metric));
            if let Some(share) = outcome.median(case, peer, SHARE) {
                table.rows.push(vec![
                    case.to_owned(),
                    peer.to_owned(),
                    of(CPU),
                    of(BYTES),
                    of(LAST),
                    of(SYNC),
                    format!("{:.0} %", share * 100.0),
                ]);
            }
        }
        section.targets.push(Target::at_most(
            format!("{case}: CPU ÷ that of {theirs}"),
            outcome.ratio(case, CPU, ours, theirs),
            0.1,
        ));
        section.targets.push(Target::at_most(
            format!("{case}: bytes sent ÷ bytes needed"),
            crate::results::Ratio::of(outcome.values(case, ours, BYTES)),
            2.0,
        ));
    }
    section.table(table);
    section
}
