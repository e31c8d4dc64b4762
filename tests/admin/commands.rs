//! Every command, its output and its exit codes.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::harness::{Server, chancery, clusters, envoy_binary};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn publishing_commands_do_what_they_say() {
    let server = Server::start();
    let two = server.file("two.yaml", clusters(&["a", "b"]));
    let three = server.file("three.yaml", clusters(&["c"]));

    let dry = server.expect(0, &["replace", "-g", "demo", "-f", &two, "--dry-run"]);
    assert!(
        dry.stdout.contains("2 added") && dry.stdout.contains("dry run"),
        "{dry:?}"
    );
    server.expect(4, &["get", "-g", "demo"]);

    let replaced = server.expect(
        0,
        &["replace", "-g", "demo", "-f", &two, "-m", "why", "--author", "who"],
    );
    assert_eq!(
        replaced.stdout,
        "demo: published revision 1: 2 added, 0 changed, 0 removed\n  + cluster a\n  + cluster b\n"
    );
    let again = server.expect(0, &["replace", "-g", "demo", "-f", &two]);
    assert_eq!(again.stdout, "demo: nothing changed, still revision 1\n");
    server.expect(0, &["apply", "-g", "demo", "-f", &three, "-o", "json"]);
    server.expect(0, &["delete", "-g", "demo", "cds", "a"]);
    let listed = server.expect(0, &["get", "-g", "demo", "-o", "json"]);
    let listed = json(&listed.stdout);
    let names: Vec<&str> = listed["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!((names, listed["revision"].as_u64()), (vec!["b", "c"], Some(3)));

    let history = server.expect(0, &["history", "-g", "demo"]).stdout;
    let first = history.lines().last().unwrap();
    assert!(
        first.starts_with("1 ") && first.contains("who") && first.contains("why"),
        "{history}"
    );
    server.expect(0, &["rollback", "-g", "demo", "--to", "1"]);
    let table = server.expect(0, &["get", "-g", "demo", "cluster"]).stdout;
    assert!(
        table.contains("\ncluster  a ") && !table.contains("cluster  c"),
        "{table}"
    );

    server.expect(0, &["delete-snapshot", "-g", "demo", "--yes"]);
    server.expect(4, &["get", "-g", "demo"]);
    assert!(server.expect(0, &["history", "-g", "demo"]).stdout.contains("deleted"));
}

#[test]
fn exit_codes_tell_failures_apart() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    for (code, args) in [
        (2, vec!["replace", "-g", "demo"]),
        (2, vec!["replace", "-g", "demo", "-f", "missing.yaml"]),
        (2, vec!["replace", "-g", "demo", "-f", "-", "-f", "-"]),
        (2, vec!["delete-snapshot", "-g", "demo"]),
        (2, vec!["delete", "-g", "demo", "nonsense", "a"]),
        (2, vec!["status", "--admin", "ftp://x"]),
        (3, vec!["replace", "-g", "", "-f", &file]),
        (4, vec!["delete", "-g", "demo", "cluster", "missing"]),
        (4, vec!["get", "-g", "nobody"]),
        (4, vec!["get", "-g", "demo", "cluster", "missing"]),
        (4, vec!["history", "-g", "nobody"]),
        (4, vec!["rollback", "-g", "demo", "--to", "99"]),
        (4, vec!["delete-snapshot", "-g", "nobody", "--yes"]),
        (4, vec!["status", "nobody"]),
        (4, vec!["wait", "-g", "nobody"]),
        (
            5,
            vec!["replace", "-g", "demo", "-f", &file, "--expected-revision", "7"],
        ),
        (6, vec!["get", "--admin", "http://127.0.0.1:1"]),
        (0, vec!["--version"]),
        (0, vec!["replace", "--help"]),
    ] {
        let ran = server.expect(code, &args);
        let explained = ran.stderr.contains("error: ");
        assert_eq!(explained, code != 0, "{args:?}: {ran:?}");
    }
    let missing = server.expect(2, &["replace", "-g", "demo", "-f", "missing.yaml"]);
    assert!(missing.stderr.contains("missing.yaml: "), "{missing:?}");
    let conflict = server.expect(5, &["apply", "-g", "demo", "-f", &file, "--expected-revision", "7"]);
    assert!(
        conflict.stderr.contains("expected revision 7, the group is at 1"),
        "{conflict:?}"
    );
    let refused = server.expect(6, &["get", "--admin", "http://127.0.0.1:1"]);
    for part in ["http://127.0.0.1:1", "--admin", "CHANCERY_ADMIN", "refused"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
}

