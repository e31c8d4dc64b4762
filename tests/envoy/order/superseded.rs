//! A resource that is published and removed within a round trip leaves no subscription unanswered (O-16).

use std::{thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        Config, EXTENSION_CONFIG, Mode, Release, SCOPED_ROUTES, SECRET, Upstream, ads, cluster, endpoints, filter,
        http_listener, listener, router, routes,
    },
    order::stage::{Arrivals, Stage, base, marked, shows_marker},
};

for_every_envoy_on_ads! {
    clusters_taken_back_within_a_round_trip_leave_nothing_behind,
    parents_taken_back_within_a_round_trip_leave_nothing_behind,
}

const UPSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const DOWNSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const MUTATION: &str = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// Milliseconds from each publish to its removal: around a round trip of 20 ms.
const PAUSES: [u64; 12] = [2, 5, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30];

/// Publishes the resources, removes them, and publishes an unrelated change.
fn publish_in_passing(stage: &Stage, base: &Config, passing: &str, resources: &[Value], pause: u64) {
    let mut arrivals = Arrivals::default();
    stage.publish(&base.with(resources.iter().cloned()));
    sleep(Duration::from_millis(pause));
    stage.publish(base);
    let marker = format!("after {passing}");
    let marked = base.with([marked(&marker, &[])]);
    let what = format!("the publish after {passing}, removed after {pause} ms");
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

/// Parents, each with children that the Envoy asks for once it has the parent.
fn parents(number: u64, upstream: &Upstream) -> [(&'static str, Vec<Value>); 5] {
    let name = format!("passing-{number}");
    let routed = [listener(&name, &name, &ads()), routes(&name, "app")];
    [
        ("a listener with its routes", routed.to_vec()),
        ("a cluster with its secret", secret_cluster(&name, upstream)),
        ("a listener with its filter", filtered_listener(&name)),
        ("a listener with its secret", secret_listener(&name)),
        ("a listener with its scopes", scoped_listener(&name)),
    ]
}

fn secret_cluster(name: &str, upstream: &Upstream) -> Vec<Value> {
    let secret = json!({ "name": name, "sds_config": ads() });
    let context =
        json!({ "@type": UPSTREAM_TLS, "common_tls_context": { "validation_context_sds_secret_config": secret } });
    let mut cluster = cluster(name, &ads());
    cluster["transport_socket"] = tls(&context);
    let identity = rcgen::generate_simple_self_signed(["chancery.example".to_owned()]).unwrap();
    let trusted = json!({ "trusted_ca": { "inline_string": identity.cert.pem() } });
    let authority = json!({ "@type": SECRET, "name": name, "validation_context": trusted });
    vec![cluster, endpoints(name, &[upstream]), authority]
}

fn secret_listener(name: &str) -> Vec<Value> {
    let secret = json!({ "name": name, "sds_config": ads() });
    let context =
        json!({ "@type": DOWNSTREAM_TLS, "common_tls_context": { "tls_certificate_sds_secret_configs": [secret] } });
    let mut listener = listener(name, "all", &ads());
    listener["filter_chains"][0]["transport_socket"] = tls(&context);
    let identity = rcgen::generate_simple_self_signed(["chancery.example".to_owned()]).unwrap();
    let pair = json!({
        "certificate_chain": { "inline_string": identity.cert.pem() },
        "private_key": { "inline_string": identity.signing_key.serialize_pem() },
    });
    vec![
        listener,
        json!({ "@type": SECRET, "name": name, "tls_certificate": pair }),
    ]
}

fn tls(context: &Value) -> Value {
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
}

fn filtered_listener(name: &str) -> Vec<Value> {
    let discovery = json!({ "config_source": ads(), "type_urls": [MUTATION] });
    let filters = json!([{ "name": name, "config_discovery": discovery }, router()]);
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let mut extension = filter(name, "header_mutation.v3.HeaderMutation", json!({ "mutations": {} }));
    extension["@type"] = json!(EXTENSION_CONFIG);
    let listener = http_listener(name, &json!({ "rds": rds, "http_filters": filters }));
    vec![listener, extension]
}

fn scoped_listener(name: &str) -> Vec<Value> {
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    let scope = json!({
        "@type": SCOPED_ROUTES,
        "name": name,
        "route_configuration_name": name,
        "key": { "fragments": [{ "string_key": "acme" }] },
    });
    let listener = http_listener(name, &json!({ "scoped_routes": scopes, "http_filters": [router()] }));
    vec![listener, scope, routes(name, "app")]
}
