//! A control plane that dies and restarts on the same ports with the same data does not affect traffic.

use crate::{
    harness::{
        CLUSTER, Client, Config, Control, ENDPOINTS, Envoy, LISTENER, Mode, ROUTES, Release, Upstream, Variant, ads,
        cluster, endpoints, eventually, expect, listener, routes,
    },
    ports::free_address,
};

for_every_envoy! {
    an_envoy_outlives_a_killed_control_plane,
}

fn config(mode: Mode, upstream: &Upstream) -> Config {
    let source = mode.source();
    Config::of([
        cluster("app", &source),
        endpoints("app", &[upstream]),
        listener("web", "all", &source),
        routes("all", "app"),
    ])
}

fn start(data: &tempfile::TempDir) -> Control {
    // The addresses are chosen here, since the restart must use the same ones.
    Control::process(data.path(), free_address(), free_address())
}

/// The numbers of responses with clusters and with listeners that the Envoy received.
fn updates(envoy: &Envoy) -> [Option<u64>; 2] {
    [
        "cluster_manager.cds.update_success",
        "listener_manager.lds.update_success",
    ]
    .map(|name| envoy.stat(name))
}

fn an_envoy_outlives_a_killed_control_plane(release: Release, mode: Mode) {
    let data = tempfile::tempdir().unwrap();
    let mut control = start(&data);
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(mode, &blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    let connected = if mode.is_ads() {
        "control_plane.connected_state"
    } else {
        "cluster_manager.cds.control_plane.connected_state"
    };
    control.kill();
    eventually("the Envoy has lost its control plane", || {
        expect(envoy.stat(connected), Some(0))
    });
    envoy.expect_body("web", "blue");
    let before = updates(&envoy);
    control.restart(data.path());
    let kinds = [CLUSTER, ENDPOINTS, LISTENER, ROUTES];
    eventually("the Envoy is back, and has it all", || {
        for kind in kinds {
            let row = control.type_status("node", kind)?;
            expect(
                (kind, row["names"].as_u64().unwrap() > 0 || row["wildcard"] == true),
                (kind, true),
            )?;
        }
        let ran = control.run(&["wait", "-g", "demo", "--timeout=1s"]);
        expect(ran.code, 0)
    });
    if mode.is_delta() {
        let sent = kinds.map(|kind| control.sent_total("node", kind));
        assert_eq!(sent, [0; 4], "responses of {kinds:?} after the restart");
    }
    assert_eq!(updates(&envoy), before, "clusters or listeners were sent again");

    control.deliver(&config(mode, &green));
    envoy.expect_body("web", "green");
    traffic.expect_no_failure();
}

#[test]
fn delta_sends_nothing_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut control = start(&data);
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(Mode::AdsDelta, &blue));
    let mut client = Client::open(&control, "node", Variant::Delta);
    for (kind, names) in [
        (CLUSTER, &[][..]),
        (ENDPOINTS, &["app"]),
        (LISTENER, &[]),
        (ROUTES, &["all"]),
    ] {
        client.subscribe(kind, names);
        assert_eq!(client.take().type_url, kind);
    }

    control.restart(data.path());
    let mut client = client.reconnect(&control, "node");
    client.expect_silence();

    let changed = config(Mode::AdsDelta, &blue).with([cluster("late", &ads()), endpoints("app", &[&green])]);
    control.publish(&changed);
    let mut updates = [client.take(), client.take()];
    updates.sort_by(|a, b| a.type_url.cmp(&b.type_url));
    let sent = updates.each_ref().map(|update| {
        (
            update.type_url.as_str(),
            update.names.join(" "),
            update.removed.join(" "),
        )
    });
    assert_eq!(
        sent,
        [
            (CLUSTER, "late".to_owned(), String::new()),
            (ENDPOINTS, "app".to_owned(), String::new())
        ]
    );
    client.expect_silence();
}
