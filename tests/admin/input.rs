//! Bad input: a clear error, exit code 3, and an unchanged snapshot.

use chancery::settings::{Layer, RulesMode};
use prost::Message as _;
use prost_types::Any;

use crate::harness::{CLUSTER, Ran, Server, chancery, clusters};

/// A server with a published snapshot, and that snapshot.
fn serving() -> (Server, String) {
    let server = Server::start();
    let good = server.file("good.yaml", clusters(&["good"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &good]);
    let served = server.expect(0, &["get", "-g", "demo", "-o", "json"]).stdout;
    (server, served)
}

/// Publishes the file by each command; all refuse it alike, and the snapshot stays.
#[track_caller]
fn refused(server: &Server, served: &str, path: &str) -> Ran {
    let mut last = None;
    for command in ["replace", "apply"] {
        let ran = server.expect(3, &[command, "-g", "demo", "-f", path]);
        assert!(ran.stderr.contains("error: ") && ran.stdout.is_empty(), "{ran:?}");
        last = Some(ran);
    }
    server.expect(3, &["validate", "-f", path]);
    assert_eq!(server.expect(0, &["get", "-g", "demo", "-o", "json"]).stdout, served);
    last.unwrap()
}

fn nested_any(levels: usize) -> String {
    let open = "{\"@type\":\"type.googleapis.com/google.protobuf.Any\",\"value\":".repeat(levels);
    format!("{{\"resources\":[{open}{{}}{}]}}", "}".repeat(levels))
}

fn nested_binary(levels: usize) -> Vec<u8> {
    let mut any = Any {
        type_url: CLUSTER.to_owned(),
        value: Vec::new(),
    };
    for _ in 0..levels {
        let value = any.encode_to_vec();
        any = Any {
            type_url: "type.googleapis.com/google.protobuf.Any".to_owned(),
            value,
        };
    }
    chancery::proto::discovery::DiscoveryResponse {
        resources: vec![any],
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn malformed_files_are_refused_with_their_place() {
    let (server, served) = serving();
    let unknown = format!("resources:\n- \"@type\": {CLUSTER}\n  name: a\n  connect_timeoutt: 1s\n");
    for (name, content, said) in [
        ("malformed.yaml", "resources: [\n".to_owned(), "malformed.yaml:"),
        ("unknown.yaml", unknown, "unknown.yaml:4:3: error["),
        ("twice.yaml", clusters(&["a", "a"]), "twice.yaml:3:"),
        ("empty.yaml", String::new(), "empty.yaml"),
        ("comment.yaml", "# nothing\n".to_owned(), "comment.yaml"),
        ("keyless.yaml", "clusters: []\n".to_owned(), "keyless.yaml:1:1"),
        ("nested.json", nested_any(10_000), "nested.json"),
        ("nested.yaml", nested_any(10_000), "nested.yaml"),
        ("broken.json", "{\"resources\": [}".to_owned(), "broken.json:1:"),
        (
            "type.yaml",
            "resources:\n- {\"@type\": type.googleapis.com/no.Such, name: a}\n".to_owned(),
            "type.yaml:2:",
        ),
    ] {
        let path = server.file(name, content);
        let ran = refused(&server, &served, &path);
        assert!(ran.stderr.contains(said), "{name}: {ran:?}");
        assert!(
            ran.stderr.len() < 20_000,
            "{name}: {} bytes of errors",
            ran.stderr.len()
        );
    }
    for (name, content) in [("nested.pb", nested_binary(10_000)), ("noise.binpb", vec![0xff; 100])] {
        let path = server.file(name, content);
        let ran = refused(&server, &served, &path);
        assert!(ran.stderr.contains(name), "{ran:?}");
    }
    assert!(server.shutdown(), "the server is alive and ends well");
}

#[test]
fn one_bad_file_among_ten_refuses_the_directory() {
    let (server, served) = serving();
    for index in 0..9 {
        server.file(&format!("dir/{index}.yaml"), clusters(&[&format!("c{index}")]));
    }
    server.file(
        "dir/9.json",
        "{\"resources\": [{\"@type\": \"type.googleapis.com/envoy.config.cluster.v3.Cluster\"}]}",
    );
    server.file("dir/.hidden.yaml", "not: read");
    server.file("dir/notes.txt", "not read");
    server.file("dir/below/deep.yaml", "not: read");
    let dir = server.dir.path().join("dir");
    let ran = refused(&server, &served, dir.to_str().unwrap());
    assert!(ran.stderr.contains("dir/9.json:1:"), "{ran:?}");
    assert!(
        !ran.stderr.contains("hidden") && !ran.stderr.contains("deep"),
        "{ran:?}"
    );

    std::fs::remove_file(dir.join("9.json")).unwrap();
    let ran = server.expect(0, &["replace", "-g", "demo", "-f", dir.to_str().unwrap()]);
    assert!(ran.stdout.contains("9 added"), "{ran:?}");
}

#[test]
fn an_empty_directory_is_an_error() {
    let (server, served) = serving();
    let dir = server.dir.path().join("nothing");
    std::fs::create_dir(&dir).unwrap();
    refused(&server, &served, dir.to_str().unwrap());
}

#[test]
fn an_empty_list_is_a_valid_snapshot() {
    let (server, _) = serving();
    let ran = server.run_with(
        &["replace", "-g", "demo", "-f", "-", "--allow-removals"],
        b"resources: []",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 removed"), "{ran:?}");
}

#[test]
fn many_findings_reach_the_terminal_in_bounded_size() {
    let (server, served) = serving();
    let item = format!("- \"@type\": {CLUSTER}\n  name: a\n  nope: 1\n");
    let path = server.file("many.yaml", format!("resources:\n{}", item.repeat(500)));
    let ran = refused(&server, &served, &path);
    assert!(ran.stderr.lines().count() > 3, "{ran:?}");
    assert!(
        ran.stderr.contains("more that are not shown; nothing was published"),
        "{ran:?}"
    );
}

#[test]
fn validate_needs_no_server_and_shows_every_finding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("route.yaml");
    std::fs::write(&path, clusters(&["a"])).unwrap();
    let run = |args: &[&str]| Ran::from(chancery(args).args(["-f", path.to_str().unwrap()]).output().unwrap());
    let good = run(&["validate"]);
    assert_eq!(
        (good.code, good.stdout.as_str()),
        (0, "ok: 1 resource, 0 warnings\n"),
        "{good:?}"
    );
    let item = format!("- \"@type\": {CLUSTER}\n  name: a\n  nope: 1\n");
    std::fs::write(&path, format!("resources:\n{}", item.repeat(50))).unwrap();
    let bad = run(&["validate", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((bad.code, &told["valid"]), (3, &serde_json::Value::Bool(false)));
    assert!(told["findings"].as_array().unwrap().len() >= 50);
}

#[test]
fn findings_are_printed_as_sarif_by_validate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("route.yaml");
    let host = |name: &str| format!("  - {{name: {name}, domains: [a.example]}}\n");
    let routes = "resources:\n- \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  name: r\n  virtual_hosts:\n";
    std::fs::write(&path, format!("{routes}{}{}", host("v"), host("w"))).unwrap();
    let path = path.to_str().unwrap();
    let ran = Ran::from(chancery(&["validate", "-o", "sarif", "-f", path]).output().unwrap());
    assert_eq!(ran.code, 3, "{ran:?}");
    let log: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let result = &log["runs"][0]["results"][0];
    assert_eq!(
        (&log["version"], &result["ruleId"], &result["level"]),
        (&"2.1.0".into(), &"XDS0302".into(), &"error".into())
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], format!("file://{path}"));
    assert_eq!(place["region"], serde_json::json!({"startLine": 6, "startColumn": 25}));

    let ran = Ran::from(chancery(&["get", "-o", "sarif"]).output().unwrap());
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn broken_rules_refuse_a_publish_or_are_warnings_as_the_setting_says() {
    let content = format!("resources:\n- \"@type\": {CLUSTER}\n  name: a\n  connect_timeout: 0s\n");
    let (server, served) = serving();
    let path = server.file("rules.yaml", &content);
    let ran = refused(&server, &served, &path);
    assert!(ran.stderr.contains("rules.yaml:4:20: error[XDS0205]"), "{ran:?}");
    server.expect(0, &["validate", "--rules", "warn", "-f", &path]);

    let mut layer = Layer::default();
    layer.admission.rules = Some(RulesMode::Warn);
    let lenient = Server::with(layer);
    let path = lenient.file("rules.yaml", &content);
    for message in ["once", "again"] {
        let ran = lenient.expect(0, &["replace", "-g", "demo", "-f", &path, "-m", message]);
        assert!(ran.stderr.contains("rules.yaml:4:20: warning[XDS0205]"), "{ran:?}");
    }
}
