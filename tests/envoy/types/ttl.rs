//! A resource with a TTL: heartbeats keep it, and it expires once the control plane is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Config, Control, Envoy, Mode, RUNTIME_LAYER, Release, ads, eventually, expect, wrapped_for};

for_every_envoy_on_ads! {
    a_resource_with_a_ttl_lives_on_heartbeats,
}

/// Long enough for heartbeats that are seconds late on a loaded machine.
const TTL: Duration = Duration::from_secs(9);

fn value(envoy: &Envoy) -> Option<String> {
    let page: Value = serde_json::from_str(&envoy.admin("/runtime").body).unwrap();
    page["entries"]["switch"]["final_value"].as_str().map(str::to_owned)
}

fn a_resource_with_a_ttl_lives_on_heartbeats(release: Release, mode: Mode) {
    let data = tempfile::tempdir().unwrap();
    let free = "127.0.0.1:0".parse().unwrap();
    let mut control = Control::process(data.path(), free, free);
    let layer = json!({ "@type": RUNTIME_LAYER, "name": "switches", "layer": { "switch": "on" } });
    control.publish(&Config::of([wrapped_for(TTL, "switches", &layer)]));
    let mut bootstrap = control.bootstrap("node", mode.flags());
    let rtds = json!({ "name": "switches", "rtds_config": ads() });
    bootstrap["layered_runtime"] = json!({ "layers": [{ "name": "discovered", "rtds_layer": rtds }] });
    bootstrap["node"]["client_features"] = json!([
        "xds.config.supports-resource-ttl",
        "xds.config.supports-resource-in-sotw"
    ]);
    let envoy = Envoy::boot(release, "node", &bootstrap);
    eventually("the value is there", || expect(value(&envoy).as_deref(), Some("on")));
    let begun = Instant::now();
    while begun.elapsed() < TTL * 3 / 2 {
        assert_eq!(value(&envoy).as_deref(), Some("on"), "after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    control.kill();
    eventually("the value has expired", || expect(value(&envoy), None));
}
