//! After a refusal a rollback brings every Envoy back to the good content, whatever part of the bad content it accepted, on the
//! open stream and on the next one.

use serde_json::Value;

use crate::{
    harness::{
        CLUSTER, Config, Control, ENDPOINTS, Envoy, GROUP, LISTENER, Mode, ROUTES, Release, Upstream, cluster,
        endpoints, eventually, expect, listener, routes,
    },
    ports::free_address,
    refusals::{static_cluster, two_routers},
};

for_every_envoy! {
    a_rollback_reaches_an_envoy_that_refused_a_listener_and_took_the_rest,
    a_rollback_reaches_an_envoy_that_refused_a_cluster_and_took_the_rest,
    a_rollback_reaches_an_envoy_whose_control_plane_was_restarted_meanwhile,
    a_rollback_reaches_an_envoy_that_was_away,
}

const KINDS: [&str; 4] = [CLUSTER, ENDPOINTS, LISTENER, ROUTES];

/// Good content and two upstreams: the bad revisions send the traffic to the other upstream.
struct Scene {
    source: Value,
    good: Config,
    blue: Upstream,
    green: Upstream,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        let source = mode.source();
        let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
        let good = Config::of([
            cluster("app", &source),
            endpoints("app", &[&blue]),
            listener("web", "all", &source),
            routes("all", "app"),
        ]);
        Self {
            source,
            good,
            blue,
            green,
        }
    }

    /// A listener that every Envoy refuses, together with endpoints and a cluster that Envoy accepts.
    fn with_bad_listener(&self) -> Config {
        self.good.with([
            endpoints("app", &[&self.green]),
            cluster("extra", &self.source),
            endpoints("extra", &[&self.blue]),
            two_routers("web", "all", &self.source),
        ])
    }

    /// A cluster that every Envoy refuses, together with endpoints that Envoy accepts.
    fn with_bad_cluster(&self) -> Config {
        self.good.with([
            endpoints("app", &[&self.green]),
            static_cluster("bad", &self.source),
            endpoints("bad", &[&self.green]),
        ])
    }
}

/// Publishes a refused resource, and waits until the Envoy has accepted the others.
#[track_caller]
fn break_it(control: &Control, envoy: &Envoy, bad: &Config) {
    let ran = control.replace(bad, &["--wait", "--timeout=30s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    envoy.expect_body("web", "green");
}

#[track_caller]
fn roll_back(control: &Control) {
    let ran = control.run(&["rollback", "-g", GROUP, "--to", "1", "--wait", "--timeout=30s"]);
    assert_eq!(ran.code, 0, "{ran:?}\n{}", control.run(&["status"]).stdout);
}

/// Asserts that the Envoy has the content of the first revision, and that the status says so.
#[track_caller]
fn expect_good(control: &Control, envoy: &Envoy) {
    eventually("everything is as it was", || {
        let ran = control.run(&["wait", "-g", GROUP, "--timeout=1s"]);
        expect((ran.code, ran.stderr.contains("the 1 connected node")), (0, true))?;
        for kind in KINDS {
            let row = control.type_status("node", kind)?;
            // An Envoy that reconnects in delta with all resources is sent nothing.
            let is_settled = matches!(row["state"].as_str(), Some("STATE_SYNCED" | "STATE_NOT_SENT"));
            expect(
                (kind, row["state"].as_str(), is_settled),
                (kind, row["state"].as_str(), true),
            )?;
        }
        Ok(())
    });
    envoy.expect_body("web", "blue");
    for left_over in ["extra", "bad"] {
        eventually("the resources of the bad revision are gone", || {
            expect(envoy.has_cluster(left_over), false)
        });
    }
    let dump = envoy.admin("/config_dump").body;
    assert!(!dump.contains("error_state"), "a listener is refused still: {dump}");
    let ran = control.run(&["history", "-g", GROUP, "-o", "json"]);
    let history: Value = serde_json::from_str(&ran.stdout).unwrap();
    let revisions = history["revisions"].as_array().unwrap();
    assert_eq!(revisions[0]["outcomes"]["acked"], 1, "{history:#}");
    let first = revisions.last().unwrap();
    assert_eq!(revisions[0]["content_hash"], first["content_hash"]);
}

fn refused_and_rolled_back(release: Release, mode: Mode, bad: fn(&Scene) -> Config) {
    let scene = Scene::new(mode);
    let control = Control::start();
    control.publish(&scene.good);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");
    let streams = control.streams("node");
    break_it(&control, &envoy, &bad(&scene));
    let ran = control.run(&["history", "-g", GROUP, "-o", "json"]);
    let history: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(history["revisions"][0]["outcomes"]["nacked"], 1, "{history:#}");

    roll_back(&control);
    expect_good(&control, &envoy);
    assert!(control.streams("node") <= streams + 1, "the stream is the same");
    traffic.expect_no_failure();
}

fn a_rollback_reaches_an_envoy_that_refused_a_listener_and_took_the_rest(release: Release, mode: Mode) {
    refused_and_rolled_back(release, mode, Scene::with_bad_listener);
}

fn a_rollback_reaches_an_envoy_that_refused_a_cluster_and_took_the_rest(release: Release, mode: Mode) {
    refused_and_rolled_back(release, mode, Scene::with_bad_cluster);
}

/// The new process does not know of the refusal: the Envoy refuses again, and the rollback still reaches it.
fn a_rollback_reaches_an_envoy_whose_control_plane_was_restarted_meanwhile(release: Release, mode: Mode) {
    let scene = Scene::new(mode);
    let data = tempfile::tempdir().unwrap();
    let mut control = Control::process(data.path(), free_address(), free_address());
    control.publish(&scene.good);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");
    break_it(&control, &envoy, &scene.with_bad_listener());

    control.restart(data.path());
    eventually("the Envoy is back, and refuses the listener again", || {
        let row = control.type_status("node", LISTENER)?;
        expect(row["state"].as_str(), Some("STATE_ERROR"))
    });
    roll_back(&control);
    expect_good(&control, &envoy);
    traffic.expect_no_failure();
}

/// The rollback is published while the Envoy is cut off; it reconnects to a control plane that serves the rollback.
fn a_rollback_reaches_an_envoy_that_was_away(release: Release, mode: Mode) {
    let scene = Scene::new(mode);
    let data = tempfile::tempdir().unwrap();
    let mut control = Control::process(data.path(), free_address(), free_address());
    control.publish(&scene.good);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");
    break_it(&control, &envoy, &scene.with_bad_listener());

    control.kill();
    {
        let elsewhere = Control::process(data.path(), free_address(), free_address());
        let ran = elsewhere.run(&["rollback", "-g", GROUP, "--to", "1"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    control.restart(data.path());
    expect_good(&control, &envoy);
    traffic.expect_no_failure();
}
