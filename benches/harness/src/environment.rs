//! The environment of a run: machine, binaries and time.

use std::{fs, path::Path, process::Command};

use crate::{peer::Machines, results::Environment};

/// Describes this machine, these binaries and the current time.
pub(crate) fn describe(machines: &Machines) -> Environment {
    Environment {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
        machine: machine(),
        kernel: said("uname", &["-sr"]),
        versions: versions(machines),
        pinned: machines.cores.is_some(),
    }
}

fn versions(machines: &Machines) -> Vec<String> {
    let chancery = machines.chancery.display().to_string();
    let commit = said("git", &["describe", "--always", "--dirty", "--exclude=*"]);
    let mut versions = vec![
        format!("{} at {commit}", said(&chancery, &["--version"])),
        said("rustc", &["--version"]),
    ];
    if let Some(go_peer) = &machines.go_peer {
        versions.push(said(&go_peer.display().to_string(), &["version"]));
    }
    let lock = include_str!("../../Cargo.lock");
    for name in ["tonic", "h2", "tokio", "prost"] {
        let entry = format!("name = \"{name}\"\nversion = \"");
        if let Some(version) = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next()) {
            versions.push(format!("{name} {version}"));
        }
    }
    versions
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gigabytes = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0 / 1024.0);
    format!("{model}, {cores} cores, {gigabytes:.0} GiB")
}

/// The first line of a program's output, or empty if the program does not exist.
fn said(program: &str, arguments: &[&str]) -> String {
    let name = Path::new(program).file_name().unwrap_or_default().display();
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().unwrap_or_default().to_owned()
        }
        Ok(_) | Err(_) => format!("{name}: unknown"),
    }
}
