//! A cluster that warms for long delays itself and the resources that name it, and nothing else (O-15).

use std::time::Duration;

use crate::{
    harness::{
        Config, Envoy, Mode, Release, Upstream, ads, cluster, endpoints, expect, fixed_cluster, listener, routes,
    },
    order::stage::{Arrivals, Stage, base, checked_cluster, expect_warming, marked, shows_marker},
};

for_every_envoy_on_ads! {
    a_cluster_that_warms_for_long_delays_itself_only,
}

/// The time that the cluster warms, during which an Envoy withholds its ACK of clusters.
const WARMING: Duration = Duration::from_secs(20);

/// All other resources change, one after the other, while the cluster warms.
fn a_cluster_that_warms_for_long_delays_itself_only(release: Release, mode: Mode) {
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let slow = Upstream::slow("slow", WARMING);
    let mut config = base(&blue).with([cluster("side", &ads()), endpoints("side", &[&blue])]);
    let stage = Stage::start(release, mode, &config);
    let mut arrivals = Arrivals::default();
    config.set(checked_cluster("slow"));
    config.set(endpoints("slow", &[&slow]));
    stage.publish(&config);
    expect_warming(&stage.envoys(), "slow");

    config.set(marked("second", &[]));
    stage.change(&mut arrivals, "a route", &config, |envoy| shows_marker(envoy, "second"));

    config.set(listener("late", "late", &ads()));
    config.set(routes("late", "app"));
    stage.change(&mut arrivals, "a listener", &config, |envoy| {
        expect(envoy.body("late", "/")?.as_str(), "blue")
    });

    config.set(endpoints("app", &[&green]));
    stage.change(&mut arrivals, "endpoints", &config, |envoy| {
        expect(envoy.body("web", "/")?.as_str(), "green")
    });

    change_other_clusters(&stage, &mut arrivals, &mut config, &green);
    for envoy in stage.envoys() {
        assert_eq!(envoy.warming_clusters(), ["slow"], "late: {arrivals:#?}");
    }
    expect_route_to_wait(&stage, &mut config);
    arrivals.expect_soon();
    stage.end();
}

/// Changes a cluster, and adds others, each with a route to it.
fn change_other_clusters(stage: &Stage, arrivals: &mut Arrivals, config: &mut Config, upstream: &Upstream) {
    let mut changed = cluster("side", &ads());
    changed["connect_timeout"] = "2s".into();
    config.set(changed);
    stage.change(arrivals, "a changed cluster", config, |envoy| {
        expect(envoy.connect_timeout("side").as_deref(), Some("2s"))
    });
    config.set(cluster("fresh", &ads()));
    config.set(endpoints("fresh", &[upstream]));
    stage.change(arrivals, "a new cluster", config, |envoy| {
        expect(envoy.has_cluster("fresh"), true)
    });
    let mut paths = vec![("/fresh", "fresh")];
    config.set(marked("third", &paths));
    stage.change(arrivals, "a route to the new cluster", config, |envoy| {
        expect(envoy.body("web", "/fresh")?.as_str(), "green")
    });
    for (path, fixed) in [
        ("/eds", cluster("eds", &ads())),
        ("/fixed", fixed_cluster("fixed", upstream)),
    ] {
        let name = &path[1..];
        config.set(fixed);
        if name == "eds" {
            config.set(endpoints(name, &[upstream]));
        }
        paths.push((path, name));
        config.set(marked(name, &paths));
        stage.change(arrivals, "a new cluster and its route in one", config, |envoy| {
            expect(envoy.body("web", path)?.as_str(), "green")
        });
    }
}

/// A route that names the cluster is sent once the cluster is warm.
fn expect_route_to_wait(stage: &Stage, config: &mut Config) {
    let traffic = stage.envoys().map(|envoy| envoy.traffic_to("web", "/slow"));
    config.set(marked(
        "fourth",
        &[
            ("/fresh", "fresh"),
            ("/eds", "eds"),
            ("/fixed", "fixed"),
            ("/slow", "slow"),
        ],
    ));
    let mut at_last = Arrivals::default();
    stage.change(
        &mut at_last,
        "a route to the warming cluster",
        config,
        |envoy: &Envoy| {
            let warms = envoy.warming_clusters();
            let came = shows_marker(envoy, "fourth");
            // In this order, since the cluster may become warm between the two checks.
            assert!(
                came.is_err() || warms.is_empty() || envoy.warming_clusters().is_empty(),
                "{}",
                envoy.node
            );
            came
        },
    );
    for traffic in traffic {
        traffic.expect_no_failure();
    }
    for envoy in stage.envoys() {
        assert_eq!(envoy.body("web", "/slow").unwrap(), "slow");
    }
}
