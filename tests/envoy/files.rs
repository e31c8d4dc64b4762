//! Files as source and as output: a directory that is edited in place, and Envoys that read rendered files.

use std::{
    fs::{self, File},
    io::{Seek as _, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, Envoy, GROUP, LB_ENDPOINT, LISTENER, Mode, ROUTES, Release, SCOPED_ROUTES,
    Upstream, VIRTUAL_HOST, ads, cluster, endpoint, endpoints, eventually, expect, http_listener, listener, router,
    routes, send, stays, wrapped,
};

for_both_releases! {
    the_files_of_the_tutorial_are_edited_in_place,
    however_a_file_is_edited_traffic_follows,
    an_envoy_on_rendered_files_follows_publishes_without_a_stream,
    resources_without_a_file_are_rendered_into_those_that_name_them,
    rendering_goes_on_when_the_control_plane_is_back,
}

/// Writes a file of one type, like those of the tutorial.
fn write(folder: &Path, name: &str, resources: &[Value]) {
    let text = Config::of(resources.iter().cloned()).to_string();
    fs::write(folder.join(name), text).unwrap();
}

/// The tutorial's listener, with its routes inside.
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

    // An invalid file changes nothing, and the status reports it.
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

/// Edits files in the ways of editors, shells and Kubernetes.
fn however_a_file_is_edited_traffic_follows(release: Release) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(GROUP);
    fs::create_dir(&folder).unwrap();
    let all = ["blue", "green", "red", "gray", "pink"].map(Upstream::named);
    let [blue, green, red, gray, pink] = &all;
    let text = |upstream: &Upstream| Config::of([endpoints("targetCluster", &[upstream])]).to_string();
    let eds = folder.join("eds.yaml");
    fs::write(&eds, text(blue)).unwrap();
    write(&folder, "cds.yaml", &[cluster("targetCluster", &ads())]);
    write(&folder, "lds.yaml", &[tutorial_listener("targetCluster")]);
    let control = Control::over_files(dir.path());
    let envoy = Envoy::start(release, "node", Mode::AdsSotw, &control);
    envoy.expect_body("listener_0", "blue");
    let traffic = envoy.traffic("listener_0");

    // vim: the old file becomes a backup, a new one takes its name.
    fs::rename(&eds, folder.join("eds.yaml~")).unwrap();
    fs::write(&eds, text(green)).unwrap();
    fs::remove_file(folder.join("eds.yaml~")).unwrap();
    envoy.expect_body("listener_0", "green");

    // sed -i: a file made aside takes the name.
    fs::write(folder.join("sedXYZ"), text(red)).unwrap();
    fs::rename(folder.join("sedXYZ"), &eds).unwrap();
    envoy.expect_body("listener_0", "red");

    // A shell's `>` by a slow writer: a file that lacks one listener would be well-formed as well.
    let (first, rest) = (text(gray), "\n");
    let mut file = File::create(&eds).unwrap();
    file.write_all(b"resources: []").unwrap();
    stays("a file that is being written is not read", &"red".to_owned(), || {
        envoy.get("listener_0").unwrap().body
    });
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    envoy.expect_body("listener_0", "gray");

    // Kubernetes: the files are links into a directory that is replaced.
    let version = |name: &str, text: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("eds.yaml"), text).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    version("..2026_1", &text(gray));
    fs::remove_file(&eds).unwrap();
    symlink("..data/eds.yaml", &eds).unwrap();
    version("..2026_2", &text(pink));
    fs::remove_dir_all(folder.join("..2026_1")).unwrap();
    envoy.expect_body("listener_0", "pink");
    traffic.expect_no_failure();
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

    // One publish: a new cluster, the route to it, and the removal of the old cluster.
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

    // If files cannot express a snapshot, the earlier files stay.
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

/// Scopes, virtual hosts and the endpoints of a collection: streams send them separately, files contain them inline.
fn resources_without_a_file_are_rendered_into_those_that_name_them(release: Release) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let collection = "xdstp:///envoy.config.endpoint.v3.LbEndpoint/blue";
    let mut member = endpoint(&blue);
    member["@type"] = json!(LB_ENDPOINT);
    let leds = json!({ "leds_config": ads(), "leds_collection_name": format!("{collection}/*") });
    let locality = json!({ "locality": { "zone": "a" }, "leds_cluster_locality_config": leds });
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    let scope = |tenant: &str, routes: &str| {
        json!({
            "@type": SCOPED_ROUTES, "name": tenant, "route_configuration_name": routes,
            "key": { "fragments": [{ "string_key": tenant }] },
        })
    };
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "green" } });
    let host = json!({ "@type": VIRTUAL_HOST, "name": "on-demand/all", "domains": ["*"], "routes": [all] });
    let config = Config::of([
        cluster("blue", &ads()),
        json!({ "@type": ENDPOINTS, "cluster_name": "blue", "endpoints": [locality] }),
        wrapped(&format!("{collection}/one"), &member),
        cluster("green", &ads()),
        endpoints("green", &[&green]),
        routes("to-blue", "blue"),
        json!({ "@type": ROUTES, "name": "on-demand", "vhds": { "config_source": ads() } }),
        wrapped("on-demand/all", &host),
        scope("acme", "to-blue"),
        scope("zeta", "on-demand"),
        http_listener("web", &json!({ "scoped_routes": scopes, "http_filters": [router()] })),
    ]);
    control.publish(&config);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().canonicalize().unwrap();
    let args = ["render", "-g", GROUP, "--out", out.to_str().unwrap()];
    let rendered = control.run(&args);
    assert_eq!(rendered.code, 0, "{rendered:?}");
    let envoy = Envoy::boot(release, "node", &bootstrap(&out));
    let expect_tenant = |tenant: &str, status: u16, body: &str| {
        eventually(&format!("{tenant} gets {status} {body}"), || {
            let reply = send(envoy.request("web", "/")?.header("x-tenant", tenant))?;
            expect((reply.status.as_u16(), reply.body.as_str()), (status, body))
        });
    };
    expect_tenant("acme", 200, "blue");
    expect_tenant("zeta", 200, "green");
    let mut moved = config.with([scope("late", "to-blue")]);
    moved.remove(SCOPED_ROUTES, "acme");
    control.publish(&moved);
    assert_eq!(control.run(&args).code, 0);
    expect_tenant("late", 200, "blue");
    expect_tenant("acme", 404, "");
    expect_tenant("zeta", 200, "green");
}

/// While the control plane is away the Envoy has its files, and can start from them.
fn rendering_goes_on_when_the_control_plane_is_back(release: Release) {
    let (data, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let free = "127.0.0.1:0".parse().unwrap();
    let mut control = Control::process(data.path(), free, free);
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let config = Config::of([
        cluster("app", &ads()),
        endpoints("app", &[&blue]),
        listener("web", "all", &ads()),
        routes("all", "app"),
    ]);
    control.publish(&config);
    let out = dir.path().canonicalize().unwrap();
    let args = ["render", "-g", GROUP, "--out", out.to_str().unwrap(), "--watch"];
    let watching = control
        .command(&args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _renderer = Renderer(watching.unwrap());
    eventually("the files are there", || expect(out.join("lds.yaml").exists(), true));
    control.kill();
    let envoy = Envoy::boot(release, "node", &bootstrap(&out));
    envoy.expect_body("web", "blue");
    control.restart(data.path());
    control.publish(&config.with([endpoints("app", &[&green])]));
    envoy.expect_body("web", "green");
}
