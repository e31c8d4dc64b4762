//! A data directory with a key file: with the command line, over restarts, and through SIGKILL at any moment.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    harness::{Ran, chancery},
    process::Process,
};

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const CANARY: &str = "canary-5d0c1be7";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn offline(code: i32, args: &[&str]) -> Ran {
    let ran = Ran::from(chancery(args).output().unwrap());
    assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    ran
}

/// A key file in its own directory.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a key file with keys of these bytes.
    fn keys(&self, keys: &[u8]) -> String {
        let name: Vec<_> = keys.iter().map(ToString::to_string).collect();
        let path = self.path(&format!("{}.key", name.join("-")));
        let lines: Vec<_> = keys.iter().map(|key| STANDARD.encode([*key; 32])).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        text(&path).to_owned()
    }

    fn serve(&self, keys: Option<&str>) -> Process {
        let args: Vec<&str> = keys.iter().flat_map(|keys| ["--store-key-file", keys]).collect();
        Process::start_with(&self.data(), &args, Stdio::null())
    }

    /// The output of a start that fails.
    fn refused(&self, keys: Option<&str>) -> String {
        let data = self.data();
        let mut args = vec!["serve", "--data-dir", text(&data)];
        args.extend(keys.iter().flat_map(|keys| ["--store-key-file", keys]));
        args.extend([
            "--xds-addr=127.0.0.1:0",
            "--admin-addr=127.0.0.1:0",
            "--http-addr=127.0.0.1:0",
        ]);
        offline(6, &args).stderr
    }

    fn rekey(&self, keys: &str, more: &[&str]) -> Ran {
        let data = self.data();
        let args = ["rekey", "--data-dir", text(&data), "--key-file", keys];
        offline(0, &[&args[..], more].concat())
    }

    fn has_canary(&self) -> bool {
        let bytes = fs::read(self.data().join("chancery.redb")).unwrap();
        bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    }
}

fn publish(process: &Process, place: &Place, secrets: usize, what: &str) {
    let item = |n| {
        let secret = format!("{{inline_string: \"{CANARY} {what} {n}\"}}");
        format!("- {{\"@type\": {SECRET}, name: s{n}, generic_secret: {{secret: {secret}}}}}\n")
    };
    let file = place.path("secrets.yaml");
    fs::write(
        &file,
        format!("resources:\n{}", (0..secrets).map(item).collect::<String>()),
    )
    .unwrap();
    let published = process.run(&["replace", "-g", "demo", "-f", text(&file), "-m", what]);
    assert_eq!(published.code, 0, "{published:?}");
}

