//! Plans of publishes, and that the publishes then follow them.

use chancery::settings::{Layer, SharedLayer};
use serde_json::Value;

use crate::harness::{CLUSTER, FakeEnvoy, Server, clusters};

const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// EDS clusters with endpoints, as in `[("a", 1, 8080)]`: name, timeout in seconds, port.
fn with_endpoints(all: &[(&str, u32, u16)]) -> String {
    let item = |(name, timeout, port): &(&str, u32, u16)| {
        format!(
            "- {{\"@type\": {CLUSTER}, name: {name}, connect_timeout: {timeout}s, type: EDS, eds_cluster_config: {{eds_config: \
             {{ads: {{}}}}}}}}\n- {{\"@type\": {ENDPOINT}, cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: \
             {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}\n"
        )
    };
    format!("resources:\n{}", all.iter().map(item).collect::<String>())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A node that has cluster `a` and its endpoints.
fn settled(server: &Server, id: &str) -> FakeEnvoy {
    let mut envoy = server.envoy(id);
    server.runtime.block_on(async {
        let clusters = envoy.next().await;
        envoy.ask(ENDPOINT, &["a"], None).await;
        envoy.ack(&clusters).await;
        let endpoints = envoy.next().await;
        assert_eq!(endpoints.type_url, ENDPOINT);
        envoy.ask(ENDPOINT, &["a"], Some(&endpoints)).await;
    });
    envoy
}

#[test]
fn a_dry_run_tells_fields_receivers_and_the_order_and_then_that_happens() {
    let server = Server::start();
    let before = server.file("before.yaml", with_endpoints(&[("a", 1, 8080)]));
    let after = server.file("after.yaml", with_endpoints(&[("a", 2, 8081), ("b", 1, 9090)]));
    server.expect(0, &["replace", "-g", "demo", "-f", &before]);
    let mut nodes = [settled(&server, "one"), settled(&server, "two")];
    let _stranger = server.envoy_of("other", "three");
    server.expect(0, &["wait", "-g", "demo"]);

    let text = "  + cluster b\n  ~ cluster a\n      connect_timeout: \"1s\" → \"2s\"\n  + endpoint b\n  ~ endpoint a\n      \
                endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: 8080 → 8081\n\
                received by 2 of 2 connected nodes:\n  one (group demo): cluster all, endpoint 1 name\n  \
                two (group demo): cluster all, endpoint 1 name\n\
                to 2 nodes on ADS (SotW), in this order: one, two\n  1. CDS +1 ~1\n  2. EDS +1 ~1\n";
    let head = "demo: would publish over revision 1: 2 added, 2 changed, 0 removed (dry run)\n";
    let dry = server.expect(0, &["replace", "-g", "demo", "-f", &after, "--dry-run"]);
    assert_eq!(dry.stdout, format!("{head}{text}"));
    let diff = server.expect(1, &["diff", "-g", "demo", "-f", &after]);
    assert_eq!(diff.stdout, text);
    for args in [
        vec!["replace", "-g", "demo", "-f", &after, "--dry-run", "-o", "json"],
        vec!["diff", "-g", "demo", "-f", &after, "-o", "json"],
    ] {
        let plan = &json(&server.run(&args).stdout)["plan"];
        assert_eq!(plan["receivers_total"], 2, "{plan:#}");
        assert_eq!(plan["receivers"][1]["node_id"], "two");
        assert_eq!(plan["receivers"][1]["subscriptions"][0]["wildcard"], true);
        let change = &plan["types"][0]["resources"][0];
        assert_eq!(
            (&change["name"], &change["fields"][0]["path"]),
            (&"a".into(), &"connect_timeout".into())
        );
        assert_eq!(change["fields"][0]["before"], "\"1s\"");
        let steps = plan["rollouts"][0]["steps"].as_array().unwrap();
        let types: Vec<&str> = steps.iter().map(|step| step["type_url"].as_str().unwrap()).collect();
        assert_eq!(types, [CLUSTER, ENDPOINT]);
        assert_eq!(steps[0]["added_names"][0], "b");
    }

    server.expect(0, &["replace", "-g", "demo", "-f", &after]);
    for node in &mut nodes {
        server.runtime.block_on(async {
            let clusters = node.next().await;
            assert_eq!((clusters.type_url.as_str(), clusters.resources.len()), (CLUSTER, 2));
            // The endpoints of the changed cluster come at once, those of the new one on request.
            let endpoints = node.next().await;
            assert_eq!((endpoints.type_url.as_str(), endpoints.resources.len()), (ENDPOINT, 1));
            node.ask(ENDPOINT, &["a", "b"], Some(&endpoints)).await;
            let endpoints = node.next().await;
            assert_eq!((endpoints.type_url.as_str(), endpoints.resources.len()), (ENDPOINT, 1));
            node.ask(ENDPOINT, &["a", "b"], Some(&endpoints)).await;
            node.ack(&clusters).await;
        });
    }
}

#[test]
fn a_removal_comes_last() {
    let server = Server::start();
    let before = server.file("before.yaml", clusters(&["old"]));
    let after = server.file("after.yaml", clusters(&["new"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &before]);
    let mut node = server.envoy("one");
    server.runtime.block_on(async {
        let response = node.next().await;
        node.ack(&response).await;
    });
    server.expect(0, &["wait", "-g", "demo"]);
    let dry = server.expect(0, &["replace", "-g", "demo", "-f", &after, "--dry-run"]);
    let order = "in this order: one\n  1. CDS +1 (1 again)\n  2. CDS -1 (1 again), once 1 is ACKed\n";
    assert!(dry.stdout.ends_with(order), "{}", dry.stdout);
    server.expect(0, &["replace", "-g", "demo", "-f", &after]);
    server.runtime.block_on(async {
        let made = node.next().await;
        assert_eq!(made.resources.len(), 2);
        node.ack(&made).await;
        assert_eq!(node.next().await.resources.len(), 1);
    });
}

#[test]
fn the_shared_group_reaches_every_node_that_it_changes() {
    let server = Server::with(Layer {
        shared: SharedLayer {
            enough_for: Some(vec!["unpub*".to_owned()]),
        },
        ..Layer::default()
    });
    let (own, shared) = (
        server.file("own.yaml", clusters(&["s"])),
        server.file("s.yaml", clusters(&["s"])),
    );
    let hidden = "\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: s, connect_timeout: 9s";
    let hidden = server.file("hidden.yaml", format!("resources: [{{{hidden}}}]"));
    server.expect(0, &["replace", "-g", "hiding", "-f", &own]);
    server.expect(0, &["replace", "-g", "*", "-f", &shared]);
    let _nodes = [("hiding", "one"), ("unpublished", "two"), ("unpublished", "three")].map(|(group, id)| {
        let mut node = server.envoy_of(group, id);
        server.runtime.block_on(async {
            let response = node.next().await;
            node.ack(&response).await;
        });
        node
    });
    let dry = server
        .expect(0, &["replace", "-g", "*", "-f", &hidden, "--dry-run"])
        .stdout;
    assert!(dry.contains("received by 2 of 3 connected nodes:\n  three "), "{dry}");
    assert!(!dry.contains("one"), "{dry}");
    let nobody = server
        .expect(0, &["replace", "-g", "lonely", "-f", &own, "--dry-run"])
        .stdout;
    assert!(
        nobody.ends_with("no node of group lonely is connected: nobody receives it now\n"),
        "{nobody}"
    );
}

/// Listeners on ports of 127.0.0.1, as in `[("a", 1)]`.
fn listeners(all: &[(&str, u16)]) -> String {
    let item = |(name, port): &(&str, u16)| {
        format!(
            "- {{\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener, name: {name}, address: {{socket_address: \
             {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
        )
    };
    format!("resources:\n{}", all.iter().map(item).collect::<String>())
}

// O-17
#[test]
fn listeners_that_exchange_addresses_are_warned_of_beforehand() {
    let server = Server::start();
    let before = server.file("before.yaml", listeners(&[("a", 1001), ("b", 1002)]));
    let swapped = server.file("swapped.yaml", listeners(&[("a", 1002), ("b", 1001)]));
    let aside = server.file("aside.yaml", listeners(&[("a", 1003), ("b", 1001)]));
    server.expect(0, &["replace", "-g", "demo", "-f", &before]);
    for (code, args) in [
        (0, vec!["replace", "-g", "demo", "-f", &swapped, "--dry-run"]),
        (1, vec!["diff", "-g", "demo", "-f", &swapped]),
        (3, vec!["replace", "-g", "demo", "-f", &swapped, "--deny-warnings"]),
    ] {
        let told = server.expect(code, &args).stderr;
        for part in [
            "[XDS0503]",
            "swapped.yaml:2:",
            "\"a\" takes tcp 127.0.0.1:1002 from \"b\", \"b\" takes tcp 127.0.0.1:1001 from \"a\"",
            "publish twice",
        ] {
            assert!(told.contains(part), "{args:?}: {told}");
        }
    }
    // Two publishes cause no warning.
    for file in [&aside, &swapped] {
        let dry = server
            .expect(0, &["replace", "-g", "demo", "-f", file, "--dry-run"])
            .stderr;
        assert!(!dry.contains("XDS0503"), "{dry}");
        server.expect(0, &["replace", "-g", "demo", "-f", file]);
    }
    // Nor does an address that is handed over.
    let renamed = server.file("renamed.yaml", listeners(&[("a", 1002), ("c", 1001)]));
    let dry = server
        .expect(0, &["replace", "-g", "demo", "-f", &renamed, "--dry-run"])
        .stderr;
    assert!(!dry.contains("XDS0503"), "{dry}");
}

#[test]
fn secrets_are_told_to_change_and_never_shown() {
    let server = Server::start();
    let secret = |value: &str| {
        format!(
            "resources:\n- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: s\n  \
             generic_secret: {{secret: {{inline_string: {value}}}}}\n"
        )
    };
    let (before, after) = (
        server.file("1.yaml", secret("canary-1")),
        server.file("2.yaml", secret("canary-2")),
    );
    server.expect(0, &["replace", "-g", "demo", "-f", &before]);
    for output in ["table", "json", "yaml"] {
        for command in [
            vec!["replace", "-g", "demo", "-f", &after, "--dry-run", "-o", output],
            vec!["diff", "-g", "demo", "-f", &after, "-o", output],
        ] {
            let ran = server.run(&command);
            assert!(ran.stdout.contains("generic_secret.secret.inline_string"), "{ran:?}");
            assert!(
                !ran.stdout.contains("canary") && !ran.stderr.contains("canary"),
                "{ran:?}"
            );
        }
    }
}

#[test]
fn revisions_are_compared_with_one_another_and_with_what_is_current() {
    let server = Server::start();
    for (index, names) in [&["a"][..], &["a", "b"], &["a", "b", "c"]].iter().enumerate() {
        let file = server.file(&format!("{index}.yaml"), clusters(names));
        server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    }
    for (range, expected) in [
        ("1..2", "  + cluster b\n"),
        ("2..1", "  - cluster b\n"),
        ("1..", "  + cluster b\n  + cluster c\n"),
        ("2", "  + cluster c\n"),
    ] {
        let diff = server.expect(1, &["diff", "-g", "demo", "--revision", range]);
        assert_eq!(diff.stdout, expected, "{range}");
    }
    // The plan of a rollback from the current revision.
    let back = server.expect(1, &["diff", "-g", "demo", "--revision", "..2"]).stdout;
    assert!(back.starts_with("  - cluster c\nno node of group demo"), "{back}");
    assert_eq!(server.expect(1, &["diff", "-g", "demo", "--to", "2"]).stdout, back);
    for same in ["2..2", "3..", "..3"] {
        assert_eq!(server.expect(0, &["diff", "-g", "demo", "--revision", same]).stdout, "");
    }
    let first = server.dir.path().join("0.yaml");
    let files = ["diff", "-g", "demo", "--revision", "1..", "-f", first.to_str().unwrap()];
    server.expect(0, &files);
    server.expect(4, &["diff", "-g", "demo", "--revision", "1..9"]);
    for wrong in ["..", "x..1", "0..1"] {
        server.expect(2, &["diff", "-g", "demo", "--revision", wrong]);
    }
    server.expect(2, &["diff", "-g", "demo", "--revision", "1..2", "--to", "2"]);
    server.expect(
        2,
        &[
            "diff",
            "-g",
            "demo",
            "--revision",
            "1..2",
            "-f",
            first.to_str().unwrap(),
        ],
    );
}
