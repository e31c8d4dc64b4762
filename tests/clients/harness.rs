//! The real binary, real gRPC backends, and client programs that print a line with the result of each call.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::ports::free_address;

/// Long enough for a loaded machine, short enough to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `chancery serve`; after a restart it has the same addresses and the same data.
pub(crate) struct Chancery {
    dir: tempfile::TempDir,
    process: Process,
    flags: Vec<String>,
    pub(crate) xds: SocketAddr,
    admin: SocketAddr,
    http: SocketAddr,
}

/// The addresses of the ports: xDS, admin, HTTP.
type Addresses = [SocketAddr; 3];

/// A child process that ends with the test.
pub(crate) struct Process(Child);

/// A gRPC server that answers with its name.
pub(crate) struct Backend {
    _process: Process,
    pub(crate) port: u16,
}

/// A client program, calling.
pub(crate) struct Caller {
    _process: Process,
    lines: Receiver<String>,
    /// The output so far, for the message of a failure.
    heard: Vec<String>,
}

// === impl Chancery ===

impl Chancery {
    pub(crate) fn start() -> Self {
        Self::with(Vec::new())
    }

    /// Starts Chancery with additional flags.
    pub(crate) fn with(flags: Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The addresses are chosen here, since a restart must use the same ones.
        let (process, [xds, admin, http]) = serve(dir.path(), free_address(), free_address(), &flags);
        Self {
            dir,
            process,
            flags,
            xds,
            admin,
            http,
        }
    }

    /// Waits until a series of `/metrics` is above zero.
    #[track_caller]
    pub(crate) fn wait_counted(&self, series: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(series).is_none_or(|count| count == 0.0) {
            assert!(Instant::now() < deadline, "never counted: {series}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Kills the process, like a crash.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn start_again(&mut self) {
        (self.process, [self.xds, self.admin, self.http]) = serve(self.dir.path(), self.xds, self.admin, &self.flags);
    }

    /// Publishes exactly these resources for the group.
    #[track_caller]
    pub(crate) fn replace(&self, group: &str, resources: &Value) {
        let document = json!({ "resources": resources }).to_string();
        let (code, said) = self.run(&["replace", "-g", group, "-f", "-", "--allow-removals"], &document);
        assert_eq!(code, Some(0), "{said}");
    }

    /// The output of `chancery status NODE`, or `None` while the node is unknown.
    pub(crate) fn status(&self, node: &str) -> Option<Value> {
        let (code, said) = self.run(&["status", node, "-o", "json"], "");
        (code == Some(0)).then(|| serde_json::from_str(&said).unwrap())
    }

    /// Waits until the node's status is as wanted.
    #[track_caller]
    pub(crate) fn wait_for(&self, node: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(node);
            if let Some(status) = status.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            assert!(Instant::now() < deadline, "waited for {what}; {node} is {status:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the node ACKed the newest version of each of these types, and refuses nothing.
    #[track_caller]
    pub(crate) fn wait_synced(&self, node: &str, types: usize) {
        self.wait_for(node, "every type to be ACKed", |status| {
            let rows = status["types"].as_array().unwrap();
            let synced = rows.iter().filter(|row| row["state"] == "STATE_SYNCED").count();
            status["connected"] == true && synced == types && rows.iter().all(|row| row["nack_total"] == 0)
        });
    }

    fn run(&self, args: &[&str], stdin: &str) -> (Option<i32>, String) {
        let mut child = chancery(args)
            .env("CHANCERY_ADMIN", format!("http://{}", self.admin))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }
}

/// Starts the binary and reads the addresses of its ports.
fn serve(data: &Path, xds: SocketAddr, admin: SocketAddr, flags: &[String]) -> (Process, Addresses) {
    let mut child = chancery(&["serve", "--http-addr=127.0.0.1:0", "--lrs-interval=1s"])
        .arg(format!("--data-dir={}", data.join("data").display()))
        .arg(format!("--xds-addr={xds}"))
        .arg(format!("--admin-addr={admin}"))
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Process(child);
    let addresses: Vec<SocketAddr> = lines
        .take(3)
        .map(|line| {
            let line = line.expect("chancery says where it listens");
            line.split_once(" listening on ")
                .expect("an address")
                .1
                .parse()
                .unwrap()
        })
        .collect();
    (process, addresses.try_into().expect("all three ports are bound"))
}

/// The real binary, without the caller's environment variables.
fn chancery(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

// === impl Process ===

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Backend ===

impl Backend {
    pub(crate) fn start(name: &str) -> Self {
        let mut command = Command::new(tool("venv/bin/python"));
        command
            .arg(source("python/backend.py"))
            .arg(name)
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let mut line = String::new();
        let stdout = process.0.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the backend prints its port");
        Self {
            _process: process,
            port,
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Starts a client program, and reads its output as it is written.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::inherit()));
        let stdout = process.0.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            _process: process,
            lines,
            heard: Vec::new(),
        }
    }

    /// Waits for the first successful call, which this backend must answer. Earlier calls may fail, since the client
    /// may not know the address yet.
    #[track_caller]
    pub(crate) fn first_answer(&mut self, backend: &str) {
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let line = self.next();
            if line.starts_with("ok ") {
                break line;
            }
            assert!(Instant::now() < deadline, "no call succeeds: {:#?}", self.heard);
        };
        assert_eq!(answer, format!("ok {backend}"), "{:#?}", self.heard);
    }

    /// Asserts that none of the next calls succeeds.
    #[track_caller]
    pub(crate) fn fails(&mut self) {
        let mut failed = 0;
        while failed < 2 {
            let line = self.next();
            assert!(!line.starts_with("ok "), "a call succeeds: {:#?}", self.heard);
            failed += usize::from(line.starts_with("error "));
        }
    }

    /// Waits until this backend answers the calls. No call may fail meanwhile.
    #[track_caller]
    pub(crate) fn answers_of(&mut self, backend: &str) {
        let wanted = format!("ok {backend}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.next();
            assert!(line.starts_with("ok "), "a call failed: {:#?}", self.heard);
            if line == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "never {wanted}: {:#?}", self.heard);
        }
    }

    /// Asserts that this backend answers the next calls.
    #[track_caller]
    pub(crate) fn stays_with(&mut self, backend: &str, calls: usize) {
        let wanted = format!("ok {backend}");
        for _ in 0..calls {
            assert_eq!(self.next(), wanted, "{:#?}", self.heard);
        }
    }

    /// The next line of the output.
    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            panic!("the client ended or said nothing any more: {:#?}", self.heard);
        };
        self.heard.push(line.clone());
        line
    }
}

/// A program that `make tools` installed.
pub(crate) fn tool(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(path);
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

/// A source file of a client.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}
