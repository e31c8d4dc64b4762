//! No published secret appears in any output, file or log of the server or the command line, except where a caller asks for
//! it. Every byte is searched, with the log at `trace`.

mod fields;
mod needles;

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::proto::envoy::service::status::v3::{
    ClientStatusRequest, client_status_discovery_service_client::ClientStatusDiscoveryServiceClient,
};
use prost::Message as _;
use reqwest::{Certificate, Client, Method};
use tokio::runtime::Runtime;
use tonic::{metadata::AsciiMetadataValue, transport::Endpoint};

use self::{
    fields::{Fields, faults},
    needles::{Canary, KeyCanary},
};
use crate::{
    authority::Authority,
    harness::{FakeEnvoy, PATIENCE, Ran, chancery},
    process::Process,
};

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// All output, and the secrets found in it.
struct Search {
    canaries: Vec<Canary>,
    found: Vec<String>,
    searched: usize,
}

impl Search {
    fn look(&mut self, what: &str, bytes: &[u8]) {
        self.searched += bytes.len();
        for canary in &self.canaries {
            if let Some(form) = canary.found_in(bytes) {
                let text = String::from_utf8_lossy(bytes);
                let at = text.find(&form).unwrap_or_default();
                let around = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().replace('\n', "⏎");
                let from = (at.saturating_sub(250)..=at)
                    .find(|from| text.is_char_boundary(*from))
                    .unwrap_or(at);
                let line = around(from..at);
                self.found.push(format!("{what}: {} as {form}: {line}", canary.what));
            }
        }
    }

    fn look_at(&mut self, what: &str, ran: &Ran) {
        self.look(&format!("{what}, stdout"), ran.stdout.as_bytes());
        self.look(&format!("{what}, stderr"), ran.stderr.as_bytes());
    }

    #[track_caller]
    fn expect_nothing(&self) {
        assert!(
            self.found.is_empty(),
            "{} of them:\n{}",
            self.found.len(),
            self.found.join("\n")
        );
    }
}

/// A server with every feature on, and an administrator.
struct Stage {
    dir: tempfile::TempDir,
    process: Process,
    runtime: Runtime,
    authority: Authority,
}