/// Content, versions and history.
fn all_of(process: &Process) -> [String; 2] {
    [
        &["get", "-g", "demo", "-o", "json", "--show-secrets"][..],
        &["history", "-g", "demo", "-o", "json"],
    ]
    .map(|args| {
        let ran = process.run(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    })
}

#[test]
fn store_is_sealed_and_comes_under_other_keys_without_another_version() {
    let place = Place::new();
    let [one, both, two] = [&[1][..], &[2, 1], &[2]].map(|keys| place.keys(keys));
    let process = place.serve(None);
    publish(&process, &place, 3, "first");
    let before = all_of(&process);
    drop(process);
    assert!(place.has_canary(), "nothing is sealed without a key");
    let refused = place.refused(Some(&one));
    assert!(
        refused.contains("is not sealed") && refused.contains("chancery rekey"),
        "{refused}"
    );

    let told = place.rekey(&one, &[]).stdout;
    assert!(
        told.contains("sealed with the key") && told.contains("not overwritten"),
        "{told}"
    );
    assert!(!place.has_canary());
    let refused = place.refused(None);
    assert!(refused.contains("--store-key-file"), "{refused}");
    let refused = place.refused(Some(&two));
    for part in ["chancery.redb", "2.key", "put that key back"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let process = place.serve(Some(&both));
    assert_eq!(all_of(&process), before);
    publish(&process, &place, 4, "second");
    let before = all_of(&process);
    let data = place.data();
    let locked = offline(6, &["rekey", "--data-dir", text(&data), "--key-file", &both]);
    assert!(locked.stderr.contains("locked by another process"), "{locked:?}");
    drop(process);

    let told: Value = serde_json::from_str(&place.rekey(&both, &["-o", "json"]).stdout).unwrap();
    assert_eq!(
        (&told["changed"], &told["revisions"]),
        (&Value::from(true), &Value::from(2))
    );
    let told = place.rekey(&two, &[]).stdout;
    assert!(told.contains("nothing changed"), "{told}");
    assert!(!place.has_canary());
    let process = place.serve(Some(&two));
    assert_eq!(all_of(&process), before);
    drop(process);
    place.rekey(&two, &["--plain"]);
    assert_eq!(all_of(&place.serve(None)), before);
}

#[test]
fn backup_of_a_sealed_store_needs_the_key_at_each_step() {
    let place = Place::new();
    let (keys, other) = (place.keys(&[1]), place.keys(&[2]));
    let process = place.serve(Some(&keys));
    publish(&process, &place, 3, "first");
    let before = all_of(&process);
    let backup = place.path("backup");
    let saved = process.run(&["backup", "--out", text(&backup)]);
    assert_eq!(saved.code, 0, "{saved:?}");
    drop(process);
    let bytes = fs::read(&backup).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));

    let data = place.data();
    fs::remove_dir_all(&data).unwrap();
    for args in [
        &["verify", text(&backup)][..],
        &["verify", text(&backup), "--key-file", &other],
        &["restore", text(&backup), "--data-dir", text(&data)],
        &[
            "restore",
            text(&backup),
            "--data-dir",
            text(&data),
            "--key-file",
            &other,
        ],
    ] {
        let refused = offline(3, args);
        assert!(refused.stderr.contains("is sealed with the key"), "{refused:?}");
    }
    assert!(!data.exists());
    offline(0, &["verify", text(&backup), "--key-file", &keys]);
    offline(
        0,
        &["restore", text(&backup), "--data-dir", text(&data), "--key-file", &keys],
    );
    offline(3, &["verify", text(&data)]);
    let mut verify = chancery(&["verify", text(&data)]);
    let verified = Ran::from(verify.env("CHANCERY_STORE_KEY_FILE", &keys).output().unwrap());
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(all_of(&place.serve(Some(&keys))), before);
}

#[test]
fn key_file_that_is_none_is_named_at_the_start() {
    let place = Place::new();
    let keys = place.keys(&[1]);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = place.refused(Some(&keys));
    assert!(refused.contains("1.key") && refused.contains("chmod 600"), "{refused}");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&keys, "hunter2").unwrap();
    let refused = place.refused(Some(&keys));
    assert!(
        refused.contains("line 1 is no key") && !refused.contains("hunter2"),
        "{refused}"
    );
    assert!(
        !place.data().join("chancery.redb").exists(),
        "no store is begun without its keys"
    );
    let missing = offline(
        4,
        &[
            "rekey",
            "--data-dir",
            text(&place.data()),
            "--key-file",
            &place.keys(&[1]),
        ],
    );
    assert!(missing.stderr.contains("no store"), "{missing:?}");
}

/// After a SIGKILL at any moment the store is either the old or the new one, and the next rekey completes.
#[test]
fn rekey_that_is_killed_loses_nothing() {
    let place = Place::new();
    let keys = [place.keys(&[1, 2]), place.keys(&[2, 1])];
    let process = place.serve(Some(&keys[0]));
    publish(&process, &place, 300, "first");
    publish(&process, &place, 301, "second");
    let before = all_of(&process);
    drop(process);
    let data = place.data();
    let begun = Instant::now();
    place.rekey(&keys[1], &[]);
    let whole = begun.elapsed();
    const ROUNDS: u32 = 16;
    let (mut old, mut new) = (0, 0);
    for round in 0..ROUNDS {
        let keys = &keys[usize::from(round % 2 == 1)];
        let mut child = chancery(&["rekey", "--data-dir", text(&data), "--key-file", keys])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The last rounds run to completion, however busy the machine is.
        if round + 2 < ROUNDS {
            std::thread::sleep(whole * round / ROUNDS);
            child.kill().unwrap();
        }
        child.wait().unwrap();
        // `rekey` reads the whole store before it writes.
        let told: Value = serde_json::from_str(&place.rekey(keys, &["-o", "json"]).stdout).unwrap();
        if told["changed"] == true {
            old += 1;
        } else {
            new += 1;
        }
    }
    assert!(old > 0 && new > 0, "killed {old} times before and {new} times after");
    assert_eq!(all_of(&place.serve(Some(&keys[1]))), before);
    let left: Vec<_> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["chancery.redb"]);
}
