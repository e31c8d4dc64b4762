//! ECDS: an HTTP filter's configuration, separate from its listener.

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, EXTENSION_CONFIG, Envoy, LISTENER, Mode, Release, Upstream, ads, cluster, endpoints, eventually,
    expect, filter, http_listener, router, routes,
};

for_every_envoy_on_ads! {
    a_filter_is_configured_apart_from_its_listener,
}

const MUTATION: &str = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// A filter that adds a header to responses.
fn stamp(value: &str) -> Value {
    let append = json!({ "header": { "key": "x-stamp", "value": value } });
    let mutations = json!({ "mutations": { "response_mutations": [{ "append": append }] } });
    let mut config = filter("stamp", "header_mutation.v3.HeaderMutation", mutations);
    config["@type"] = json!(EXTENSION_CONFIG);
    config
}

#[track_caller]
fn expect_stamp(envoy: &Envoy, value: &str) {
    eventually(&format!("responses are stamped {value}"), || {
        let reply = envoy.get("web")?;
        let found = reply.headers.get("x-stamp").and_then(|stamp| stamp.to_str().ok());
        expect((found, reply.body.as_str()), (Some(value), "blue"))
    });
}

fn a_filter_is_configured_apart_from_its_listener(release: Release, mode: Mode) {
    let control = Control::start();
    let blue = Upstream::named("blue");
    let discovery = json!({ "config_source": ads(), "type_urls": [MUTATION] });
    let filters = json!([{ "name": "stamp", "config_discovery": discovery }, router()]);
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let mut config = Config::of([
        cluster("app", &ads()),
        endpoints("app", &[&blue]),
        http_listener("web", &json!({ "rds": rds, "http_filters": filters })),
        routes("all", "app"),
        stamp("first"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    expect_stamp(&envoy, "first");
    let sent = control.sent_total("node", LISTENER);
    let traffic = envoy.traffic("web");

    config.set(stamp("second"));
    control.deliver(&config);
    expect_stamp(&envoy, "second");
    assert_eq!(
        control.sent_total("node", LISTENER),
        sent,
        "the listener did not change"
    );
    traffic.expect_no_failure();
}
