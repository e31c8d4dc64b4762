//! Files in and files out: a directory that is edited in place, and Envoys that read what is rendered.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, Envoy, GROUP, LISTENER, Mode, ROUTES, Release, Upstream, ads, cluster,
    endpoints, eventually, expect, http_listener, listener, router, routes, stays,
};

for_both_releases! {
    the_files_of_the_tutorial_are_edited_in_place,
    an_envoy_on_rendered_files_follows_publishes_without_a_stream,
}

/// A file of one type, as the tutorial has it.
fn write(folder: &Path, name: &str, resources: &[Value]) {
    let text = Config::of(resources.iter().cloned()).to_string();
    fs::write(folder.join(name), text).unwrap();
}

/// The tutorial's listener: its routes are inside of it.
fn tutorial_listener(cluster: &str) -> Value {
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
    let route = json!({ "name": "local", "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [all] }] });
    http_listener(
        "listener_0",
        &json!({ "route_config": route, "http_filters": [router()] }),
    )
}

fn the_files_of_the_tutorial_are_edited_in_place(release: Release) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(GROUP);
    fs::create_dir(&folder).unwrap();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    write(&folder, "eds.yaml", &[endpoints("targetCluster", &[&blue])]);
    write(&folder, "cds.yaml", &[cluster("targetCluster", &ads())]);
    write(&folder, "lds.yaml", &[tutorial_listener("targetCluster")]);
    let control = Control::over_files(dir.path());
    let envoy = Envoy::start(release, "node", Mode::AdsSotw, &control);
    envoy.expect_body("listener_0", "blue");
    let traffic = envoy.traffic("listener_0");

    write(&folder, "eds.yaml", &[endpoints("targetCluster", &[&green])]);
    envoy.expect_body("listener_0", "green");

    // A file that turns bad changes nothing, and the status says so.
    fs::write(
        folder.join("cds.yaml"),
        "resources:\n- {\"@type\": type.googleapis.com/no.Such}\n",
    )
    .unwrap();
    eventually("the refusal shows in the status", || {
        let shown = control.run(&["status"]).stdout;
        expect(shown.contains("REFUSED") && shown.contains("cds.yaml:2:"), true).map_err(|_| shown)
    });
    stays("the last good is served", &"green".to_owned(), || {
        envoy.get("listener_0").unwrap().body
    });

    let both = [cluster("targetCluster", &ads()), cluster("otherCluster", &ads())];
    write(
        &folder,
        "eds.yaml",
        &[
            endpoints("targetCluster", &[&green]),
            endpoints("otherCluster", &[&blue]),
        ],
    );
    write(&folder, "cds.yaml", &both);
    eventually("the folder is good again", || {
        let sources = control.run(&["status", "--sources", "-o", "json"]).stdout;
        let sources: Value = serde_json::from_str(&sources).map_err(|error| error.to_string())?;
        expect(sources[0]["state"].as_str(), Some("STATE_PUBLISHED"))
    });
    traffic.expect_no_failure();
    write(&folder, "lds.yaml", &[tutorial_listener("otherCluster")]);
    envoy.expect_body("listener_0", "blue");

    let refused = control.replace(&Config::default(), &[]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("published by files"), "{refused:?}");
    fs::remove_dir_all(&folder).unwrap();
    eventually("the folder is missed", || {
        let shown = control.run(&["status"]).stdout;
        expect(shown.contains("HELD"), true).map_err(|_| shown)
    });
    envoy.expect_body("listener_0", "blue");
}

/// `chancery render --watch`, until it is dropped.
struct Renderer(Child);

impl Drop for Renderer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn bootstrap(out: &Path) -> Value {
    let file = |name: &str| {
        let path = out.join(name).display().to_string();
        json!({ "path_config_source": { "path": path }, "resource_api_version": "V3" })
    };
    json!({
        "node": { "id": "node", "cluster": GROUP },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "dynamic_resources": { "cds_config": file("cds.yaml"), "lds_config": file("lds.yaml") },
    })
}

fn an_envoy_on_rendered_files_follows_publishes_without_a_stream(release: Release) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let config = Config::of([
        cluster("app", &ads()),
        endpoints("app", &[&blue]),
        listener("web", "all", &ads()),
        routes("all", "app"),
    ]);
    control.publish(&config);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().canonicalize().unwrap();
    let args = ["render", "-g", GROUP, "--out", out.to_str().unwrap()];
    let once = control.run(&args);
    assert_eq!(once.code, 0, "{once:?}");
    assert!(once.stdout.contains("4 files written"), "{once:?}");
    let again = control.run(&args);
    assert!(again.stdout.contains("0 files written"), "{again:?}");

    let envoy = Envoy::boot(release, "node", &bootstrap(&out));
    envoy.expect_body("web", "blue");
    let watching = control
        .command(&[&args[..], &["--watch"]].concat())
        .stdout(Stdio::null())
        .spawn();
    let _renderer = Renderer(watching.unwrap());
    let traffic = envoy.traffic("web");
    control.publish(&config.with([endpoints("app", &[&green])]));
    envoy.expect_body("web", "green");

    // A cluster more, the route to it, and the old cluster gone: one publish.
    let mut moved = config.with([
        cluster("late", &ads()),
        endpoints("late", &[&blue]),
        routes("all", "late"),
    ]);
    moved.remove(CLUSTER, "app");
    moved.remove(ENDPOINTS, "app");
    control.publish(&moved);
    envoy.expect_body("web", "blue");
    eventually("the old cluster is gone", || expect(envoy.has_cluster("app"), false));
    eventually("its file is gone", || expect(out.join("eds/app.yaml").exists(), false));
    traffic.expect_no_failure();

    // What files cannot say leaves what is there.
    let mut broken = moved.clone();
    broken.remove(ROUTES, "all");
    control.publish(&broken);
    let refused = control.run(&args);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.stderr.contains("listener \"web\": it needs route \"all\""),
        "{refused:?}"
    );
    envoy.expect_body("web", "blue");
    let mut without = broken;
    without.remove(LISTENER, "web");
    control.publish(&without);
    eventually("the listener is gone", || expect(envoy.address("web").is_err(), true));
}
