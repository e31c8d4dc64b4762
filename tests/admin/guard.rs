//! Unconfirmed removals, and concurrent publishers.

use chancery::{
    proto::admin::{
        Document, PublishOptions, Rejection, ReplaceSnapshotRequest, snapshot_service_client::SnapshotServiceClient,
    },
    settings::{AdmissionLayer, Layer, Share},
};
use prost::Message as _;
use tonic::Code;

use crate::harness::{Ran, Server, clusters};

const LISTENER: &str = "- {\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener, name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}}\n";

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

fn many(count: usize) -> String {
    let names = names(count);
    clusters(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn expect_parts(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn a_publish_that_empties_a_type_is_refused_unless_confirmed() {
    let server = Server::start();
    let all = server.file("all.yaml", many(3) + LISTENER);
    let clusters_alone = server.file("clusters.yaml", many(3));
    server.expect(0, &["replace", "-g", "demo", "-f", &all]);
    let refused = server.expect(3, &["replace", "-g", "demo", "-f", &clusters_alone]);
    expect_parts(
        &refused,
        &[
            "error[XDS0501] listener: would empty type listener (1 resource)",
            "--allow-removals",
            "nothing was published",
        ],
    );
    assert!(server.expect(0, &["get", "-g", "demo"]).stdout.contains("listener  l"));
    let dry = server.expect(3, &["replace", "-g", "demo", "-f", &clusters_alone, "--dry-run"]);
    assert!(dry.stdout.contains("  - listener l\n"), "{dry:?}");
    expect_parts(&dry, &["XDS0501", "confirm what it removes with --allow-removals"]);
    let sure = ["replace", "-g", "demo", "-f", &clusters_alone, "--allow-removals"];
    assert!(
        server
            .expect(0, &[&sure[..], &["--dry-run"]].concat())
            .stderr
            .is_empty()
    );
    server.expect(0, &sure);
    // Also for the last resource of a type, deleted alone.
    server.expect(0, &["delete", "-g", "demo", "cluster", "c0"]);
    server.expect(0, &["delete", "-g", "demo", "cluster", "c1"]);
    expect_parts(
        &server.expect(3, &["delete", "-g", "demo", "cluster", "c2"]),
        &["XDS0501"],
    );
    server.expect(0, &["delete", "-g", "demo", "cluster", "c2", "--allow-removals"]);
}

#[test]
fn a_publish_that_removes_most_is_refused_unless_confirmed() {
    let server = Server::start();
    let [ten, five, four] = [10, 5, 4].map(|count| server.file(&format!("{count}.yaml"), many(count)));
    let replace = |file: &str| ["replace", "-g", "demo", "-f", file].map(str::to_owned);
    let run = |code, args: &[String], more: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        server.expect(code, &args)
    };
    run(0, &replace(&ten), &[]);
    expect_parts(
        &run(3, &replace(&four), &[]),
        &["error[XDS0502]: would remove 6 of 10 resources (limit 50 %)"],
    );
    let diff = server.expect(1, &["diff", "-g", "demo", "-f", &four]);
    expect_parts(&diff, &["XDS0502"]);
    run(0, &replace(&five), &[]);
    // A rollback needs no confirmation, in either direction.
    server.expect(0, &["rollback", "-g", "demo", "--to", "1"]);
    run(0, &replace(&four), &["--allow-removals"]);
    server.expect(0, &["rollback", "-g", "demo", "--to", "1"]);
    let one = server.file("1.yaml", many(1));
    run(0, &replace(&one), &["--allow-removals"]);
    let other = server.file("other.yaml", clusters(&["x"]));
    run(0, &replace(&other), &[]);
    server.expect(0, &["delete-snapshot", "-g", "demo", "--yes"]);
}

#[test]
fn the_share_is_a_setting() {
    let share = |share| Layer {
        admission: AdmissionLayer {
            max_removal_share: Some(Share(share)),
            ..AdmissionLayer::default()
        },
        ..Layer::default()
    };
    for (limit, code) in [(0.0, 3), (0.1, 0), (1.0, 0)] {
        let server = Server::with(share(limit));
        let (ten, nine) = (server.file("10.yaml", many(10)), server.file("9.yaml", many(9)));
        server.expect(0, &["replace", "-g", "demo", "-f", &ten]);
        server.expect(code, &["replace", "-g", "demo", "-f", &nine]);
    }
}

#[test]
fn programs_are_told_of_a_precondition_with_the_finding() {
    let server = Server::start();
    let mut client = SnapshotServiceClient::new(server.channel());
    let mut replace = |content: String, allow_removals| {
        server.runtime.block_on(client.replace_snapshot(ReplaceSnapshotRequest {
            group: "demo".to_owned(),
            documents: vec![Document {
                name: "a.yaml".to_owned(),
                content: content.into_bytes(),
                ..Document::default()
            }],
            options: Some(PublishOptions {
                allow_removals,
                ..PublishOptions::default()
            }),
            ..ReplaceSnapshotRequest::default()
        }))
    };
    replace(many(2), false).unwrap();
    let status = replace("resources: []".to_owned(), false).unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = tonic_types::Status::decode(status.details()).unwrap().details;
    let rejection = Rejection::decode(details[0].value.as_slice()).unwrap();
    let codes: Vec<&str> = rejection.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["XDS0501", "XDS0502"]);
    assert!(replace("resources: []".to_owned(), true).unwrap().into_inner().changed);
}

#[test]
fn assignments_that_the_registry_restores_are_no_removal() {
    let server = Server::start();
    let endpoints = format!("http://{}/endpoints", server.addresses.http);
    let post = reqwest::Client::new()
        .post(endpoints)
        .header("content-type", "application/json")
        .body("{\"address\": \"127.0.0.1\", \"port_value\": 8081}");
    let registered = server.runtime.block_on(post.send()).unwrap();
    assert_eq!(registered.status(), 201);
    let [before, after] = [3, 2].map(|count| server.file(&format!("{count}.yaml"), many(count)));
    server.expect(0, &["apply", "-g", "*", "-f", &before]);
    server.expect(0, &["replace", "-g", "*", "-f", &after]);
    // The registry restores the assignment, also after a deletion by hand.
    server.expect(0, &["delete", "-g", "*", "endpoint", "myservice"]);
}

#[test]
fn every_publishing_command_tells_a_conflict_with_both_numbers() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a", "b"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    for command in [
        vec!["replace", "-g", "demo", "-f", &file],
        vec!["apply", "-g", "demo", "-f", &file],
        vec!["delete", "-g", "demo", "cluster", "a"],
        vec!["rollback", "-g", "demo", "--to", "1"],
        vec!["delete-snapshot", "-g", "demo", "--yes"],
    ] {
        let conflict = server.expect(5, &[&command[..], &["--expected-revision", "7"]].concat());
        expect_parts(&conflict, &["expected revision 7, the group is at 1"]);
    }
    server.expect(5, &["replace", "-g", "new", "-f", &file, "--expected-revision", "1"]);
    server.expect(0, &["replace", "-g", "new", "-f", &file, "--expected-revision", "0"]);
    let delete = ["delete", "-g", "demo", "cluster", "a", "--expected-revision", "1"];
    server.expect(0, &delete);
    server.expect(5, &delete);
}

