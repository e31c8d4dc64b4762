//! Scenario 4: a whole fleet connects at once, over ADS with four types: cold, or with its earlier resources.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::fan_out::{GROUP, SIZE};
use crate::{
    bench::{Arm, Bench, PATIENCE},
    content::{self, Item, cluster_name, route_name},
    load::{self, Behaviour, NodePlan, TypePlan, Variant},
    peer::{Peer, PeerKind, Publish},
    report::{self, Section, Table, Target, figure},
    results::{Outcome, quantile},
    wire::type_url,
};

const PEERS: [PeerKind; 2] = [PeerKind::Chancery, PeerKind::GoSnapshot];

/// Number of clusters, and of their endpoints.
const CLUSTERS: usize = 1000;
/// Number of listeners, and of route configurations.
const LISTENERS: usize = 10;

/// Time from the first connection until every node has everything.
const SYNCED: &str = "all_synced_s";
const CPU: &str = "server_cpu_s";
const PEAK: &str = "peak_bytes";
const BEFORE: &str = "before_bytes";
/// Time of a publish to another group meanwhile.
const PUBLISH: &str = "publish_ms";
const SHARE: &str = "generator_share";
const SENT: &str = "received_bytes";

/// The state of the fleet when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Return {
    Cold,
    /// The nodes present earlier versions. One route configuration is missing, so that its response marks the end.
    Warm,
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let nodes = bench.pick(2000, 200);
    for variant in [Variant::Sotw, Variant::Delta] {
        for coming in [Return::Cold, Return::Warm] {
            for kind in bench.peers(&PEERS) {
                let rounds = if kind.is_go() { 1 } else { bench.pick(2, 1) };
                let case = case(variant, coming, nodes);
                for _ in 0..rounds {
                    let done = storm(bench, kind, variant, coming, nodes, &case).await;
                    bench.survive(&case, kind, done);
                }
            }
        }
    }
    Ok(())
}

fn case(variant: Variant, coming: Return, nodes: usize) -> String {
    let coming = if coming == Return::Cold { "cold" } else { "warm" };
    format!("{}, {coming}, {nodes} nodes", variant.name())
}

async fn storm(
    bench: &Bench,
    kind: PeerKind,
    variant: Variant,
    coming: Return,
    nodes: usize,
    case: &str,
) -> Result<()> {
    let mut arm = Arm::start(bench, kind, &[GROUP.to_owned()], &configuration()).await?;
    let types = types(&arm.peer, variant, coming).await?;
    arm.peer.settle().await?;
    arm.peer.trim().await?;
    let before = arm.peer.watched.memory()?;
    arm.peer.watched.reset_peak();
    let meter = arm.meter()?;
    let begun = Instant::now();
    let plans = NodePlan::alike(nodes, GROUP, variant, &types);
    let Arm {
        mut peer, mut fleet, ..
    } = arm;
    let xds = peer.xds.clone();
    let coming_in = async {
        fleet.add(&xds, plans, 1).await?;
        load::until(fleet.board(), "the whole fleet", PATIENCE, |totals| {
            totals.synced >= totals.nodes
        })
        .await?;
        anyhow::Ok(begun.elapsed())
    };
    let synced = tokio::select! {
        done = coming_in => done?,
        failed = publishing(bench, &mut peer, case) => match failed? {},
    };
    let arm = Arm {
        peer,
        fleet,
        groups: vec![GROUP.to_owned()],
        version: 1,
    };
    let peak = arm.peer.watched.memory()?.peak;
    let reading = arm.read(meter).await?;
    bench.record(case, kind, SYNCED, synced.as_secs_f64());
    bench.record(case, kind, CPU, reading.cpu);
    bench.record(case, kind, PEAK, peak as f64);
    bench.record(case, kind, BEFORE, before.pss as f64);
    bench.record(case, kind, SHARE, reading.share);
    bench.record(case, kind, SENT, arm.board().totals().bytes as f64);
    println!(
        "    {case:<28}{kind:<18}{:.2} s, {:.1} MB at most, generator at {:.0} %",
        synced.as_secs_f64(),
        peak as f64 / 1e6,
        reading.share * 100.0
    );
    arm.stop().await;
    Ok(())
}

/// Publishes to another group, a few times a second, until it is dropped.
async fn publishing(bench: &Bench, peer: &mut Peer, case: &str) -> Result<Infallible> {
    let groups = ["others".to_owned()];
    let mut version = 0;
    loop {
        version += 1;
        let begun = Instant::now();
        let items = [content::cluster(0, version, SIZE)];
        let publish = Publish {
            groups: &groups,
            version,
            replace: true,
            items: &items,
        };
        peer.publish(&publish).await?;
        bench.record(case, peer.kind, PUBLISH, begun.elapsed().as_secs_f64() * 1e3);
        sleep(Duration::from_millis(50)).await;
    }
}

