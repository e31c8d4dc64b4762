//! What the process keeps in its memory of the files with its own keys: what it signs and seals with, and no copy of the files.

use std::{fs, io::Read as _, os::unix::fs::FileExt as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    authority::Authority,
    harness::{Ran, clusters},
    process::Process,
};

/// Everything that the process may write to: heap, stacks, globals.
fn memory_of(process: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let regions = maps.lines().filter(|line| line.contains(" rw"));
    let read = |line: &str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What was unmapped meanwhile holds nothing.
        memory.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes)
    };
    regions.filter_map(read).collect()
}

fn is_found(memory: &[Vec<u8>], needle: &[u8]) -> bool {
    let first = needle[0];
    memory.iter().any(|region| {
        let mut rest = &region[..];
        while let Some(at) = rest.iter().position(|byte| *byte == first) {
            if rest[at..].starts_with(needle) {
                return true;
            }
            rest = &rest[at + 1..];
        }
        false
    })
}

#[test]
fn files_with_keys_are_not_kept_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let port = Authority::new().server();
    port.write(dir.path(), "port");
    let mut key = [0; 32];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
    let encoded = STANDARD.encode(key);
    fs::write(path("store.key"), format!("# the only one\n{encoded}\n")).unwrap();
    fs::set_permissions(path("store.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let (cert, port_key, store_key) = (path("port.pem"), path("port.key"), path("store.key"));
    let args = [
        "--http-tls-cert",
        &cert,
        "--http-tls-key",
        &port_key,
        "--store-key-file",
        &store_key,
    ];
    let process = Process::start_with(&dir.path().join("data"), &args, Stdio::null());
    let file = path("marker.yaml");
    fs::write(&file, clusters(&["marker-of-this-test"])).unwrap();
    let published: Ran = process.run(&["replace", "-g", "demo", "-f", &file]);
    assert_eq!(published.code, 0, "{published:?}");

    let memory = memory_of(process.pid());
    assert!(is_found(&memory, b"marker-of-this-test"), "what is there is found");
    let lines: Vec<&str> = port.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(lines.concat()).unwrap();
    for (what, needle) in [
        ("the PEM of the port's key", lines[0].as_bytes()),
        // What is signed with is the number alone; this is the end of what stands before it, and its beginning.
        ("the encoding of the port's key", &der[29..52]),
        ("the line of the store's key", encoded.as_bytes()),
        ("the store's key", &key),
    ] {
        assert!(!is_found(&memory, needle), "{what} is kept in memory");
    }
}