#[test]
fn of_writers_that_expect_the_same_exactly_one_wins() {
    let server = Server::start();
    let first = server.file("first.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &first]);
    for expected in 1..=5_u64 {
        let files: Vec<String> = (0..4)
            .map(|writer| {
                let name = format!("r{expected}w{writer}");
                server.file(&format!("{name}.yaml"), clusters(&["a", &name]))
            })
            .collect();
        let expected = expected.to_string();
        let mut codes: Vec<i32> = std::thread::scope(|scope| {
            let write = |file: &String| {
                server
                    .run(&["replace", "-g", "demo", "-f", file, "--expected-revision", &expected])
                    .code
            };
            let writers: Vec<_> = files.iter().map(|file| scope.spawn(move || write(file))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        codes.sort_unstable();
        assert_eq!(codes, [0, 5, 5, 5]);
    }
}

#[test]
fn a_version_can_be_named_and_warnings_refused() {
    let server = Server::start();
    let (a, b) = (
        server.file("a.yaml", clusters(&["a"])),
        server.file("b.yaml", clusters(&["b"])),
    );
    server.expect(
        0,
        &["replace", "-g", "demo", "-f", &a, "--version-info", "v1", "-m", "why"],
    );
    let history = server.expect(0, &["history", "-g", "demo", "-o", "json"]).stdout;
    assert!(
        history.contains("\"version\": \"v1\"") && history.contains("\"why\""),
        "{history}"
    );
    server.expect(0, &["apply", "-g", "demo", "-f", &b, "--version-info", "v2"]);
    let history = server.expect(0, &["history", "-g", "demo", "-o", "json"]).stdout;
    assert!(history.contains("\"version\": \"v2\""), "{history}");
    let dangling = server.file(
        "eds.yaml",
        "resources: [{\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: e, type: EDS, eds_cluster_config: \
         {eds_config: {ads: {}}}}]",
    );
    let refused = server.expect(3, &["apply", "-g", "demo", "-f", &dangling, "--deny-warnings"]);
    expect_parts(&refused, &["warning[XDS0103]", "nothing was published"]);
    server.expect(0, &["apply", "-g", "demo", "-f", &dangling]);
}
