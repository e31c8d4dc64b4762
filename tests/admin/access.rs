//! Access to the admin API: tokens, roles, the author of a revision, and the audit log.

use std::{fs, path::Path};

use chancery::{
    access::AccessConfig,
    proto::admin::{WatchNodesRequest, node_service_client::NodeServiceClient},
    settings::Layer,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{PATIENCE, Ran, Server, chancery, clusters};

const RULES: &str = r#"
admin:
- token: ci
  roles: [read, publish]
  groups: ["shop-*"]
- token: reader
  roles: [read]
- token: "team-{team}"
  roles: [read, read-secrets]
  groups: ["{team}"]
- token: root
  roles: [administer]
tokens_file: tokens
"#;

const SECRET: &str = r#"resources: [{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret,
  name: s, generic_secret: {secret: {inline_string: hidden-text}}}]"#;

struct Guarded {
    server: Server,
    dir: tempfile::TempDir,
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// Creates a token with the command line.
fn create(dir: &Path, name: &str) {
    let tokens = path(dir, "tokens");
    let ran = Ran::from(
        chancery(&["token", "create", name, "--tokens-file", &tokens])
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    fs::write(dir.join(name), ran.stdout).unwrap();
}

impl Guarded {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ci", "reader", "team-pay", "root", "stranger"] {
            create(dir.path(), name);
        }
        let mut access: AccessConfig = serde_saphyr::from_str(RULES).unwrap();
        access.tokens_file = Some(dir.path().join("tokens"));
        let mut layer = Layer {
            access: Some(access),
            ..Layer::default()
        };
        layer.audit.file = Some(dir.path().join("audit.log"));
        Self {
            server: Server::with(layer),
            dir,
        }
    }

    #[track_caller]
    fn expect(&self, code: i32, who: &str, args: &[&str]) -> Ran {
        let token = path(self.dir.path(), who);
        let mut all = args.to_vec();
        if !who.is_empty() {
            all.extend(["--token-file", &token]);
        }
        self.server.expect(code, &all)
    }

