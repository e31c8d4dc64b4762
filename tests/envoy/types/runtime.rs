//! RTDS: a layer of runtime values, one of which chooses the route.

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, Mode, ROUTES, RUNTIME_LAYER, Release, Upstream, ads, cluster, endpoints, eventually,
    expect, listener,
};

for_every_envoy_on_ads! {
    a_runtime_value_chooses_the_route,
}

fn layer(percent: u32) -> Value {
    json!({ "@type": RUNTIME_LAYER, "name": "switches", "layer": { "routing.green": percent } })
}

fn to(cluster: &str, condition: Option<Value>) -> Value {
    let mut route = json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
    if let Some(condition) = condition {
        route["match"]["runtime_fraction"] = condition;
    }
    route
}

fn runtime_value(envoy: &Envoy) -> Option<String> {
    let page: Value = serde_json::from_str(&envoy.admin("/runtime").body).unwrap();
    page["entries"]["routing.green"]["final_value"]
        .as_str()
        .map(str::to_owned)
}

fn a_runtime_value_chooses_the_route(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let fraction = json!({ "default_value": { "numerator": 0 }, "runtime_key": "routing.green" });
    let host = json!({
        "name": "all",
        "domains": ["*"],
        "routes": [to("green", Some(fraction)), to("blue", None)],
    });
    let mut config = Config::of([
        cluster("blue", &ads()),
        endpoints("blue", &[&blue]),
        cluster("green", &ads()),
        endpoints("green", &[&green]),
        listener("web", "all", &ads()),
        json!({ "@type": ROUTES, "name": "all", "virtual_hosts": [host] }),
        layer(0),
    ]);
    control.publish(&config);
    let mut bootstrap = control.bootstrap("node", mode.flags());
    let rtds = json!({ "name": "switches", "rtds_config": ads() });
    bootstrap["layered_runtime"] = json!({ "layers": [{ "name": "discovered", "rtds_layer": rtds }] });
    let envoy = Envoy::boot(release, "node", &bootstrap);
    envoy.expect_body("web", "blue");
    assert_eq!(runtime_value(&envoy).as_deref(), Some("0"));

    config.set(layer(100));
    control.deliver(&config);
    eventually("the runtime value changes", || {
        expect(runtime_value(&envoy).as_deref(), Some("100"))
    });
    envoy.expect_body("web", "green");

    config.set(layer(0));
    control.deliver(&config);
    envoy.expect_body("web", "blue");
}
