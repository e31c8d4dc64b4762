//! VHDS: virtual hosts apart from their routes, and on demand (delta only).

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, Mode, PROMPT, ROUTES, Release, Upstream, VIRTUAL_HOST, cluster, endpoints, eventually,
    expect, filter, http_listener, router, send, wrapped,
};

// Older Envoys such as 1.36 accept virtual hosts only from a separate stream.
matrix! {
    virtual_hosts_are_discovered_on_their_own virtual_hosts_follow_their_route_configuration => {
        v1_40_ads: V1_40 AdsDelta,
        v1_40_separate: V1_40 SeparateDelta,
        v1_36_separate: V1_36 SeparateDelta,
    }
}

/// The virtual host's own name equals the resource's, since Envoy looks for removed hosts by that name.
fn virtual_host(host: &str, cluster: &str) -> Value {
    let name = format!("all/{host}");
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
    let resource = json!({ "@type": VIRTUAL_HOST, "name": name, "domains": [host], "routes": [all] });
    wrapped(&name, &resource)
}

fn base(source: &Value) -> Config {
    let on_demand = filter("on_demand", "on_demand.v3.OnDemand", json!({}));
    let rds = json!({ "route_config_name": "all", "config_source": source });
    Config::of([
        http_listener("web", &json!({ "rds": rds, "http_filters": [on_demand, router()] })),
        json!({ "@type": ROUTES, "name": "all", "vhds": { "config_source": source } }),
        cluster("blue", source),
        cluster("green", source),
    ])
}

#[track_caller]
fn expect_host(envoy: &Envoy, host: &str, status: u16, body: &str) {
    eventually(&format!("{host} gets {status} {body}"), || {
        let reply = send(envoy.request("web", "/")?.header("host", host))?;
        expect((reply.status.as_u16(), reply.body.as_str()), (status, body))
    });
}

fn virtual_hosts_are_discovered_on_their_own(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let mut config = base(&mode.source()).with([
        endpoints("blue", &[&blue]),
        endpoints("green", &[&green]),
        virtual_host("a.example", "blue"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    expect_host(&envoy, "a.example", 200, "blue");

    config.set(virtual_host("a.example", "green"));
    control.deliver(&config);
    expect_host(&envoy, "a.example", 200, "green");

    // An unknown host is answered at once, rather than after a timeout.
    let begun = Instant::now();
    expect_host(&envoy, "b.example", 404, "");
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());

    config.set(virtual_host("b.example", "blue"));
    control.deliver(&config);
    expect_host(&envoy, "b.example", 200, "blue");

    config.remove(VIRTUAL_HOST, "all/a.example");
    control.deliver(&config);
    expect_host(&envoy, "a.example", 404, "");
    expect_host(&envoy, "b.example", 200, "blue");
}

fn virtual_hosts_follow_their_route_configuration(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let mut config = base(&mode.source()).with([
        endpoints("blue", &[&blue]),
        endpoints("green", &[&green]),
        virtual_host("a.example", "blue"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    expect_host(&envoy, "a.example", 200, "blue");

    let added = json!({ "header": { "key": "x-routes", "value": "changed" } });
    config.set(json!({
        "@type": ROUTES,
        "name": "all",
        "vhds": { "config_source": mode.source() },
        "response_headers_to_add": [added],
    }));
    control.deliver(&config);
    eventually("the changed route configuration keeps its hosts", || {
        let reply = send(envoy.request("web", "/")?.header("host", "a.example"))?;
        let changed = reply.headers.get("x-routes").is_some();
        expect((changed, reply.body.as_str()), (true, "blue"))
    });
}
