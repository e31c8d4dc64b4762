//! ODCDS: an Envoy without CDS asks for a cluster when the first request needs it (delta only).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, Envoy, Mode, PROMPT, ROUTES, Release, Upstream, ads, cluster, endpoints,
    eventually, expect, filter, http_listener, router, send,
};

for_every_envoy_on_delta_ads! {
    a_cluster_is_fetched_when_a_request_needs_it,
}

#[track_caller]
fn expect_cluster(envoy: &Envoy, cluster: &str, status: u16, body: &str) {
    eventually(&format!("cluster {cluster} answers {status} {body}"), || {
        let reply = send(envoy.request("web", "/")?.header("x-cluster", cluster))?;
        expect((reply.status.as_u16(), reply.body.as_str()), (status, body))
    });
}

fn a_cluster_is_fetched_when_a_request_needs_it(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    // Longer than a test waits: a missing cluster must be reported, not time out.
    let timeout = format!("{}s", (PROMPT + Duration::from_secs(5)).as_secs());
    let odcds = json!({ "source": ads(), "timeout": timeout });
    let on_demand = filter("on_demand", "on_demand.v3.OnDemand", json!({ "odcds": odcds }));
    let by_header = json!({ "match": { "prefix": "/" }, "route": { "cluster_header": "x-cluster" } });
    let host = json!({ "name": "all", "domains": ["*"], "routes": [by_header] });
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let mut config = Config::of([
        http_listener("web", &json!({ "rds": rds, "http_filters": [on_demand, router()] })),
        json!({ "@type": ROUTES, "name": "all", "virtual_hosts": [host] }),
        cluster("blue", &ads()),
        endpoints("blue", &[&blue]),
    ]);
    control.publish(&config);
    let mut bootstrap = control.bootstrap("node", mode.flags());
    bootstrap["dynamic_resources"]
        .as_object_mut()
        .unwrap()
        .remove("cds_config");
    let envoy = Envoy::boot(release, "node", &bootstrap);
    envoy.expect_ready();
    assert!(!envoy.has_cluster("blue"), "nobody asked for it yet");
    expect_cluster(&envoy, "blue", 200, "blue");

    let begun = Instant::now();
    expect_cluster(&envoy, "green", 503, "");
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());

    config.set(cluster("green", &ads()));
    config.set(endpoints("green", &[&green]));
    control.deliver(&config);
    expect_cluster(&envoy, "green", 200, "green");
    expect_cluster(&envoy, "blue", 200, "blue");

    config.set(endpoints("blue", &[&green]));
    control.deliver(&config);
    expect_cluster(&envoy, "blue", 200, "green");

    config.remove(CLUSTER, "blue");
    config.remove(ENDPOINTS, "blue");
    control.deliver(&config);
    expect_cluster(&envoy, "blue", 503, "");
    expect_cluster(&envoy, "green", 200, "green");
}
