//! Revisions: their authors, their content, and their outcomes on every node.

use chancery::settings::{Layer, SharedLayer};
use serde_json::Value;

use crate::harness::{FakeEnvoy, PATIENCE, Ran, Server, clusters};

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn publish(server: &Server, names: &[&str], flags: &[&str]) -> Value {
    let file = server.file("publish.yaml", clusters(names));
    let args = [
        &["replace", "-g", "demo", "-f", &file, "-o", "json", "--allow-removals"],
        flags,
    ]
    .concat();
    json(&server.expect(0, &args))
}

/// Polls until the outcomes of a revision are these: ACKED, NACKED, PENDING.
#[track_caller]
fn expect_outcomes(server: &Server, revision: u64, expected: [u64; 3]) -> Value {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let number = revision.to_string();
        let found = json(&server.expect(0, &["history", "-g", "demo", "--revision", &number, "-o", "json"]));
        let outcomes = &found["outcomes"];
        let counts = ["acked", "nacked", "pending"].map(|count| outcomes[count].as_u64().unwrap());
        if counts == expected {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "expected {expected:?}: {found:#}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn answer(server: &Server, envoy: &mut FakeEnvoy, refusal: Option<&str>) {
    server.runtime.block_on(async {
        let response = envoy.next().await;
        match refusal {
            Some(message) => envoy.nack(&response, message).await,
            None => envoy.ack(&response).await,
        }
    });
}

#[test]
fn history_says_what_every_node_made_of_each_revision() {
    let server = Server::start();
    publish(&server, &["a"], &["--author", "ann", "-m", "first"]);
    let (mut good, mut bad) = (server.envoy("good"), server.envoy("bad"));
    answer(&server, &mut good, None);
    answer(&server, &mut bad, None);
    expect_outcomes(&server, 1, [2, 0, 0]);

    publish(&server, &["a", "b"], &[]);
    answer(&server, &mut good, None);
    answer(&server, &mut bad, Some("no such\u{1b} thing"));
    let found = expect_outcomes(&server, 2, [1, 1, 0]);
    let nodes = found["outcomes"]["nodes"].as_array().unwrap();
    let output: Vec<_> = nodes
        .iter()
        .map(|node| (node["node"].as_str().unwrap(), node["state"].as_str().unwrap()))
        .collect();
    assert_eq!(output, [("bad", "STATE_NACKED"), ("good", "STATE_ACKED")]);
    let nack = &nodes[0]["nacks"][0];
    assert!(nack["type_url"].as_str().unwrap().ends_with("v3.Cluster"), "{nack}");
    assert_eq!(nack["nack"]["message"], "no such\u{1b} thing");

    publish(&server, &["a", "b", "c"], &[]);
    let _late = server.envoy("late");
    answer(&server, &mut good, None);
    expect_outcomes(&server, 3, [1, 0, 2]);
    answer(&server, &mut bad, None);
    expect_outcomes(&server, 3, [2, 0, 1]);
    // Earlier outcomes stay.
    expect_outcomes(&server, 2, [1, 1, 0]);
    expect_outcomes(&server, 1, [2, 0, 0]);

    let table = server.expect(0, &["history", "-g", "demo"]).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][4..8], ["CONTENT", "ACKED", "NACKED", "PENDING"]);
    assert_eq!((rows[1][0], &rows[1][5..8]), ("3", &["2", "0", "1"][..]), "{table}");
    assert_eq!((rows[2][0], &rows[2][5..8]), ("2", &["1", "1", "0"][..]), "{table}");
    assert_eq!(rows[3][2..4], ["ann", "first"], "{table}");

    let detail = server.expect(0, &["history", "-g", "demo", "--revision", "2"]).stdout;
    let bad = detail
        .lines()
        .position(|line| line.starts_with("bad"))
        .expect("a row of the node");
    let lines: Vec<&str> = detail.lines().collect();
    assert!(lines[bad].contains("NACKED"), "{detail}");
    assert!(lines[bad + 1].contains("no such\\u{1b} thing"), "{detail}");

    // The outcomes of a disconnected node stay.
    drop(good);
    expect_outcomes(&server, 2, [1, 1, 0]);
}

#[test]
fn revisions_of_the_shared_group_are_what_all_nodes_made_of_them() {
    let server = Server::with(Layer {
        shared: SharedLayer {
            enough_for: Some(vec!["*".to_owned()]),
        },
        ..Layer::default()
    });
    let file = server.file("shared.yaml", clusters(&["s"]));
    server.expect(0, &["replace", "-g", "*", "-f", &file]);
    let mut envoy = server.envoy("node");
    answer(&server, &mut envoy, None);
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let listed = json(&server.expect(0, &["history", "-g", "*", "-o", "json"]));
        if listed["revisions"][0]["outcomes"]["acked"] == 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{listed:#}");
    }
}

#[test]
fn the_origin_of_a_revision_is_not_what_its_author_is_called() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file, "--author", "registry"]);
    let listed = json(&server.expect(0, &["history", "-g", "demo", "-o", "json"]));
    let first = &listed["revisions"][0];
    assert_eq!(
        (&first["origin"], &first["author"]),
        (&"api".into(), &"registry".into())
    );
    let table = server.expect(0, &["history", "-g", "demo"]).stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[2], row[8]), ("registry", "api"), "{table}");
}

#[test]
fn content_that_returns_has_its_hash_again() {
    let server = Server::start();
    publish(&server, &["a"], &[]);
    publish(&server, &["a", "b"], &[]);
    server.expect(0, &["rollback", "-g", "demo", "--to", "1"]);
    let listed = json(&server.expect(0, &["history", "-g", "demo", "-o", "json"]));
    let hash = |index: usize| listed["revisions"][index]["content_hash"].as_str().unwrap();
    let types = |index: usize| &listed["revisions"][index]["types"][0];
    assert_eq!(hash(0), hash(2));
    assert_ne!(hash(0), hash(1));
    assert_eq!(types(0)["content_hash"], types(2)["content_hash"]);
    assert_ne!(types(0)["version"], types(2)["version"]);

    let missing = server.expect(4, &["history", "-g", "demo", "--revision", "99"]);
    assert!(missing.stderr.contains("99"), "{missing:?}");
}

#[test]
fn a_publish_with_a_key_is_done_once() {
    let server = Server::start();
    let key = &["--idempotency-key", "deploy-7"];
    let first = publish(&server, &["a"], key);
    assert_eq!(
        (&first["revision"], &first["repeated"]),
        (&Value::from(1), &Value::from(false))
    );
    publish(&server, &["b"], &[]);
    let again = publish(&server, &["a"], key);
    assert_eq!(again["changes"], first["changes"]);
    assert_eq!(
        (&again["revision"], &again["repeated"]),
        (&Value::from(1), &Value::from(true))
    );

    let other = server.file("other.yaml", clusters(&["c"]));
    let args = ["replace", "-g", "demo", "-f", &other, "--idempotency-key", "deploy-7"];
    let refused = server.expect(5, &args);
    assert!(refused.stderr.contains("idempotency key \"deploy-7\""), "{refused:?}");
    let output = server.expect(0, &["rollback", "-g", "demo", "--to", "1", "--idempotency-key", "back"]);
    assert!(output.stdout.contains("published revision 3"), "{output:?}");
    let output = server.expect(0, &["rollback", "-g", "demo", "--to", "1", "--idempotency-key", "back"]);
    assert!(output.stdout.contains("done before"), "{output:?}");
}
