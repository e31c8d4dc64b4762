//! The memory of a large publish (V13) is bounded by a ratio to its bytes and an amount per resource. The documents, their
//! trees, the encoded resources and their records for the store are in memory at once.

use std::{fmt::Write as _, fs, process::Stdio};

use crate::{
    harness::{CLUSTER, Ran},
    process::Process,
};

/// The most bytes of memory per byte of a document.
const OF_A_BYTE: u64 = 8;
/// The most additional bytes of memory per resource.
const OF_A_RESOURCE: u64 = 8 * 1024;

/// The peak of the process's resident memory.
fn peak(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("a line of the peak");
    kib.parse::<u64>().unwrap() * 1024
}

/// Publishes clusters, each with a text of this many bytes, and compares the memory with the bounds.
fn publish(resources: u64, text: usize) {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_with(&dir.path().join("data"), &[], Stdio::null());
    let idle = peak(&process);
    let (documents, text) = (dir.path().join("documents"), "x".repeat(text));
    fs::create_dir(&documents).unwrap();
    let mut bytes = 0;
    for half in [0..resources / 2, resources / 2..resources] {
        let mut document = String::from("resources:\n");
        for number in half.clone() {
            let name = format!("name: c{number}, connect_timeout: 1s, alt_stat_name: {text}");
            writeln!(document, "- {{\"@type\": {CLUSTER}, {name}}}").unwrap();
        }
        bytes += document.len() as u64;
        fs::write(documents.join(format!("{}.yaml", half.start)), document).unwrap();
    }
    let ran: Ran = process.run(&["replace", "-g", "demo", "-f", documents.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let taken = peak(&process) - idle;
    assert!(taken > bytes, "{taken} for {bytes}: all of it was there");
    let most = bytes * OF_A_BYTE + resources * OF_A_RESOURCE;
    assert!(
        taken <= most,
        "{taken} for {bytes} bytes in {resources} resources, more than {most}"
    );
}

#[test]
fn publish_of_a_hundred_megabytes_takes_no_more_than_eight_times_as_much() {
    publish(2000, 50_000);
}

#[test]
fn publish_of_many_small_resources_takes_a_little_for_each() {
    publish(20_000, 10);
}
