//! A refusal blocks the changes that need the refused resource, and nothing else: no later publish, no removal (O-20).

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::{
    harness::{
        CLUSTER, Control, Envoy, LISTENER, Mode, ROUTES, Release, Upstream, ads, cluster, endpoints, eventually,
        expect, listener, routes,
    },
    order::stage::{Arrivals, Stage, base, marked, shows_marker, soon},
    refusals::{static_cluster, two_routers},
};

for_every_envoy_on_ads! {
    after_a_refused_publish_the_next_good_one_arrives,
    a_refused_resource_holds_no_removal_of_another_one,
}

const RING: &str = "a cluster with an impossible ring";

/// Resources of a type that an Envoy refuses, and its counter of refusals.
struct Bad {
    what: &'static str,
    type_url: &'static str,
    resources: Vec<Value>,
    counter: &'static str,
}

/// New resources, and changes of used ones, that pass every check except Envoy's own.
fn bad() -> [Bad; 5] {
    let mut ring = cluster("bad", &ads());
    ring["lb_policy"] = json!("RING_HASH");
    ring["ring_hash_lb_config"] = json!({ "minimum_ring_size": 64, "maximum_ring_size": 32 });
    let mut unknown = marked("refused", &[("/nowhere", "nowhere")]);
    unknown["validate_clusters"] = json!(true);
    let bad = |what, type_url, resources, counter| Bad {
        what,
        type_url,
        resources,
        counter,
    };
    let clusters = "cluster_manager.cds.update_rejected";
    let listeners = "listener_manager.lds.update_rejected";
    [
        bad("a cluster", CLUSTER, vec![static_cluster("bad", &ads())], clusters),
        // An Envoy keeps the cluster as warming, and withholds its ACKs of clusters until the cluster is removed.
        bad(RING, CLUSTER, vec![ring], clusters),
        bad(
            "a listener",
            LISTENER,
            vec![two_routers("bad", "all", &ads())],
            listeners,
        ),
        bad(
            "a listener in use",
            LISTENER,
            vec![two_routers("web", "all", &ads())],
            listeners,
        ),
        bad("routes", ROUTES, vec![unknown], "http.web.rds.all.update_rejected"),
    ]
}

fn refused(envoy: &Envoy, counter: &str) -> u64 {
    envoy.stat(counter).unwrap_or_default()
}

/// Both Envoys refuse each bad resource. A publish without it follows: with another route, and with a new cluster and a
/// route to that.
fn after_a_refused_publish_the_next_good_one_arrives(release: Release, mode: Mode) {
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let mut good = base(&blue);
    let stage = Stage::start(release, mode, &good);
    let mut arrivals = Arrivals::default();
    for (number, bad) in bad().into_iter().enumerate() {
        let before = stage.envoys().map(|envoy| refused(envoy, bad.counter));
        stage.publish(&good.with(bad.resources));
        for (envoy, before) in stage.envoys().iter().zip(before) {
            eventually(&format!("{} is refused", bad.what), || {
                expect(refused(envoy, bad.counter) > before, true)
            });
        }

        let (marker, next) = (format!("after {}", bad.what), format!("next-{number}"));
        good.set(marked(&marker, &[]));
        stage.change(&mut arrivals, &marker, &good, |envoy| shows_marker(envoy, &marker));
        good.set(cluster(&next, &ads()));
        good.set(endpoints(&next, &[&green]));
        good.set(marked(&marker, &[("/next", &next)]));
        stage.change(&mut arrivals, &format!("a new cluster {marker}"), &good, |envoy| {
            expect(envoy.body("web", "/next")?.as_str(), "green")
        });
    }
    arrivals.expect_soon();
    stage.expect_no_loss();
}

/// The same publish removes the listener `side` with its cluster, and the cluster `gone`, none of which refers to the refused
/// resource.
fn a_refused_resource_holds_no_removal_of_another_one(release: Release, mode: Mode) {
    let held: Vec<String> = bad()
        .iter()
        .filter_map(|bad| removals_beside(release, mode, bad).err())
        .collect();
    assert!(held.is_empty(), "held: {held:#?}");
}

fn removals_beside(release: Release, mode: Mode, bad: &Bad) -> Result<(), String> {
    let control = Control::start();
    let blue = Upstream::named("blue");
    let rest = base(&blue);
    let mut first = rest.with([listener("side", "side", &ads()), routes("side", "side")]);
    for name in ["gone", "side"] {
        first.set(cluster(name, &ads()));
        first.set(endpoints(name, &[&blue]));
    }
    control.publish(&first);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    envoy.expect_body("side", "blue");
    let traffic = envoy.traffic("web");
    let port = envoy.address("side").unwrap();

    control.publish(&rest.with(bad.resources.clone()));
    eventually(&format!("{} is refused", bad.what), || {
        expect(refused(&envoy, bad.counter) > 0, true)
    });
    soon(&format!("the listener goes beside {}", bad.what), || {
        expect(TcpStream::connect(port).is_err(), true)
    })?;
    // While that cluster exists the Envoy does not answer, so the refusal cannot be reported.
    if bad.what != RING {
        soon(&format!("the clusters go beside {}", bad.what), || {
            expect([envoy.has_cluster("gone"), envoy.has_cluster("side")], [false; 2])
        })?;
        expect_reported(&control, bad);
    }
    traffic.expect_no_failure();
    Ok(())
}

/// Asserts that `status` still names the refusal.
#[track_caller]
fn expect_reported(control: &Control, bad: &Bad) {
    let row = control.type_status("node", bad.type_url).unwrap();
    assert_eq!(row["state"], "STATE_ERROR", "{}: {row}", bad.what);
    assert!(
        row["nack"]["message"].as_str().is_some_and(|said| !said.is_empty()),
        "{row}"
    );
}
