//! The store: exports, imports, backups, restores, and a failing disk.

use std::{fs, path::Path, process::Command};

use chancery::settings::Layer;
use serde_json::Value;

use crate::{
    harness::{Ran, Server, chancery, clusters},
    process::Process,
};

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn offline(code: i32, args: &[&str]) -> Ran {
    let ran = Ran::from(chancery(args).output().unwrap());
    assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    ran
}

fn kept(dir: &Path) -> Server {
    Server::with(Layer {
        data_dir: Some(dir.to_owned()),
        ..Layer::default()
    })
}

fn secret() -> String {
    format!("resources: [{{\"@type\": {SECRET}, name: key, generic_secret: {{secret: {{inline_string: hunter2}}}}}}]\n")
}

/// Content, versions and history of each group, as the commands print them.
fn all_of(run: impl Fn(&[&str]) -> Ran, groups: &[&str]) -> Vec<String> {
    let told = |args: &[&str]| {
        let ran = run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    };
    let mut all = vec![told(&["get", "-o", "json"])];
    for group in groups {
        all.push(told(&["get", "-g", group, "-o", "json", "--show-secrets"]));
        let history = told(&["history", "-g", group, "-o", "json"]);
        let listed: Value = serde_json::from_str(&history).unwrap();
        for revision in listed["revisions"].as_array().unwrap() {
            let number = revision["revision"].to_string();
            all.push(told(&[
                "get",
                "-g",
                group,
                "--revision",
                &number,
                "-o",
                "json",
                "--show-secrets",
            ]));
        }
        all.push(history);
    }
    all
}

#[test]
fn restored_backup_is_the_same_revision_for_revision() {
    let dir = tempfile::tempdir().unwrap();
    let (data, restored) = (dir.path().join("data"), dir.path().join("restored"));
    let backup = dir.path().join("backup");
    let before = {
        let server = kept(&data);
        let shared = server.file("shared.yaml", secret());
        server.expect(0, &["replace", "-g", "*", "-f", &shared]);
        for names in [&["a"][..], &["a", "b"], &["b"], &["a"]] {
            let file = server.file("demo.yaml", clusters(names));
            server.expect(
                0,
                &["replace", "-g", "demo", "-f", &file, "-m", "why", "--author", "ann"],
            );
        }
        server.expect(0, &["rollback", "-g", "demo", "--to", "3"]);
        let told = server.expect(0, &["backup", "--out", text(&backup)]);
        assert!(told.stdout.contains("backed up"), "{told:?}");
        let again = server.expect(2, &["backup", "--out", text(&backup)]);
        assert!(again.stderr.contains("overwrites nothing"), "{again:?}");
        let piped = server.command(&["backup", "--out", "-"]).output().unwrap();
        assert_eq!(piped.stdout, fs::read(&backup).unwrap());
        let locked = Ran::from(server.command(&["verify", text(&data)]).output().unwrap());
        assert_eq!(locked.code, 6, "{locked:?}");
        all_of(|args| server.run(args), &["demo", "*"])
    };
    let told = offline(0, &["verify", text(&backup)]);
    assert!(told.stdout.contains("2 groups, 6 revisions"), "{told:?}");
    let told = offline(0, &["restore", text(&backup), "--data-dir", text(&restored)]);
    assert!(told.stdout.contains("2 groups, 6 revisions"), "{told:?}");
    offline(0, &["verify", text(&restored)]);
    offline(3, &["restore", text(&backup), "--data-dir", text(&restored)]);

    let server = kept(&restored);
    assert_eq!(all_of(|args| server.run(args), &["demo", "*"]), before);
    let file = server.file("demo.yaml", clusters(&["new"]));
    let published = server.expect(0, &["replace", "-g", "demo", "-f", &file, "--allow-removals"]);
    assert!(published.stdout.contains("published revision 1000001"), "{published:?}");
    let locked = Ran::from(
        chancery(&["restore", text(&backup), "--data-dir", text(&restored), "--force"])
            .output()
            .unwrap(),
    );
    assert_eq!(locked.code, 6, "{locked:?}");
    assert!(locked.stderr.contains("locked by another process"), "{locked:?}");
}

