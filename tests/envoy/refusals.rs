//! What an Envoy refuses: the traffic stays where it was, the refusal is sent once, and everybody hears of it.

use serde_json::{Value, json};

use crate::harness::{
    CLUSTER, Config, Control, Envoy, LISTENER, Mode, ROUTES, Release, Upstream, cluster, endpoints, eventually, expect,
    http_listener, listener, router, routes, stays,
};

for_every_envoy! {
    a_refused_configuration_is_sent_once_and_told,
}

/// Something that passes every check but Envoy's own.
struct Bad {
    kind: &'static str,
    /// What people call the type.
    short: &'static str,
    resource: Value,
    /// Envoy's words for it.
    words: &'static str,
    /// Envoy's counter of refusals.
    counter: &'static str,
}

fn bad(source: &Value) -> [Bad; 3] {
    let mut ring = cluster("app", source);
    ring["lb_policy"] = json!("RING_HASH");
    ring["ring_hash_lb_config"] = json!({ "minimum_ring_size": 2048, "maximum_ring_size": 1024 });
    let routers = json!({
        "rds": { "route_config_name": "all", "config_source": source },
        "http_filters": [router(), router()],
    });
    let mut unknown = routes("all", "nowhere");
    unknown["validate_clusters"] = json!(true);
    [
        Bad {
            kind: CLUSTER,
            short: "cluster",
            resource: ring,
            words: "minimum_ring_size",
            counter: "cluster_manager.cds.update_rejected",
        },
        Bad {
            kind: LISTENER,
            short: "listener",
            resource: http_listener("web", &routers),
            words: "terminal filter",
            counter: "listener_manager.lds.update_rejected",
        },
        Bad {
            kind: ROUTES,
            short: "route",
            resource: unknown,
            words: "unknown cluster 'nowhere'",
            counter: "http.web.rds.all.update_rejected",
        },
    ]
}

fn a_refused_configuration_is_sent_once_and_told(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let good = Config::of([
        cluster("app", &source),
        endpoints("app", &[&blue]),
        listener("web", "all", &source),
        routes("all", "app"),
    ]);
    control.publish(&good);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");
    for bad in bad(&source) {
        let refused = good.with([bad.resource.clone()]);
        let ran = control.replace(&refused, &["--wait", "--timeout=30s"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(bad.words), "{ran:?}");
        expect_told(&control, &bad);
        let sent = control.sent_total("node", bad.kind);
        let once = (sent, Some(1), "blue".to_owned());
        stays("a refused response is not sent again", &once, || {
            let body = envoy.get("web").unwrap().body;
            (control.sent_total("node", bad.kind), envoy.stat(bad.counter), body)
        });

        // Something unrelated gets through, and does not bring it back.
        control.publish(&refused.with([endpoints("app", &[&green])]));
        envoy.expect_body("web", "green");
        let once = (sent, Some(1), "green".to_owned());
        stays("an unrelated publish does not send it again", &once, || {
            let body = envoy.get("web").unwrap().body;
            (control.sent_total("node", bad.kind), envoy.stat(bad.counter), body)
        });

        control.deliver(&good);
        envoy.expect_body("web", "blue");
        eventually("the refusal is over", || {
            expect(state(&control, bad.kind)?.as_str(), "STATE_SYNCED")
        });
        envoy.expect_stat(bad.counter, 1);
    }
    traffic.expect_no_failure();
}

fn state(control: &Control, kind: &str) -> Result<String, String> {
    let row = control.type_status("node", kind)?;
    Ok(row["state"].as_str().expect("a state").to_owned())
}

/// `status` names node, type, version, time and Envoy's words, for people and for programs.
fn expect_told(control: &Control, bad: &Bad) {
    let row = control.type_status("node", bad.kind).unwrap();
    assert_eq!(row["state"], "STATE_ERROR", "{row}");
    let nack = &row["nack"];
    let text = |field: &str| nack[field].as_str().unwrap_or_default().to_owned();
    let (version, time) = (text("version"), text("time"));
    assert!(text("message").contains(bad.words), "{row}");
    assert!(!version.is_empty() && time.starts_with("20"), "{row}");

    let table = control.run(&["status"]);
    assert_eq!(table.code, 0, "{table:?}");
    let mut lines = table.stdout.lines();
    let line = lines.find(|line| line.contains(bad.short)).expect("a row of the type");
    assert!(line.starts_with("node ") && line.contains("ERROR"), "{}", table.stdout);
    let note = lines.next().expect("a note below the row");
    for part in [version.as_str(), &time[..19], bad.words] {
        assert!(note.contains(part), "{part}: {}", table.stdout);
    }
}
