//! The order holds across streams: an Envoy keeps the resources it uses until their replacements are warm (O-19).

use std::time::Duration;

use crate::{
    harness::{
        Config, Control, Envoy, GROUP, Mode, Publisher, Relay, Release, Requests, Upstream, ads, endpoints, eventually,
        expect, listener, routes,
    },
    order::stage::checked_cluster,
    ports::free_address,
};

for_every_envoy_on_ads! {
    a_cluster_is_replaced_while_its_envoy_is_cut_off,
    a_rollback_is_made_while_its_envoy_is_cut_off,
    a_cluster_is_replaced_while_the_control_plane_restarts,
}

for_every_envoy_on_delta_ads! {
    a_node_comes_back_into_another_group,
}

/// The time that a cluster warms, during which it must receive no request.
const WARMING: Duration = Duration::from_secs(2);

/// Sends every request to one cluster, which warms for a while.
fn to(name: &str, upstream: &Upstream) -> Config {
    Config::of([
        checked_cluster(name),
        endpoints(name, &[upstream]),
        listener("web", "all", &ads()),
        routes("all", name),
    ])
}

fn connected(envoy: &Envoy, count: u64) {
    eventually(&format!("{count} connection to the control plane"), || {
        expect(envoy.stat("control_plane.connected_state"), Some(count))
    });
}

/// Asserts that the Envoy uses the cluster with this answer, and no longer has the other one.
#[track_caller]
fn expect_moved(envoy: &Envoy, body: &str, gone: &str) {
    envoy.expect_body("web", body);
    eventually("the old cluster is removed", || expect(envoy.has_cluster(gone), false));
    envoy.expect_no_fetch_timeout();
    envoy.expect_no_refusal();
}

/// A control plane, an Envoy that can be cut off from it, and the next configuration.
struct Line {
    blue: Upstream,
    green: Upstream,
    control: Control,
    relay: Relay,
}

impl Line {
    fn new() -> Self {
        let control = Control::start();
        Self {
            blue: Upstream::slow("blue", WARMING),
            green: Upstream::slow("green", WARMING),
            relay: Relay::to(&control),
            control,
        }
    }
}

fn a_cluster_is_replaced_while_its_envoy_is_cut_off(release: Release, mode: Mode) {
    let mut line = Line::new();
    line.control.publish(&to("a", &line.blue));
    let envoy = Envoy::start_behind(&line.relay, release, "node", mode, &line.control);
    envoy.expect_body("web", "blue");
    let requests = Requests::through(&envoy, "web");
    line.relay.cut();
    connected(&envoy, 0);
    line.control.publish(&to("b", &line.green));
    line.relay.restore();
    expect_moved(&envoy, "green", "a");
    requests.expect_no_failure();
}

fn a_rollback_is_made_while_its_envoy_is_cut_off(release: Release, mode: Mode) {
    let mut line = Line::new();
    line.control.publish(&to("a", &line.blue));
    let envoy = Envoy::start_behind(&line.relay, release, "node", mode, &line.control);
    envoy.expect_body("web", "blue");
    let requests = Requests::through(&envoy, "web");
    line.control.deliver(&to("b", &line.green));
    expect_moved(&envoy, "green", "a");
    line.relay.cut();
    connected(&envoy, 0);
    let ran = line.control.run(&["rollback", "-g", GROUP, "--to", "1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    line.relay.restore();
    expect_moved(&envoy, "blue", "b");
    requests.expect_no_failure();
}

/// In SotW an Envoy does not present its resources, and the new process does not know them: requests may be lost, but no more.
fn a_cluster_is_replaced_while_the_control_plane_restarts(release: Release, mode: Mode) {
    let (blue, green) = (Upstream::slow("blue", WARMING), Upstream::slow("green", WARMING));
    let data = tempfile::tempdir().unwrap();
    let mut control = Control::process(data.path(), free_address(), free_address());
    control.publish(&to("a", &blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let requests = Requests::through(&envoy, "web");
    control.kill();
    connected(&envoy, 0);
    {
        let elsewhere = Control::process(data.path(), free_address(), free_address());
        elsewhere.publish(&to("b", &green));
    }
    control.restart(data.path());
    expect_moved(&envoy, "green", "a");
    if mode.is_delta() {
        requests.expect_no_failure();
    } else {
        requests.end();
    }
}

/// A rule that puts the node into another group takes effect at its next stream.
fn a_node_comes_back_into_another_group(release: Release, mode: Mode) {
    let (blue, green) = (Upstream::slow("blue", WARMING), Upstream::slow("green", WARMING));
    let data = tempfile::tempdir().unwrap();
    let settings = data.path().join("chancery.yaml");
    let rules = format!("groups:\n- cluster: {GROUP}\n  group: moved\n");
    std::fs::write(&settings, rules).unwrap();
    let kept = data.path().join("kept");
    let mut control = Control::process(&kept, free_address(), free_address());
    Publisher::to(&control).publish_to("moved", &to("b", &green));
    control.publish(&to("a", &blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let requests = Requests::through(&envoy, "web");
    control.restart_with(&[
        "--data-dir",
        kept.to_str().unwrap(),
        "--config",
        settings.to_str().unwrap(),
    ]);
    expect_moved(&envoy, "green", "a");
    requests.expect_no_failure();
}