#[test]
fn damaged_backup_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    let server = kept(&dir.path().join("data"));
    let file = server.file("demo.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    server.expect(0, &["backup", "--out", text(&backup)]);
    let bytes = fs::read(&backup).unwrap();
    fs::write(&backup, &bytes[..bytes.len() - 7]).unwrap();
    let target = dir.path().join("new");
    for args in [
        &["verify", text(&backup)][..],
        &["restore", text(&backup), "--data-dir", text(&target)],
    ] {
        let refused = offline(3, args);
        assert!(refused.stderr.contains("not a complete backup"), "{refused:?}");
    }
    assert!(!target.exists());
    offline(4, &["verify", text(&dir.path().join("nothing"))]);
}

#[test]
fn server_without_a_data_directory_says_that_there_is_no_backup() {
    let server = Server::start();
    let out = server.dir.path().join("backup");
    let refused = server.expect(3, &["backup", "--out", text(&out)]);
    assert!(refused.stderr.contains("in memory only"), "{refused:?}");
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 0);
}

#[test]
fn export_can_be_imported_elsewhere() {
    let server = Server::start();
    let demo = server.file("demo.yaml", clusters(&["a", "b"]));
    let shared = server.file("shared.yaml", secret());
    let empty = server.file("empty.yaml", "resources: []\n");
    for (group, file) in [("demo", &demo), ("*", &shared), ("none", &empty)] {
        server.expect(0, &["replace", "-g", group, "-f", file]);
    }
    let expected = all_of(|args| server.run(args), &[]);
    for format in ["yaml", "json", "binary"] {
        let out = server.dir.path().join(format);
        let args = ["export", "--out", text(&out), "--format", format];
        let told = server.expect(0, &args);
        assert!(told.stderr.contains("--show-secrets"), "{told:?}");
        server.expect(2, &args);
        server.expect(0, &[&args[..], &["--show-secrets", "--force"]].concat());

        let other = Server::start();
        let told = other.expect(0, &["import", "-f", text(&out), "--dry-run"]);
        assert!(told.stdout.contains("would publish"), "{told:?}");
        other.expect(4, &["get", "-g", "demo"]);
        other.expect(0, &["import", "-f", text(&out), "-m", "moved"]);
        let versions = |listed: &str| -> Vec<(Value, Value)> {
            let listed: Value = serde_json::from_str(listed).unwrap();
            let all = listed["snapshots"].as_array().unwrap().iter();
            // With secrets the hash is that of one store alone.
            all.map(|one| (one["group"].clone(), one["content_hash"].clone()))
                .filter(|(group, _)| group != "*")
                .collect()
        };
        let found = all_of(|args| other.run(args), &[]);
        assert_eq!(versions(&found[0]), versions(&expected[0]), "{format}");
        let secrets = |run: &dyn Fn(&[&str]) -> Ran| run(&["get", "-g", "*", "-o", "json", "--show-secrets"]).stdout;
        let resources = |told: &str| serde_json::from_str::<Value>(told).unwrap()["resources"][0]["resource"].clone();
        let moved = resources(&secrets(&|args| other.run(args)));
        assert!(moved.to_string().contains("hunter2"), "{moved}");
        assert_eq!(moved, resources(&secrets(&|args| server.run(args))), "{format}");
    }
}

#[test]
fn redacted_files_are_not_imported() {
    let server = Server::start();
    let shared = server.file("shared.yaml", secret());
    server.expect(0, &["replace", "-g", "*", "-f", &shared]);
    let out = server.dir.path().join("out");
    server.expect(0, &["export", "--out", text(&out)]);
    let refused = server.expect(3, &["import", "-f", text(&out)]);
    assert!(refused.stderr.contains("[redacted]"), "{refused:?}");
}