impl Stage {
    /// Starts the server with this format of the log.
    fn new(search: &mut Search, format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let authority = Authority::new();
        let port = authority.server();
        port.write(dir.path(), "port");
        search
            .canaries
            .push(KeyCanary::of("the private key of a port", &port.key, port.cert.clone()).canary);
        let created = Ran::from(
            chancery(&["token", "create", "root", "--tokens-file", &text("tokens")])
                .output()
                .unwrap(),
        );
        assert_eq!(created.code, 0, "{created:?}");
        fs::write(path("root"), &created.stdout).unwrap();
        search.canaries.push(Canary::of(
            "a bearer token",
            created.stdout.trim().rsplit('.').next().unwrap(),
        ));
        let key = [0x5e, 0xa1, 0xed]
            .iter()
            .cycle()
            .take(31)
            .copied()
            .chain([7])
            .collect::<Vec<u8>>();
        let key = STANDARD.encode(key);
        fs::write(path("store.key"), &key).unwrap();
        fs::set_permissions(path("store.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        search
            .canaries
            .push(Canary::of("the key of the store", key.trim_end_matches('=')));
        let rules = "admin: [{token: root, roles: [administer]}]";
        fs::write(
            path("config.yaml"),
            format!("access: {{{rules}, tokens_file: {}}}\n", text("tokens")),
        )
        .unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let args = [
            "--config",
            &text("config.yaml"),
            "--log-level",
            "trace",
            "--log-format",
            format,
            "--store-key-file",
            &text("store.key"),
            "--audit-file",
            &text("audit.log"),
            "--rest-enabled",
            "--registry-enabled",
            "--http-tls-cert",
            &text("port.pem"),
            "--http-tls-key",
            &text("port.key"),
        ];
        let process = Process::start_with(&path("data"), &args, Stdio::from(log));
        Self {
            process,
            runtime: Runtime::new().unwrap(),
            authority,
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let token = self.path("root");
        self.process
            .run(&[args, &["--token-file", token.to_str().unwrap()]].concat())
    }

    /// Runs a command in each of its output formats, and searches the output.
    fn say(&self, search: &mut Search, codes: &[i32], args: &[&str]) {
        for format in ["table", "json", "yaml"] {
            let ran = self.run(&[args, &["-o", format]].concat());
            assert!(codes.contains(&ran.code), "{args:?}: {ran:?}");
            search.look_at(&args.join(" "), &ran);
        }
    }

    fn envoy(&self, id: &str) -> FakeEnvoy {
        let addresses = self.process.addresses();
        self.runtime.block_on(FakeEnvoy::connect(addresses, "demo", id))
    }

    /// Head and body of the response of the HTTP port.
    fn http(&self, method: Method, path: &str, body: &str) -> (u16, Vec<u8>) {
        let address = self.process.address("http");
        let authority = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        self.runtime.block_on(async {
            let client = Client::builder()
                .no_proxy()
                .add_root_certificate(authority)
                .build()
                .unwrap();
            let request = client
                .request(method, format!("https://{address}{path}"))
                .header("content-type", "application/json")
                .body(body.to_owned());
            let response = request.send().await.unwrap();
            let (status, head) = (response.status().as_u16(), format!("{:?}", response.headers()));
            let body = response.bytes().await.unwrap();
            (status, [head.as_bytes(), &body].concat())
        })
    }
}

/// A watch that ends with its command.
struct Watching(std::process::Child);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn no_secret_turns_up_in_a_log_of_json() {
    let fields = Fields::new();
    let mut search = Search {
        canaries: fields.canaries.clone(),
        found: Vec::new(),
        searched: 0,
    };
    let stage = Stage::new(&mut search, "json");
    let all = stage.file("all.yaml", fields.document());
    let replaced = stage.run(&["replace", "-g", "demo", "-f", &all, "--allow-warnings"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    for (canary, document) in fields.single().take(4) {
        for (number, (_, faulty)) in faults(canary, &document).iter().enumerate() {
            stage.file(&format!("faulty/{number}.yaml"), faulty);
        }
        let dir = stage.path("faulty");
        let ran = stage.run(&["replace", "-g", "faulty", "-f", dir.to_str().unwrap()]);
        assert_eq!(ran.code, 3, "{ran:?}");
    }
    nodes(&stage, &mut search, &fields, "1");
    http(&stage, &mut search, &fields);
    stage.process.signal("-TERM");
    let log = settled(&stage.path("log"));
    let mut refused = 0;
    for line in String::from_utf8(log.clone()).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        refused += usize::from(line["message"] == "NACK");
    }
    assert_eq!(refused, 1, "the words of the node are in the log");
    search.look("the log", &log);
    search.expect_nothing();
}

#[test]
fn no_secret_turns_up_where_nobody_asked_for_it() {
    let fields = Fields::new();
    let mut search = Search {
        canaries: fields.canaries.clone(),
        found: Vec::new(),
        searched: 0,
    };
    let stage = Stage::new(&mut search, "text");
    let token = stage.path("root");
    let admin = format!("http://{}", stage.process.address("admin"));
    let mut watching = Watching(
        chancery(&[
            "watch",
            "-o",
            "json",
            "--admin",
            &admin,
            "--token-file",
            token.to_str().unwrap(),
        ])
        .stdout(fs::File::create(stage.path("watched")).unwrap())
        .stderr(fs::File::create(stage.path("watched.err")).unwrap())
        .spawn()
        .unwrap(),
    );

    let document = fields.document();
    let all = stage.file("all.yaml", &document);
    let replaced = stage.run(&["replace", "-g", "demo", "-f", &all, "-m", "first", "--allow-warnings"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    search.look_at("replace", &replaced);
    let shown = stage.run(&["get", "-g", "demo", "-o", "json", "--show-secrets"]);
    for canary in &fields.canaries {
        assert!(
            canary.found_in(shown.stdout.as_bytes()).is_some(),
            "{} is found where it is",
            canary.what
        );
    }
    let other = Fields::new();
    search.canaries.extend(other.canaries.iter().cloned());
    let changed = stage.file("other.yaml", other.document());
    stage.say(&mut search, &[0, 1], &["diff", "-g", "demo", "-f", &changed]);
    stage.say(
        &mut search,
        &[0],
        &["replace", "-g", "demo", "-f", &changed, "--dry-run"],
    );
    stage.say(
        &mut search,
        &[0],
        &["replace", "-g", "demo", "-f", &changed, "--allow-warnings"],
    );
    stage.say(&mut search, &[1], &["diff", "-g", "demo", "--revision", "1..2"]);
    stage.say(&mut search, &[0], &["rollback", "-g", "demo", "--to", "1"]);
    stage.say(&mut search, &[0], &["get", "-g", "demo"]);
    stage.say(&mut search, &[0], &["get", "-g", "demo", "--revision", "2"]);
    stage.say(&mut search, &[0], &["get"]);
    stage.say(&mut search, &[0], &["history", "-g", "demo"]);
    stage.say(&mut search, &[0], &["history", "-g", "demo", "--revision", "2"]);
    stage.say(&mut search, &[0], &["validate", "-f", &all]);

    faulty(&stage, &mut search, &fields);
    nodes(&stage, &mut search, &fields, "3");
    http(&stage, &mut search, &fields);

    // The stored files.
    let out = stage.path("exported");
    let exported = stage.run(&["export", "--out", out.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let backup = stage.path("backup");
    let saved = stage.run(&["backup", "--out", backup.to_str().unwrap()]);
    assert_eq!(saved.code, 0, "{saved:?}");
    watching.0.kill().unwrap();
    watching.0.wait().unwrap();
    for kept in [
        "exported",
        "backup",
        "data",
        "audit.log",
        "watched",
        "watched.err",
        "tokens",
    ] {
        let files = files_in(&stage.path(kept));
        assert!(!files.is_empty(), "{kept}");
        for file in files {
            search.look(&file.display().to_string(), &fs::read(&file).unwrap());
        }
    }
    assert!(
        fs::metadata(stage.path("watched")).unwrap().len() > 0,
        "the watch saw something"
    );
    assert!(
        fs::metadata(stage.path("audit.log")).unwrap().len() > 0,
        "something was audited"
    );
    stage.process.signal("-TERM");
    let log = settled(&stage.path("log"));
    assert!(log.len() > 100_000, "the log is talkative: {}", log.len());
    search.look("the log", &log);
    assert!(search.searched > 1_000_000, "{}", search.searched);
    search.expect_nothing();
}

/// Publishes every secret with every fault, by the command line and to the server.
fn faulty(stage: &Stage, search: &mut Search, fields: &Fields) {
    for (at, (canary, document)) in fields.single().enumerate() {
        let faults = faults(canary, &document);
        for (number, (what, faulty)) in faults.iter().enumerate() {
            let name = what.replace(' ', "-");
            stage.file(&format!("faulty/{at}/{number}-{name}.yaml"), faulty);
            stage.file(&format!("faulty/{at}/{number}-{name}.json"), faulty.replace('\'', "\""));
        }
        let dir = stage.path(&format!("faulty/{at}"));
        let dir = dir.to_str().unwrap();
        for format in ["table", "json", "sarif"] {
            let ran = Ran::from(chancery(&["validate", "-f", dir, "-o", format]).output().unwrap());
            assert_eq!(ran.code, 3, "{ran:?}");
            search.look_at(&format!("validate -o {format} of {}", canary.what), &ran);
            // Every fault is reported.
            let told = [ran.stdout, ran.stderr].concat();
            let untold: Vec<_> = faults
                .iter()
                .filter(|(what, _)| !told.contains(&what.replace(' ', "-")))
                .collect();
            assert!(untold.len() <= 3, "{}: {untold:?}", canary.what);
        }
        let ran = stage.run(&["replace", "-g", "faulty", "-f", dir, "--dry-run"]);
        assert_eq!(ran.code, 3, "{ran:?}");
        search.look_at(&format!("replace of {}", canary.what), &ran);
    }
}

/// Runs nodes, which refuse resources and quote them.
fn nodes(stage: &Stage, search: &mut Search, fields: &Fields, current: &str) {
    let names: Vec<&str> = fields.names.iter().map(String::as_str).collect();
    let mut good = stage.envoy("good");
    let mut bad = stage.envoy("bad");
    stage.runtime.block_on(async {
        for envoy in [&mut good, &mut bad] {
            let clusters = envoy.next().await;
            envoy.ack(&clusters).await;
            envoy.ask(SECRET, &names, None).await;
            let secrets = envoy.next().await;
            assert_eq!(secrets.resources.len(), names.len());
            envoy.ack(&secrets).await;
            envoy.ask(ROUTE, &["r"], None).await;
        }
        let routes = good.next().await;
        good.ack(&routes).await;
        // Quoted as an Envoy quotes a refused resource.
        let routes = bad.next().await;
        let quoted = fields.canaries.iter().map(|canary| quotation(&canary.text));
        // For secrets that the node was sent, the bare value suffices.
        let bare = fields.values.iter().map(|value| format!("cannot use {value} at all"));
        let words: Vec<String> = quoted.chain(bare).collect();
        bad.nack(&routes, &words.join(" ")).await;
    });
    let begun = Instant::now();
    loop {
        let told = stage.run(&["status", "bad"]);
        if told.stdout.contains("NACK") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for args in [
        &["status"][..],
        &["status", "good"],
        &["status", "bad"],
        &["status", "--sources"],
    ] {
        stage.say(search, &[0], args);
    }
    stage.say(search, &[0], &["history", "-g", "demo", "--revision", current]);
    let waited = stage.run(&["wait", "-g", "demo", "--timeout", "1s"]);
    search.look_at("wait", &waited);
    let url = format!("http://{}", stage.process.address("admin"));
    let token = fs::read_to_string(stage.path("root")).unwrap();
    let bearer: AsciiMetadataValue = format!("Bearer {}", token.trim()).parse().unwrap();
    let statuses = stage.runtime.block_on(async {
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut client = ClientStatusDiscoveryServiceClient::new(channel);
        let mut request = tonic::Request::new(ClientStatusRequest::default());
        request.metadata_mut().insert("authorization", bearer);
        client.fetch_client_status(request).await.unwrap().into_inner()
    });
    assert_eq!(statuses.config.len(), 2);
    search.look("CSDS", &statuses.encode_to_vec());
    search.look("CSDS as text", format!("{statuses:?}").as_bytes());
}

/// A DataSource as `DebugString` writes it, after a message.
fn quotation(text: &str) -> String {
    let escaped = text.replace('\n', "\\n");
    format!("Proto constraint validation failed: private_key {{ inline_string: \"{escaped}\" }}")
}

/// Requests every page of the HTTP port, and sends invalid polls.
fn http(stage: &Stage, search: &mut Search, fields: &Fields) {
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/endpoints",
        "/v3/discovery:secrets",
        "/no/such",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let (_, body) = stage.http(method.clone(), path, "{}");
            search.look(&format!("{method} {path}"), &body);
        }
    }
    let node = r#""node": {"id": "poller", "cluster": "demo"}"#;
    let name = &fields.names[0];
    let poll = |more: &str| format!("{{{node}, \"resource_names\": [\"{name}\"]{more}}}");
    let (status, body) = stage.http(Method::POST, "/v3/discovery:secrets", &poll(""));
    assert!(
        status == 200 && fields.canaries[0].found_in(&body).is_some(),
        "the node is given its secret"
    );
    for body in [
        poll(", \"type_url\": \"x\""),
        poll(", \"no_such\": 1"),
        poll(", \"version_info\": 1, \"error_detail\": {\"message\": \"no\"}"),
        poll("").replace("demo", "nobody"),
        poll("")[..40].to_owned(),
    ] {
        let (status, body) = stage.http(Method::POST, "/v3/discovery:secrets", &body);
        if status != 200 {
            search.look("a poll that is wrong", &body);
        }
    }
    stage.say(search, &[0], &["status", "poller"]);
}

fn files_in(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| files_in(&path)).collect()
}

/// The content of a file once nobody writes to it any more.
fn settled(path: &Path) -> Vec<u8> {
    let mut before = usize::MAX;
    let begun = Instant::now();
    loop {
        let mut content = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut content).unwrap();
        if content.len() == before {
            return content;
        }
        assert!(begun.elapsed() < PATIENCE);
        before = content.len();
        std::thread::sleep(Duration::from_millis(500));
    }
}