fn configuration() -> Vec<Item> {
    let mut items: Vec<Item> = (0..CLUSTERS)
        .map(|number| content::eds_cluster(number, 1, SIZE))
        .collect();
    items.extend((0..CLUSTERS).map(|number| content::endpoints(number, 1, SIZE)));
    items.extend((0..LISTENERS).map(content::listener));
    items.extend((0..LISTENERS).map(|number| content::routes(number, CLUSTERS)));
    items
}

/// The subscriptions of an Envoy: at first all clusters and listeners, then the resources that those name; after a reconnect
/// everything at once.
async fn types(peer: &Peer, variant: Variant, coming: Return) -> Result<Arc<[TypePlan]>> {
    let clusters: Vec<String> = (0..CLUSTERS).map(cluster_name).collect();
    let routes: Vec<String> = (0..LISTENERS).map(route_name).collect();
    let cold = [
        TypePlan::wildcard(variant, type_url::CLUSTER, CLUSTERS),
        TypePlan::named(variant, type_url::ENDPOINT, &clusters).after(type_url::CLUSTER),
        TypePlan::wildcard(variant, type_url::LISTENER, LISTENERS),
        TypePlan::named(variant, type_url::ROUTE, &routes).after(type_url::LISTENER),
    ];
    if coming == Return::Cold {
        return Ok(Arc::new(cold));
    }
    let learner = NodePlan {
        id: "learner".to_owned(),
        group: GROUP.to_owned(),
        variant,
        types: Arc::new(cold),
        behaviour: Behaviour::Healthy,
    };
    let learned = load::learn(&peer.xds, &learner, Duration::from_secs(30)).await?;
    let warm = learner.types.iter().map(|cold| {
        let mut warm = cold.clone();
        warm.after = None;
        match variant {
            Variant::Sotw => {
                let version = learned.versions.get(cold.type_url).context("a version of every type")?;
                // A current pure wildcard may get no response; named resources are always sent again.
                let named = [type_url::ENDPOINT, type_url::ROUTE].contains(&cold.type_url);
                warm.expected = if named { cold.expected } else { 0 };
                Ok(warm.presenting_version(version))
            }
            Variant::Delta => {
                let held = learned
                    .resources
                    .get(cold.type_url)
                    .context("resources of every type")?;
                let missing = usize::from(cold.type_url == type_url::ROUTE);
                Ok(warm.presenting(&held[missing..], missing))
            }
        }
    });
    warm.collect::<Result<Vec<TypePlan>>>().map(Into::into)
}

pub(crate) fn report(outcome: &Outcome) -> Section {
    let mut section = Section::default();
    section.text(&format!(
        "{CLUSTERS} clusters, {CLUSTERS} named endpoints of 370 B each, {LISTENERS} listeners and {LISTENERS} route configurations over ADS. *cold*: nodes \
         subscribe to clusters and listeners, then to the endpoints and routes that those name. *warm*: nodes subscribe to all four types at once, in SotW with \
         the last version of each type, in delta with the versions of all resources except one route configuration. 128 connections are opened at a time, as \
         fast as the server accepts them. Meanwhile another group is published every 50 ms. The generator reads on one core: above 95 % the time is its own.",
    ));
    let mut table = Table::new(
        "A fleet that connects at once: median (range)",
        &[
            "case",
            "peer",
            "until all are synced, s",
            "server CPU, s",
            "memory before, MB",
            "peak memory, MB",
            "received, MB",
            "publish meanwhile, ms: p50 / p99",
            "generator CPU",
        ],
    );
    for case in outcome.cases() {
        for peer in PEERS {
            let name = peer.name();
            let Some(share) = outcome.median(case, name, SHARE) else {
                continue;
            };
            let megabytes = |metric| {
                let values: Vec<f64> = outcome
                    .values(case, name, metric)
                    .iter()
                    .map(|bytes| bytes / 1e6)
                    .collect();
                report::spread(&values)
            };
            let publishes = outcome.values(case, name, PUBLISH);
            let of = |q| quantile(publishes, q).map_or_else(|| "–".to_owned(), figure);
            table.rows.push(vec![
                case.to_owned(),
                name.to_owned(),
                report::spread(outcome.values(case, name, SYNCED)),
                report::spread(outcome.values(case, name, CPU)),
                megabytes(BEFORE),
                megabytes(PEAK),
                megabytes(SENT),
                format!("{} / {}", of(0.5), of(0.99)),
                format!("{:.0} %", share * 100.0),
            ]);
        }
        let ours = PeerKind::Chancery.name();
        let theirs = PeerKind::GoSnapshot.name();
        section.targets.push(Target::at_most(
            format!("{case}: time until all are synced ÷ that of {theirs}"),
            outcome.ratio(case, SYNCED, ours, theirs),
            1.0 / 20.0,
        ));
        section.targets.push(Target::at_most(
            format!("{case}: peak memory ÷ that of {theirs}"),
            outcome.ratio(case, PEAK, ours, theirs),
            1.0 / 10.0,
        ));
    }
    section.table(table);
    section
}
