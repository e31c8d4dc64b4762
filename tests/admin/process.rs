//! The process: settings, output, probes, signals and restarts.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use chancery::app::Addresses;
use tokio::runtime::Runtime;

use crate::harness::{PATIENCE, Ran, chancery, clusters};

/// `chancery serve` on free ports.
pub(crate) struct Process {
    child: Child,
    /// Name → address, as printed.
    addresses: BTreeMap<String, String>,
}

impl Process {
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[], Stdio::null())
    }

    /// Starts the process with further arguments, and with the log on `log`.
    pub(crate) fn start_with(data_dir: &Path, args: &[&str], log: Stdio) -> Self {
        let mut child = chancery(&["serve", "--data-dir", data_dir.to_str().unwrap()])
            .args(args)
            .args([
                "--xds-addr=127.0.0.1:0",
                "--admin-addr=127.0.0.1:0",
                "--http-addr=127.0.0.1:0",
            ])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
        let address = |line: String| {
            let (name, address) = line.split_once(" listening on ").expect("an address");
            (name.to_owned(), address.to_owned())
        };
        let addresses = lines.map(|line| address(line.unwrap())).collect();
        Self { child, addresses }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let admin = format!("http://{}", self.addresses["admin"]);
        chancery(args).env("CHANCERY_ADMIN", admin).output().unwrap().into()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self, name: &str) -> std::net::SocketAddr {
        self.addresses[name].parse().unwrap()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            xds: self.address("xds"),
            admin: self.address("admin"),
            http: self.address("http"),
            probe: None,
        }
    }

    /// Status and body of a path of the HTTP port, over a new connection.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.addresses["http"]);
        Runtime::new().unwrap().block_on(async {
            let response = reqwest::get(url).await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn sigterm_ends_it_well_and_a_restart_serves_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    std::fs::write(&file, clusters(&["a"])).unwrap();
    let data = dir.path().join("data");

    let process = Process::start(&data);
    assert_eq!(process.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(process.get("/livez").0, 200);
    assert_eq!(process.get("/").0, 404);
    let replaced = process.run(&["replace", "-g", "demo", "-f", file.to_str().unwrap()]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    let served = process.run(&["get", "-g", "demo", "-o", "json"]);
    let second = chancery(&["serve", "--data-dir", data.to_str().unwrap()])
        .args([
            "--xds-addr=127.0.0.1:0",
            "--admin-addr=127.0.0.1:0",
            "--http-addr=127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let second = Ran::from(second);
    assert_eq!(second.code, 6, "{second:?}");
    assert!(second.stderr.contains("locked by another process"), "{second:?}");
    let started = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.end(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10));

    let process = Process::start(&data);
    let again = process.run(&["get", "-g", "demo", "-o", "json"]);
    assert_eq!((again.code, again.stdout), (0, served.stdout));
    process.signal("-INT");
    assert_eq!(process.end(), Some(0));
}

#[test]
fn settings_that_cannot_be_run_with_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.yaml");
    std::fs::write(&file, "ephemeral: true\nfleet:\n  max_nodez: 1\n").unwrap();
    let config = file.to_str().unwrap();
    let run = |args: &[&str]| Ran::from(chancery(args).output().unwrap());
    let unknown = run(&["serve", "--check-config", "--config", config]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown
            .stderr
            .contains(&format!("{config}:3:3: fleet.max_nodez: unknown field")),
        "{unknown:?}"
    );
    let neither = run(&["serve", "--check-config"]);
    assert_eq!(neither.code, 0, "{neither:?}");
    assert!(neither.stdout.contains("ephemeral: true"), "{neither:?}");
    assert_eq!(run(&["serve", "--ephemeral", "--data-dir", "x"]).code, 2);
    assert_eq!(run(&["serve", "--ephemeral", "--config", "missing.yaml"]).code, 2);
    assert_eq!(run(&["serve", "--ephemeral", "--xds-addr", "nowhere"]).code, 2);
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = occupied.local_addr().unwrap().to_string();
    let taken = run(&["serve", "--ephemeral", "--xds-addr", &taken]);
    assert_eq!(taken.code, 6);
    assert!(taken.stderr.contains("--xds-addr"), "{taken:?}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.yaml");
    std::fs::write(
        &file,
        "ephemeral: true\nxds_addr: 127.0.0.1:1\nadmin_addr: 127.0.0.1:1\nhttp_addr: 127.0.0.1:1\n",
    )
    .unwrap();
    let output = chancery(&["serve", "--check-config", "--xds-addr", "127.0.0.1:3"])
        .env("CHANCERY_CONFIG", &file)
        .env("CHANCERY_XDS_ADDR", "127.0.0.1:2")
        .env("CHANCERY_ADMIN_ADDR", "127.0.0.1:2")
        .output()
        .unwrap();
    let printed = Ran::from(output);
    assert_eq!(printed.code, 0, "{printed:?}");
    for line in [
        "xds_addr: 127.0.0.1:3",
        "admin_addr: 127.0.0.1:2",
        "http_addr: 127.0.0.1:1",
    ] {
        assert!(printed.stdout.replace('"', "").contains(line), "{line}: {printed:?}");
    }
}

/// The names in the help of `serve`: `(flag, environment variable)`.
fn settings_in_help() -> Vec<(String, String)> {
    let help = Ran::from(chancery(&["serve", "--help"]).env("COLUMNS", "400").output().unwrap()).stdout;
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        if let Some((_, rest)) = line
            .split_once("--")
            .filter(|(before, _)| before.trim_start_matches("-o,").trim().len() <= 3)
        {
            let name = rest.split([' ', '=', '[', '<']).next().unwrap();
            if name != "help" {
                flags.push((format!("--{name}"), String::new()));
            }
        }
        if let Some((_, rest)) = line.split_once("[env: ") {
            let name = rest.split(['=', ']']).next().unwrap();
            flags.last_mut().expect("a flag before its variable").1 = name.to_owned();
        }
    }
    assert!(flags.len() > 20, "{help}");
    flags
}

#[test]
fn every_setting_is_documented() {
    let docs = include_str!("../../docs/configuration.md");
    for (flag, variable) in settings_in_help() {
        assert!(
            docs.contains(&format!("`{flag}")),
            "{flag} is not in docs/configuration.md"
        );
        assert!(
            docs.contains(&format!("`{variable}`")) || variable.is_empty(),
            "{variable} is not in docs/configuration.md"
        );
    }
    let printed = Ran::from(chancery(&["serve", "--ephemeral", "--check-config"]).output().unwrap()).stdout;
    let mut section = String::new();
    // The items of a list are values, not settings.
    for line in printed.lines().filter(|line| !line.trim_start().starts_with("- ")) {
        let (key, value) = line.split_once(':').unwrap();
        if !line.starts_with(' ') {
            section = if value.is_empty() {
                format!("{key}.")
            } else {
                String::new()
            };
        }
        let path = if line.starts_with(' ') {
            format!("{section}{}", key.trim())
        } else {
            key.to_owned()
        };
        let whole = !value.is_empty();
        assert!(
            !whole || docs.contains(&format!("`{path}`")),
            "{path} is not in docs/configuration.md"
        );
    }
}
