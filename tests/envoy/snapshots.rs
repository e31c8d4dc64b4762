//! Without a snapshot there is no response; an empty snapshot is sent as an empty response.

use crate::harness::{
    CLUSTER, Config, Control, Envoy, LISTENER, Mode, PROMPT, Release, Upstream, cluster, endpoints, eventually, expect,
    listener, routes, stays, within,
};

for_every_envoy! {
    a_node_without_a_snapshot_is_met_with_silence_until_there_is_one,
    an_empty_snapshot_is_delivered_as_empty,
    a_deleted_snapshot_removes_nothing,
    a_cluster_without_endpoints_holds_nothing_up,
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

fn a_node_without_a_snapshot_is_met_with_silence_until_there_is_one(release: Release, mode: Mode) {
    let control = Control::start();
    let blue = Upstream::named("blue");
    let envoy = Envoy::start(release, "node", mode, &control);
    eventually("the node is known", || control.type_status("node", CLUSTER));
    let silence = (false, 0, "STATE_NOT_SENT".to_owned());
    stays("a node without a snapshot is sent nothing", &silence, || {
        let row = control.type_status("node", CLUSTER).unwrap();
        let sent = row["sent_total"].as_u64().unwrap();
        (envoy.is_ready(), sent, row["state"].as_str().unwrap().to_owned())
    });
    control.deliver(&config(mode, &blue));
    envoy.expect_ready();
    envoy.expect_body("web", "blue");
}

fn an_empty_snapshot_is_delivered_as_empty(release: Release, mode: Mode) {
    let control = Control::start();
    let blue = Upstream::named("blue");
    control.publish(&Config::default());
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_ready();
    envoy.expect_stat("cluster_manager.cds.update_success", 1);
    envoy.expect_stat("listener_manager.lds.update_success", 1);
    for kind in [CLUSTER, LISTENER] {
        eventually("the empty response is ACKed", || {
            let row = control.type_status("node", kind)?;
            expect(
                (row["state"].as_str(), row["sent_total"].as_u64()),
                (Some("STATE_SYNCED"), Some(1)),
            )
        });
    }

    control.deliver(&config(mode, &blue));
    envoy.expect_body("web", "blue");

    control.deliver(&Config::default());
    eventually("everything is gone", || {
        expect(envoy.address("web").is_err(), true)?;
        expect(envoy.stat("listener_manager.total_listeners_active"), Some(0))?;
        expect(envoy.has_cluster("app"), false)
    });
}

fn a_deleted_snapshot_removes_nothing(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(mode, &blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let ran = control.run(&["delete-snapshot", "-g", "demo", "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    stays("the published configuration still works", &"blue".to_owned(), || {
        envoy.get("web").unwrap().body
    });
    control.deliver(&config(mode, &green));
    envoy.expect_body("web", "green");
}

fn a_cluster_without_endpoints_holds_nothing_up(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let lonely = config(mode, &blue).with([cluster("lonely", &mode.source())]);
    control.publish(&lonely);
    let envoy = Envoy::start(release, "node", mode, &control);
    within(PROMPT, "the Envoy is ready", || expect(envoy.is_ready(), true));
    envoy.expect_body("web", "blue");

    // Later changes of clusters are not delayed either.
    let late = lonely.with([
        cluster("late", &mode.source()),
        endpoints("late", &[&green]),
        routes("all", "late"),
    ]);
    control.publish(&late);
    within(PROMPT, "traffic moves to the late cluster", || {
        expect(envoy.get("web")?.body.as_str(), "green")
    });

    control.deliver(&late.with([endpoints("lonely", &[&blue]), routes("all", "lonely")]));
    envoy.expect_body("web", "blue");
}
