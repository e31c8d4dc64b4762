//! What is published and taken back within a round trip leaves nobody waiting for what will not come (O-16).

use std::{thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        Config, EXTENSION_CONFIG, Mode, Release, SECRET, Upstream, ads, cluster, endpoints, filter, http_listener,
        listener, router, routes,
    },
    order::stage::{Arrivals, Stage, base, marked, shows_marker},
};

for_every_envoy_on_ads! {
    clusters_taken_back_within_a_round_trip_leave_nothing_behind,
    parents_taken_back_within_a_round_trip_leave_nothing_behind,
}

const UPSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const MUTATION: &str = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// How long after it was published each is taken back, in milliseconds: around a round trip of 20 ms.
const PAUSES: [u64; 12] = [2, 5, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30];

/// Each is published, taken back, and followed by a change that has nothing to do with it.
fn publish_in_passing(stage: &Stage, base: &Config, passing: &str, resources: &[Value], pause: u64) {
    let mut arrivals = Arrivals::default();
    stage.publish(&base.with(resources.iter().cloned()));
    sleep(Duration::from_millis(pause));
    stage.publish(base);
    let marker = format!("after {passing}");
    let marked = base.with([marked(&marker, &[])]);
    let what = format!("what follows {passing}, taken back after {pause} ms");
    stage.change(&mut arrivals, &what, &marked, |envoy| shows_marker(envoy, &marker));
    arrivals.expect_soon();
}

fn clusters_taken_back_within_a_round_trip_leave_nothing_behind(release: Release, mode: Mode) {
    let blue = Upstream::named("blue");
    let base = base(&blue);
    let stage = Stage::start(release, mode, &base);
    for (number, pause) in PAUSES.into_iter().enumerate() {
        let name = format!("passing-{number}");
        let resources = [cluster(&name, &ads()), endpoints(&name, &[&blue])];
        publish_in_passing(&stage, &base, &name, &resources, pause);
    }
    stage.end();
}

fn parents_taken_back_within_a_round_trip_leave_nothing_behind(release: Release, mode: Mode) {
    let blue = Upstream::named("blue");
    let base = base(&blue);
    let stage = Stage::start(release, mode, &base);
    for pause in [3, 12, 18, 25] {
        for (kind, resources) in parents(pause, &blue) {
            publish_in_passing(&stage, &base, &format!("{kind} {pause}"), &resources, pause);
        }
    }
    stage.end();
}

/// Each with the children that are asked for once it is there.
fn parents(number: u64, upstream: &Upstream) -> [(&'static str, Vec<Value>); 3] {
    let name = format!("passing-{number}");
    let secret = json!({ "name": name, "sds_config": ads() });
    let context =
        json!({ "@type": UPSTREAM_TLS, "common_tls_context": { "validation_context_sds_secret_config": secret } });
    let mut secure = cluster(&name, &ads());
    secure["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": context });
    let discovery = json!({ "config_source": ads(), "type_urls": [MUTATION] });
    let filters = json!([{ "name": name, "config_discovery": discovery }, router()]);
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    [
        (
            "a listener with its routes",
            vec![listener(&name, &name, &ads()), routes(&name, "app")],
        ),
        (
            "a cluster with its secret",
            vec![secure, endpoints(&name, &[upstream]), authority(&name)],
        ),
        (
            "a listener with its filter",
            vec![
                http_listener(&name, &json!({ "rds": rds, "http_filters": filters })),
                extension(&name),
            ],
        ),
    ]
}

/// Whom the cluster trusts.
fn authority(name: &str) -> Value {
    let identity = rcgen::generate_simple_self_signed(["chancery.example".to_owned()]).unwrap();
    let trusted = json!({ "trusted_ca": { "inline_string": identity.cert.pem() } });
    json!({ "@type": SECRET, "name": name, "validation_context": trusted })
}

fn extension(name: &str) -> Value {
    let mut config = filter(name, "header_mutation.v3.HeaderMutation", json!({ "mutations": {} }));
    config["@type"] = json!(EXTENSION_CONFIG);
    config
}