    fn audited(&self) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_caller_may_do_what_its_roles_say_in_its_groups() {
    let guarded = Guarded::start();
    let file = guarded.server.file("a.yaml", clusters(&["a"]));
    let secret = guarded.server.file("s.yaml", SECRET);
    guarded.expect(0, "ci", &["replace", "-g", "shop-eu", "-f", &file]);
    guarded.expect(0, "root", &["replace", "-g", "pay", "-f", &secret]);
    let backup = path(guarded.dir.path(), "backup");
    let denied: &[(&str, &[&str])] = &[
        ("", &["get"]),
        ("stranger", &["get"]),
        ("ci", &["replace", "-g", "pay", "-f", &file]),
        ("ci", &["replace", "-g", "*", "-f", &file]),
        ("ci", &["apply", "-g", "pay", "-f", &file]),
        ("ci", &["delete-snapshot", "-g", "pay", "--yes"]),
        ("ci", &["rollback", "-g", "pay", "--to", "1"]),
        ("ci", &["get", "-g", "shop-eu", "--show-secrets"]),
        ("ci", &["backup", "--out", &backup]),
        ("reader", &["replace", "-g", "shop-eu", "-f", &file]),
        ("reader", &["get", "-g", "pay", "--show-secrets"]),
        ("team-pay", &["get", "-g", "shop-eu", "--show-secrets"]),
        ("team-pay", &["replace", "-g", "pay", "-f", &file]),
    ];
    for (who, args) in denied {
        guarded.expect(7, who, args);
    }
    let seen = guarded.expect(0, "reader", &["get", "-g", "pay", "-o", "json"]).stdout;
    assert!(!seen.contains("hidden-text"), "{seen}");
    let seen = guarded
        .expect(0, "team-pay", &["get", "-g", "pay", "--show-secrets", "-o", "json"])
        .stdout;
    assert!(seen.contains("hidden-text"), "{seen}");
    for args in [&["status"] as &[&str], &["history", "-g", "pay"], &["get"]] {
        guarded.expect(0, "reader", args);
    }
    // Health needs no role; every other call is refused before its body is read.
    let mut health = HealthClient::new(guarded.server.channel());
    let checked = guarded
        .server
        .runtime
        .block_on(health.check(HealthCheckRequest::default()));
    assert_eq!(checked.unwrap().into_inner().status, 1);

    let audited = guarded.audited();
    let refused = audited.iter().filter(|event| event["allowed"] == false).count();
    assert_eq!(refused, denied.len(), "{audited:#?}");
    assert!(
        audited
            .iter()
            .any(|event| event["reason"] == "with secrets" && event["who"] == "token:team-pay")
    );
}

#[test]
fn the_author_of_a_revision_is_who_was_verified() {
    let guarded = Guarded::start();
    let file = guarded.server.file("a.yaml", clusters(&["a"]));
    guarded.expect(0, "ci", &["replace", "-g", "shop-eu", "-f", &file, "--author", "alice"]);
    let history = guarded
        .expect(0, "reader", &["history", "-g", "shop-eu", "-o", "json"])
        .stdout;
    assert!(history.contains("token:ci (as alice)"), "{history}");
    let event = guarded.audited().pop().unwrap();
    let revision = event["revision"].as_u64().unwrap();
    assert!(history.contains(&revision.to_string()), "{history}");
    assert_eq!(event["who"], "token:ci");
    assert_eq!(event["given_author"], "alice");
    assert_eq!(event["group"], "shop-eu");
    assert_eq!(event["action"], "/chancery.admin.v1.SnapshotService/ReplaceSnapshot");
    assert_eq!(event["allowed"], true);
}

#[test]
fn a_watch_ends_when_its_token_is_revoked() {
    let guarded = Guarded::start();
    let mut client = NodeServiceClient::new(guarded.server.channel());
    let token = fs::read_to_string(guarded.dir.path().join("reader")).unwrap();
    let mut request = tonic::Request::new(WatchNodesRequest::default());
    let value = format!("Bearer {}", token.trim()).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let runtime = &guarded.server.runtime;
    let mut events = runtime.block_on(client.watch_nodes(request)).unwrap().into_inner();
    assert!(runtime.block_on(events.message()).unwrap().is_some());
    let tokens = guarded.dir.path().join("tokens");
    let lines = fs::read_to_string(&tokens).unwrap();
    let kept: Vec<&str> = lines.lines().filter(|line| !line.starts_with("reader:")).collect();
    fs::write(&tokens, kept.join("\n")).unwrap();
    let ended = runtime.block_on(async move { tokio::time::timeout(PATIENCE, events.message()).await });
    assert_eq!(
        ended.expect("the watch ends").unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[test]
fn what_files_publish_is_audited() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("edge")).unwrap();
    fs::write(dir.path().join("edge/a.yaml"), clusters(&["a"])).unwrap();
    let log = tempfile::tempdir().unwrap();
    let mut layer = Layer {
        files: Some(dir.path().to_owned()),
        ..Layer::default()
    };
    layer.audit.file = Some(log.path().join("audit.log"));
    let server = Server::with(layer);
    // Each publish is in the audit log before the server has shut down.
    assert!(server.shutdown());
    let log = fs::read_to_string(log.path().join("audit.log")).unwrap();
    assert!(
        log.contains("\"from\":\"files\"") && log.contains("\"group\":\"edge\""),
        "{log}"
    );
}

#[test]
fn a_record_that_was_taken_out_of_the_audit_log_shows() {
    let guarded = Guarded::start();
    for content in ["a", "b", "c"] {
        let file = guarded.server.file("a.yaml", clusters(&[content]));
        guarded.expect(0, "root", &["replace", "-g", "g", "-f", &file, "--allow-removals"]);
    }
    let log = path(guarded.dir.path(), "audit.log");
    let whole = guarded.server.expect(0, &["audit", "verify", &log]).stdout;
    assert!(whole.contains("3 records"), "{whole}");
    let lines = fs::read_to_string(&log).unwrap();
    let mut kept: Vec<&str> = lines.lines().collect();
    kept.remove(1);
    let cut = guarded.server.file("cut.log", kept.join("\n"));
    let ran = guarded.server.expect(3, &["audit", "verify", &cut]);
    assert!(ran.stderr.contains("cut.log:2: record 3 follows record 1"), "{ran:?}");
    guarded
        .server
        .expect(4, &["audit", "verify", &path(guarded.dir.path(), "none")]);
}

#[test]
fn a_token_is_made_once_and_never_sent_in_the_clear_to_another_host() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "ci");
    let tokens = path(dir.path(), "tokens");
    let run = |args: &[&str]| Ran::from(chancery(args).output().unwrap());
    assert_eq!(run(&["token", "create", "ci", "--tokens-file", &tokens]).code, 5);
    assert_eq!(run(&["token", "create", "c.i"]).code, 2);
    let file = path(dir.path(), "ci");
    let secret = fs::read_to_string(&file).unwrap();
    assert!(
        !fs::read_to_string(&tokens)
            .unwrap()
            .contains(secret.trim().split_once('.').unwrap().1)
    );
    let ran = run(&["get", "--admin", "http://192.0.2.1:18001", "--token-file", &file]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("not sent"), "{ran:?}");
    assert_eq!(run(&["get", "--token-file", &path(dir.path(), "none")]).code, 2);
}
