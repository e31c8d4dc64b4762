//! Resources that an Envoy refuses: traffic is unchanged, the refused resource is sent once, and the refusal is reported.

use serde_json::{Value, json};

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, Envoy, LISTENER, Mode, ROUTES, Release, Upstream, cluster, endpoints,
    eventually, expect, http_listener, listener, router, routes, stays,
};

for_every_envoy! {
    a_refused_configuration_is_sent_once_and_told,
    what_is_good_beside_something_refused_is_delivered,
}

for_every_envoy_on_ads! {
    changes_that_need_a_refused_resource_are_held_back,
    removals_that_depend_on_a_refused_change_are_held_back,
}

/// A resource that passes every check except Envoy's own.
struct Bad {
    kind: &'static str,
    /// The short name of the type.
    short: &'static str,
    resource: Value,
    /// A part of Envoy's message.
    words: &'static str,
    /// Envoy's counter of refusals.
    counter: &'static str,
}

fn bad(source: &Value) -> [Bad; 3] {
    let mut unknown = routes("all", "nowhere");
    unknown["validate_clusters"] = json!(true);
    [
        Bad {
            kind: CLUSTER,
            short: "cluster",
            resource: static_cluster("app", source),
            words: "eds_cluster_config set in a non-EDS cluster",
            counter: "cluster_manager.cds.update_rejected",
        },
        Bad {
            kind: LISTENER,
            short: "listener",
            resource: two_routers("web", "all", source),
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
        expect_reported(&control, &bad);
        let sent = control.sent_total("node", bad.kind);
        let once = (sent, Some(1), "blue".to_owned());
        stays("a refused response is not sent again", &once, || {
            let body = envoy.get("web").unwrap().body;
            (control.sent_total("node", bad.kind), envoy.stat(bad.counter), body)
        });

        // An unrelated change is delivered, and the refused resource is not sent with it.
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

/// A good cluster is sent with a refused one: Envoy accepts the good one, and the refusal is still reported (S-8).
fn what_is_good_beside_something_refused_is_delivered(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let mut config = Config::of([
        cluster("app", &source),
        endpoints("app", &[&blue]),
        cluster("gone", &source),
        endpoints("gone", &[&blue]),
        listener("web", "all", &source),
        routes("all", "app"),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");

    config.remove(CLUSTER, "gone");
    config.remove(ENDPOINTS, "gone");
    config.set(static_cluster("bad", &source));
    config.set(cluster("good", &source));
    config.set(endpoints("good", &[&green]));
    let ran = control.replace(&config, &["--wait", "--timeout=10s"]);
    assert_eq!(ran.code, 1, "{ran:?}\n{}", control.run(&["status"]).stdout);
    eventually("the good cluster is there", || expect(envoy.has_cluster("good"), true));
    envoy.expect_body("web", "blue");

    config.set(cluster("bad", &source));
    config.set(routes("all", "good"));
    control.deliver(&config);
    envoy.expect_body("web", "green");
    eventually("the removed cluster is gone", || {
        expect(envoy.has_cluster("gone"), false)
    });
}

/// A route moves to a cluster that is refused: the route stays unchanged (O-4).
fn changes_that_need_a_refused_resource_are_held_back(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    let first = Config::of([
        cluster("app", &source),
        endpoints("app", &[&blue]),
        listener("web", "all", &source),
        routes("all", "app"),
    ]);
    control.publish(&first);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    let mut second = Config::of([
        static_cluster("next", &source),
        endpoints("next", &[&green]),
        listener("web", "all", &source),
        routes("all", "next"),
    ]);
    let ran = control.replace(&second, &["--wait", "--timeout=30s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    stays("traffic stays", &"blue".to_owned(), || envoy.get("web").unwrap().body);

    second.set(cluster("next", &source));
    control.deliver(&second);
    envoy.expect_body("web", "green");
    eventually("the old cluster is gone", || expect(envoy.has_cluster("app"), false));
    traffic.expect_no_failure();
}

/// A listener is refused in a publish that also removes a cluster: the cluster stays until its removal is safe.
fn removals_that_depend_on_a_refused_change_are_held_back(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let source = mode.source();
    control.publish(&Config::of([
        cluster("app", &source),
        endpoints("app", &[&blue]),
        listener("web", "old", &source),
        routes("old", "app"),
    ]));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    let mut next = Config::of([
        cluster("next", &source),
        endpoints("next", &[&green]),
        two_routers("web", "new", &source),
        routes("new", "next"),
    ]);
    let ran = control.replace(&next, &["--wait", "--timeout=30s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    stays("traffic stays, and its cluster", &(true, "blue".to_owned()), || {
        (envoy.has_cluster("app"), envoy.get("web").unwrap().body)
    });

    next.set(listener("web", "new", &source));
    control.deliver(&next);
    envoy.expect_body("web", "green");
    eventually("the old cluster is gone", || expect(envoy.has_cluster("app"), false));
    traffic.expect_no_failure();
}

/// A cluster with both inline endpoints and discovery of endpoints. (Other refusals would not do: if Envoy refuses a ring with
/// impossible sizes, it keeps the cluster as warming, and answers no more responses of clusters.)
pub(crate) fn static_cluster(name: &str, source: &Value) -> Value {
    let mut both = cluster(name, source);
    both["type"] = json!("STATIC");
    both
}

/// A listener with two routers in its chain of filters.
pub(crate) fn two_routers(name: &str, routes: &str, source: &Value) -> Value {
    let manager = json!({
        "rds": { "route_config_name": routes, "config_source": source },
        "http_filters": [router(), router()],
    });
    http_listener(name, &manager)
}

fn state(control: &Control, kind: &str) -> Result<String, String> {
    let row = control.type_status("node", kind)?;
    Ok(row["state"].as_str().expect("a state").to_owned())
}

/// `status` reports node, type, version, time and Envoy's message, as text and as JSON.
fn expect_reported(control: &Control, bad: &Bad) {
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
    let notes: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
    let note = notes.join("\n");
    for part in [version.as_str(), &time[..19], bad.words] {
        assert!(note.contains(part), "{part}: {}", table.stdout);
    }
}
