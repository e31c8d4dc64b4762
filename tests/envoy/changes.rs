//! Every change of endpoints, clusters, listeners and routes reaches the traffic, for every kind of stream.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, Envoy, LISTENER, Mode, PROMPT, ROUTES, Release, Upstream, cluster, endpoints,
    eventually, expect, http_listener, listener, router, routes, within,
};

for_every_envoy! {
    endpoint_and_cluster_changes_reach_the_traffic,
    listener_and_route_changes_reach_the_traffic,
}

// Only a single stream can guarantee the order of a change over all types.
for_every_envoy_on_ads! {
    traffic_moves_without_loss_as_fast_as_it_is_published,
    a_listener_moves_to_other_routes_without_loss,
}

/// An even number, so that the last cluster uses the upstream of the first one.
const GENERATIONS: usize = 20;

fn endpoint_and_cluster_changes_reach_the_traffic(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let mut config = Config::of([
        cluster("app", &source),
        endpoints("app", &[&blue]),
        listener("web", "all", &source),
        routes("all", "app"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    config.set(endpoints("app", &[&green]));
    control.deliver(&config);
    envoy.expect_body("web", "green");

    config.set(endpoints("app", &[&blue, &green]));
    control.deliver(&config);
    envoy.expect_body("web", "blue");
    envoy.expect_body("web", "green");

    // A changed cluster warms anew, and needs its endpoints again (O-6).
    let begun = Instant::now();
    let mut slower = cluster("app", &source);
    slower["connect_timeout"] = json!("2s");
    config.set(slower);
    control.deliver(&config);
    within(PROMPT, "the changed cluster is warm", || {
        expect(envoy.connect_timeout("app"), Some("2s".to_owned()))?;
        expect(envoy.stat("cluster_manager.warming_clusters"), Some(0))
    });
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    envoy.expect_body("web", "blue");
    envoy.expect_body("web", "green");

    // A new cluster takes over, and the old one is removed.
    config.set(cluster("next", &source));
    config.set(endpoints("next", &[&green]));
    config.set(endpoints("app", &[&blue]));
    control.deliver(&config);
    eventually("the added cluster is there", || expect(envoy.has_cluster("next"), true));
    envoy.expect_body("web", "blue");
    config.set(routes("all", "next"));
    control.deliver(&config);
    envoy.expect_body("web", "green");
    config.remove(CLUSTER, "app");
    config.remove(ENDPOINTS, "app");
    control.deliver(&config);
    eventually("the removed cluster is gone", || {
        expect(envoy.has_cluster("app"), false)
    });
    envoy.expect_body("web", "green");
    traffic.expect_no_failure();

    // Back in one step: the cluster must arrive before its route, which only a single stream guarantees.
    let traffic = mode.is_ads().then(|| envoy.traffic("web"));
    config.set(cluster("app", &source));
    config.set(endpoints("app", &[&blue]));
    config.set(routes("all", "app"));
    config.remove(CLUSTER, "next");
    config.remove(ENDPOINTS, "next");
    control.deliver(&config);
    envoy.expect_body("web", "blue");
    eventually("the removed cluster is gone", || {
        expect(envoy.has_cluster("next"), false)
    });
    if let Some(traffic) = traffic {
        traffic.expect_no_failure();
    }
    envoy.expect_stat("cluster_manager.cds.update_rejected", 0);
}

fn listener_and_route_changes_reach_the_traffic(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let mut config = Config::of([
        cluster("blue", &source),
        endpoints("blue", &[&blue]),
        cluster("green", &source),
        endpoints("green", &[&green]),
        listener("web", "web-routes", &source),
        routes("web-routes", "blue"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    config.set(routes("web-routes", "green"));
    control.deliver(&config);
    envoy.expect_body("web", "green");

    config.set(listener("side", "side-routes", &source));
    config.set(routes("side-routes", "blue"));
    control.deliver(&config);
    envoy.expect_body("side", "blue");
    envoy.expect_body("web", "green");

    // The listener itself changes: another name of its routes, another name of its server.
    let changed = json!({
        "rds": { "route_config_name": "web-routes", "config_source": source },
        "http_filters": [router()],
        "server_name": "changed",
    });
    config.set(http_listener("side", &changed));
    control.deliver(&config);
    eventually("the changed listener answers", || {
        let reply = envoy.get("side")?;
        expect(
            reply.headers.get("server").and_then(|name| name.to_str().ok()),
            Some("changed"),
        )?;
        expect(reply.body.as_str(), "green")
    });

    let address = envoy.address("side").unwrap();
    config.remove(LISTENER, "side");
    config.remove(ROUTES, "side-routes");
    control.deliver(&config);
    eventually("the removed listener is gone", || {
        expect(envoy.address("side").is_err(), true)?;
        expect(TcpStream::connect(address).is_err(), true)
    });
    envoy.expect_body("web", "green");
    traffic.expect_no_failure();
    envoy.expect_stat("listener_manager.lds.update_rejected", 0);
}

/// Publishes without a wait between them: each moves all traffic to a new cluster and removes the last one.
fn traffic_moves_without_loss_as_fast_as_it_is_published(release: Release, mode: Mode) {
    let control = Control::start();
    let upstreams = [Upstream::named("blue"), Upstream::named("green")];
    let source = mode.source();
    let generation = |number: usize| {
        let name = format!("app-{number}");
        Config::of([
            cluster(&name, &source),
            endpoints(&name, &[&upstreams[number % 2]]),
            listener("web", "all", &source),
            routes("all", &name),
        ])
    };
    control.publish(&generation(0));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let (anew, kept) = (envoy.traffic("web"), envoy.kept_alive_traffic("web"));
    for number in 1..GENERATIONS {
        control.publish(&generation(number));
        std::thread::sleep(Duration::from_millis(50));
    }
    control.deliver(&generation(GENERATIONS));
    envoy.expect_body("web", "blue");
    eventually("only the last cluster is left", || {
        let others = (0..GENERATIONS).filter(|number| envoy.has_cluster(&format!("app-{number}")));
        expect(others.count(), 0)
    });
    anew.expect_no_failure();
    kept.expect_no_failure();
}

/// Like the test above, with another route configuration of the listener: draining connections still have its cluster (O-12).
fn a_listener_moves_to_other_routes_without_loss(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let generation = |name: &str, upstream: &Upstream| {
        Config::of([
            cluster(name, &source),
            endpoints(name, &[upstream]),
            listener("web", name, &source),
            routes(name, name),
        ])
    };
    control.publish(&generation("old", &blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let (anew, kept) = (envoy.traffic("web"), envoy.kept_alive_traffic("web"));
    control.deliver(&generation("new", &green));
    envoy.expect_body("web", "green");
    eventually("the old cluster is gone", || expect(envoy.has_cluster("old"), false));
    anew.expect_no_failure();
    kept.expect_no_failure();
}
