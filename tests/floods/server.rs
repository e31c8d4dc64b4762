//! The server: the real binary in its own process, so that its memory can be measured.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::fleet::{PATIENCE, Seen};

/// Time between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// `chancery serve`.
pub(crate) struct Server {
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "--ephemeral", "--log-level=error", "--rest-enabled=true"])
            .args(["xds", "admin", "http", "probe"].map(|port| format!("--{port}-addr=127.0.0.1:0")))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(4);
        let address = |line: String| {
            let (name, address) = line.split_once(" listening on ").expect("an address");
            (name.to_owned(), address.to_owned())
        };
        let addresses = lines.map(|line| address(line.unwrap())).collect();
        Self { child, addresses }
    }

    pub(crate) fn address(&self, port: &str) -> &str {
        &self.addresses[port]
    }

    /// Requests `/livez` repeatedly, on new connections.
    pub(crate) async fn probe_until(&self, until: Instant) -> Seen {
        let mut seen = Seen::default();
        while Instant::now() < until {
            let begun = Instant::now();
            let answer = timeout(PATIENCE, probe(self.address("probe"))).await;
            let answer = answer.expect("a probe is answered").expect("a probe is let in");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            seen.note(begun.elapsed());
            sleep(PROBE_EVERY).await;
        }
        seen
    }

    /// Sends SIGTERM, and returns the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// The process's highest resident memory so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let line = line.expect("the server is alive");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn probe(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
