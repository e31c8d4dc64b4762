//! Copies of keys and secrets in the memory of the process. It keeps the numbers with which it signs and seals, and the snapshot;
//! all other copies are zeroed before their memory is freed.

use std::{
    fs,
    io::Read as _,
    ops::Range,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memmem;

use crate::{
    authority::{Authority, Issued},
    harness::{PATIENCE, Ran, clusters},
    process::Process,
};

/// The size of a page, of its entry in `pagemap`, and the bit of a page that is in memory.
const PAGE: u64 = 4096;
const ENTRY: u64 = 8;
const PRESENT: u64 = 1 << 63;

/// In an EC key in PKCS #8: the end of the header before the private number, and the beginning of the number. A signer keeps
/// only the number, so a copy with the header is a copy of the file.
const ENCODED: Range<usize> = 29..52;

const SECRET: &str = "'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// All pages that a process has written to: heap, stacks, globals. Reserved but untouched pages are excluded.
struct Memory(Vec<Vec<u8>>);

impl Memory {
    fn of(process: &Process) -> Self {
        let path = |name: &str| format!("/proc/{}/{name}", process.pid());
        let [memory, pages] = ["mem", "pagemap"].map(|name| fs::File::open(path(name)).unwrap());
        let mut runs = Vec::new();
        for line in fs::read_to_string(path("maps")).unwrap().lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            if !rest.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
            let mut entries = vec![0; length((to - from) / PAGE * ENTRY)];
            // A region that was unmapped meanwhile is skipped, here and below.
            if pages.read_exact_at(&mut entries, from / PAGE * ENTRY).is_err() {
                continue;
            }
            let is_present = |entry: &[u8]| u64::from_le_bytes(entry.try_into().unwrap()) & PRESENT != 0;
            let present: Vec<bool> = entries.chunks_exact(length(ENTRY)).map(is_present).collect();
            let mut at = from;
            for run in present.chunk_by(|one, next| one == next) {
                let size = run.len() as u64 * PAGE;
                let mut bytes = vec![0; if run[0] { length(size) } else { 0 }];
                if memory.read_exact_at(&mut bytes, at).is_ok() {
                    runs.push(bytes);
                }
                at += size;
            }
        }
        Self(runs)
    }

    /// The number of places with these bytes.
    fn copies(&self, bytes: &[u8]) -> usize {
        self.0.iter().map(|run| memmem::find_iter(run, bytes).count()).sum()
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

/// The first line of a PEM, and the encoded bytes of its lines.
fn encodings(pem: &str) -> (&str, Vec<u8>) {
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    (lines[0], STANDARD.decode(lines.concat()).unwrap())
}

/// Draws a key for the store, and writes it to a file.
fn store_key(file: &str) -> [u8; 32] {
    let mut key = [0; 32];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
    fs::write(file, format!("# the only one\n{}\n", STANDARD.encode(key))).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    key
}

#[test]
fn files_with_keys_are_not_kept_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [first, second] = [(), ()].map(|()| Authority::new().server());
    first.write(dir.path(), "port");
    let key = store_key(&path("store.key"));
    let (cert, port_key, key_file) = (path("port.pem"), path("port.key"), path("store.key"));
    let args = [
        "--xds-tls-cert",
        &cert,
        "--xds-tls-key",
        &port_key,
        "--store-key-file",
        &key_file,
    ];
    let process = Process::start_with(&dir.path().join("data"), &args, Stdio::null());
    let file = path("marker.yaml");
    fs::write(&file, clusters(&["marker-of-this-test"])).unwrap();
    let published: Ran = process.run(&["replace", "-g", "demo", "-f", &file]);
    assert_eq!(published.code, 0, "{published:?}");

    let expect_none = |port: &[&Issued]| {
        let memory = Memory::of(&process);
        assert!(
            memory.copies(b"marker-of-this-test") > 0,
            "the search finds a known text"
        );
        for port in port {
            let (line, der) = encodings(&port.key);
            assert_eq!(memory.copies(line.as_bytes()), 0, "the PEM of the port's key");
            assert_eq!(memory.copies(&der[ENCODED]), 0, "the encoding of the port's key");
        }
        let line = STANDARD.encode(key);
        assert_eq!(memory.copies(line.as_bytes()), 0, "the line of the store's key");
        assert_eq!(memory.copies(&key), 0, "the store's key");
    };
    expect_none(&[&first]);

    // After an exchange of the files neither the new nor the old key leaves a copy.
    second.write(dir.path(), "port");
    let begun = Instant::now();
    while !process
        .get("/metrics")
        .1
        .contains("xds_tls_renewals_total{port=\"xds\"} 1")
    {
        assert!(begun.elapsed() < PATIENCE, "the files are taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    expect_none(&[&first, &second]);
}

#[test]
fn secrets_of_a_sealed_store_are_in_memory_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let drawn = store_key(&path("store.key"));
    let key_file = path("store.key");
    let start = || {
        Process::start_with(
            &dir.path().join("data"),
            &["--store-key-file", &key_file],
            Stdio::null(),
        )
    };
    let issued = Authority::new().server();
    let (line, der) = encodings(&issued.key);
    let word = format!(
        "canary-{:x}-{:x}",
        drawn[0],
        u64::from_le_bytes(drawn[8..16].try_into().unwrap())
    );
    let quoted = |pem: &str| format!("{{inline_string: \"{}\"}}", pem.replace('\n', "\\n"));
    let document = format!(
        "resources:\n- {{{SECRET}, name: key, tls_certificate: {{certificate_chain: {}, private_key: {}}}}}\n\
         - {{{SECRET}, name: word, generic_secret: {{secret: {{inline_string: {word}}}}}}}\n",
        quoted(&issued.cert),
        quoted(&issued.key)
    );
    let file = path("secrets.yaml");
    fs::write(&file, document).unwrap();

    let process = start();
    let published: Ran = process.run(&["replace", "-g", "demo", "-f", &file]);
    assert_eq!(published.code, 0, "{published:?}");
    let memory = Memory::of(&process);
    assert!(memory.copies(word.as_bytes()) > 0, "the published secret is in memory");
    assert_eq!(memory.copies(&der[ENCODED]), 0, "the key that admission decodes");

    process.signal("-TERM");
    assert_eq!(process.end(), Some(0));
    let process = start();
    let expect_snapshot_alone = || {
        let memory = Memory::of(&process);
        for (what, needle) in [("the secret", word.as_bytes()), ("the private key", line.as_bytes())] {
            assert_eq!(memory.copies(needle), 1, "{what} is in the snapshot alone");
        }
        assert_eq!(memory.copies(&der[ENCODED]), 0);
    };
    expect_snapshot_alone();
    let saved: Ran = process.run(&["backup", "--out", &path("backup")]);
    assert_eq!(saved.code, 0, "{saved:?}");
    expect_snapshot_alone();
}