#[test]
fn diff_exits_1_on_a_difference() {
    let server = Server::start();
    let (a, b) = (
        server.file("a.yaml", clusters(&["a"])),
        server.file("b.yaml", clusters(&["a", "b"])),
    );
    server.expect(0, &["replace", "-g", "demo", "-f", &a]);
    server.expect(0, &["diff", "-g", "demo", "-f", &a]);
    assert_eq!(
        server.expect(1, &["diff", "-g", "demo", "-f", &b]).stdout,
        "  + cluster b\nno node of group demo is connected: nobody receives it now\n"
    );
    server.expect(0, &["replace", "-g", "demo", "-f", &b]);
    let diff = server.expect(1, &["diff", "-g", "demo", "--from", "2", "--to", "1", "-o", "json"]);
    assert_eq!(json(&diff.stdout)["changes"][0]["removed"][0], "b");
    server.expect(4, &["diff", "-g", "demo", "--to", "9"]);
    server.expect(2, &["diff", "-g", "demo"]);
}

#[test]
fn what_get_prints_as_yaml_can_be_published_again() {
    let server = Server::start();
    let file = server.file(
        "all.yaml",
        r#"
resources:
- {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: "no", connect_timeout: 0.25s}
- {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: "1e3", alt_stat_name: "a: b #c", connect_timeout: 1s}
- "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
  name: local/vhost
  resource: {"@type": type.googleapis.com/envoy.config.route.v3.VirtualHost, name: vhost, domains: ["*"]}
- "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
  name: aliased
  aliases: [other]
  ttl: 1.5s
  resource: {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: aliased}
"#,
    );
    server.expect(0, &["replace", "-g", "one", "-f", &file]);
    let printed = server
        .expect(0, &["get", "-g", "one", "-o", "yaml", "--show-secrets"])
        .stdout;
    let ran = server.run_with(&["diff", "-g", "one", "-f", "-"], printed.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{printed}\n{ran:?}");
}

#[test]
fn secrets_are_shown_only_when_asked_for() {
    let server = Server::start();
    let file = server.file(
        "secret.yaml",
        r#"
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: s
  generic_secret: {secret: {inline_string: canary-value}}
"#,
    );
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    for output in ["table", "json", "yaml"] {
        let hidden = server.expect(0, &["get", "-g", "demo", "-o", output]);
        assert!(!hidden.stdout.contains("canary"), "{hidden:?}");
    }
    let shown = server.expect(0, &["get", "-g", "demo", "-o", "json", "--show-secrets"]);
    assert!(shown.stdout.contains("canary-value"), "{shown:?}");
}

#[test]
fn status_shows_what_a_node_has_in_its_own_words() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    let mut envoy = server.envoy("envoy-1");
    server.runtime.block_on(async {
        let response = envoy.next().await;
        envoy.nack(&response, "no \u{1b}[31mway\nat all").await;
    });
    // The node refuses the revision, which ends the wait.
    server.expect(1, &["wait", "-g", "demo"]);
    let table = server.expect(0, &["status"]).stdout;
    assert!(
        table.contains("envoy-1  demo   yes (1 stream)  cluster  ERROR"),
        "{table}"
    );
    assert!(table.contains("no \\u{1b}[31mway\\nat all"), "{table}");
    assert!(server.expect(0, &["status", "-g", "other"]).stdout.lines().count() == 1);
    let node = json(&server.expect(0, &["status", "envoy-1", "-o", "json"]).stdout);
    assert_eq!(node["types"][0]["state"], "STATE_ERROR");
    assert_eq!(node["types"][0]["nack"]["code"], 13);
    assert_eq!(node["streams"][0]["protocol"], "PROTOCOL_SOTW");
}

#[test]
fn watch_prints_publishes_and_nodes_as_they_happen() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    let mut child = server
        .command(&["watch", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| json(&line.unwrap()));
    let next = |lines: &mut dyn Iterator<Item = Value>| lines.next().expect("an event");
    assert_eq!(next(&mut lines)["snapshot"]["revision"], 1);
    server.expect(0, &["delete-snapshot", "-g", "demo", "--yes"]);
    assert_eq!(next(&mut lines)["snapshot_deleted"], "demo");
    let _envoy = server.envoy("envoy-1");
    assert_eq!(next(&mut lines)["node"]["id"], "envoy-1");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = Server::start();
    let mut child = server
        .command(&["history", "--help"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut child = server
        .command(&["get", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn envoy_accepts_every_bootstrap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bootstrap.yaml");
    for args in [
        vec!["--node-id", "n", "--node-cluster", "c", "--metadata", "tier=edge"],
        vec!["--delta", "--xds-addr", "localhost:18000", "--admin-port", "0"],
        vec!["--no-ads", "--delta", "--admin-addr", "[::1]:0"],
        vec!["--no-ads", "-o", "json"],
    ] {
        let printed = chancery(&["bootstrap"]).args(&args).output().unwrap();
        assert!(printed.status.success(), "{args:?}");
        std::fs::write(&path, printed.stdout).unwrap();
        let checked = std::process::Command::new(envoy_binary())
            .args(["--mode", "validate", "-c"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            checked.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}
