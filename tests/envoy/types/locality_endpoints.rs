//! LEDS: the endpoints of a locality one by one, as a collection (delta only).

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, ENDPOINTS, Envoy, LB_ENDPOINT, Mode, Release, Upstream, ads, cluster, endpoint, listener, routes,
    wrapped,
};

for_every_envoy_on_delta_ads! {
    endpoints_of_a_locality_come_one_by_one,
}

const COLLECTION: &str = "xdstp:///envoy.config.endpoint.v3.LbEndpoint/app";

fn member(name: &str, upstream: &Upstream) -> Value {
    let mut resource = endpoint(upstream);
    resource["@type"] = json!(LB_ENDPOINT);
    wrapped(&format!("{COLLECTION}/{name}"), &resource)
}

fn endpoints_of_a_locality_come_one_by_one(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let collection = json!({ "leds_config": ads(), "leds_collection_name": format!("{COLLECTION}/*") });
    let locality = json!({ "locality": { "zone": "a" }, "leds_cluster_locality_config": collection });
    let mut config = Config::of([
        cluster("app", &ads()),
        json!({ "@type": ENDPOINTS, "cluster_name": "app", "endpoints": [locality] }),
        member("one", &blue),
        listener("web", "all", &ads()),
        routes("all", "app"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let sent = control.sent_total("node", ENDPOINTS);

    config.set(member("two", &green));
    control.deliver(&config);
    envoy.expect_body("web", "green");
    envoy.expect_body("web", "blue");

    config.remove(LB_ENDPOINT, &format!("{COLLECTION}/one"));
    control.deliver(&config);
    for _ in 0..4 {
        envoy.expect_body("web", "green");
    }

    config.set(member("two", &blue));
    control.deliver(&config);
    envoy.expect_body("web", "blue");
    assert_eq!(
        control.sent_total("node", ENDPOINTS),
        sent,
        "only the collection changed"
    );
}