#[test]
fn import_publishes_all_or_nothing() {
    let server = Server::start();
    let dir = server.dir.path().join("groups");
    server.file("groups/good/cds.yaml", clusters(&["a"]));
    server.file("groups/bad/cds.yaml", "resources: [{\"@type\": nonsense}]\n");
    let refused = server.expect(3, &["import", "-f", text(&dir)]);
    assert!(
        refused.stderr.contains("group bad") && refused.stderr.contains("XDS0006"),
        "{refused:?}"
    );
    server.expect(4, &["get", "-g", "good"]);
    server.expect(0, &["import", "-f", text(&dir), "-g", "good"]);
    server.expect(0, &["get", "-g", "good"]);
    server.expect(4, &["import", "-f", text(&dir), "-g", "nobody"]);
}

#[test]
fn export_of_one_group_goes_to_one_file() {
    let server = Server::start();
    let demo = server.file("demo.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &demo]);
    server.expect(0, &["replace", "-g", "other", "-f", &demo]);
    let out = server.dir.path().join("one.yaml");
    server.expect(2, &["export", "--out", text(&out)]);
    server.expect(0, &["export", "-g", "demo", "--out", text(&out)]);
    let same = server.expect(0, &["replace", "-g", "demo", "-f", text(&out)]);
    assert!(same.stdout.contains("nothing changed"), "{same:?}");
    let piped = server.expect(0, &["export", "-g", "demo", "--out", "-", "--format", "json"]);
    assert!(serde_json::from_str::<Value>(&piped.stdout).is_ok(), "{piped:?}");
}

/// On a full disk a publish fails with an error, everything else goes on, and the next publish works once there is room.
#[test]
fn full_disk_refuses_publishes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let process = Process::start(&data);
    let file = dir.path().join("clusters.yaml");
    let publish = |names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fs::write(&file, clusters(&names)).unwrap();
        process.run(&["replace", "-g", "demo", "-f", text(&file), "--allow-removals"])
    };
    let few: Vec<String> = (0..10).map(|n| format!("few-{n}")).collect();
    let many: Vec<String> = (0..20_000).map(|n| format!("many-{n}-{}", "x".repeat(100))).collect();
    assert_eq!(publish(&few).code, 0);

    let size = fs::metadata(data.join("chancery.redb")).unwrap().len();
    limit_file_size(process.pid(), &size.to_string());
    for _ in 0..3 {
        let refused = publish(&many);
        assert_eq!(refused.code, 6, "{refused:?}");
        assert!(refused.stderr.contains("no room"), "{refused:?}");
        assert!(refused.stderr.contains("chancery.redb"), "{refused:?}");
        let history = process.run(&["history", "-g", "demo", "-o", "json"]);
        let listed: Value = serde_json::from_str(&history.stdout).unwrap();
        assert_eq!(listed["revisions"].as_array().unwrap().len(), 1, "{history:?}");
        let read = process.run(&["get", "-g", "demo", "--revision", "1", "-o", "json"]);
        assert!(read.code == 0 && read.stdout.contains("few-9"), "{read:?}");
    }
    limit_file_size(process.pid(), "unlimited");
    let published = publish(&many);
    assert_eq!(published.code, 0, "{published:?}");
    process.signal("-KILL");
    drop(process);
    let process = Process::start(&data);
    let read = process.run(&["get", "-g", "demo", "-o", "json"]);
    assert!(read.stdout.contains("many-19999"), "{}", read.stdout.len());
}

fn limit_file_size(process: u32, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(limited.expect("util-linux has prlimit").success());
}

#[test]
fn directory_that_cannot_be_written_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let refused = offline(
        6,
        &[
            "serve",
            "--data-dir",
            text(&file.join("data")),
            "--xds-addr=127.0.0.1:0",
            "--admin-addr=127.0.0.1:0",
            "--http-addr=127.0.0.1:0",
        ],
    );
    assert!(refused.stderr.contains("cannot open the data directory"), "{refused:?}");
}

#[test]
fn damaged_store_is_named_at_the_start_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("chancery.redb"), [0x5a; 50_000]).unwrap();
    let refused = offline(
        6,
        &[
            "serve",
            "--data-dir",
            text(dir.path()),
            "--xds-addr=127.0.0.1:0",
            "--admin-addr=127.0.0.1:0",
            "--http-addr=127.0.0.1:0",
        ],
    );
    for part in ["chancery.redb is damaged", "chancery restore"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
}
