//! Tests that the layers of ARCHITECTURE.md hold: no module names a module or crate that its layer forbids.
//!
//! `architecture/layers.rs` lists the permissions, `architecture/paths.rs` finds all named paths, and `architecture/circles.rs`
//! finds the imports between files.

// The helpers are test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/paths.rs"]
mod paths;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use self::{
    layers::{LAYERS, Layer},
    paths::{Named, Sources},
};

/// Files with more lines should be split.
const MOST_LINES: usize = 600;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns `file:line: path: rule` for each path that its module must not name.
fn violations(sources: &Sources) -> Vec<String> {
    let found: BTreeSet<(PathBuf, usize, String)> = sources
        .named()
        .flat_map(|named| {
            let rules = LAYERS
                .iter()
                .find(|layer| layer.module == named.layer)
                .map_or_else(Vec::new, |layer| broken_rules(layer, &named));
            rules
                .into_iter()
                .map(move |rule| (named.file.clone(), named.line, rule))
        })
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = |file: &Path| file.strip_prefix(root).unwrap_or(file).display().to_string();
    found
        .into_iter()
        .map(|(file, line, rule)| format!("{}:{line}: {rule}", shown(&file)))
        .collect()
}

fn broken_rules(layer: &Layer, named: &Named) -> Vec<String> {
    let mut broken = Vec::new();
    for path in &named.paths {
        let mut segments = path.split("::");
        if segments.next() == Some("crate")
            && let Some(module) = segments.next()
            && module != layer.module
            && LAYERS.iter().any(|other| other.module == module)
            && !layer.knows.contains(&module)
        {
            broken.push(format!("{path}: {} must not know {module}", layer.module));
        }
        let groups = layer
            .without
            .iter()
            .filter(|group| !(named.in_tests && group.free_in_tests));
        for group in groups {
            if let Some(banned) = group.bans(path) {
                broken.push(format!(
                    "{path}: {} must not use {banned}: {}",
                    layer.module, group.reason
                ));
            }
        }
    }
    broken
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_module_names_what_it_must_not_know() {
    let sources = Sources::read(&src());
    let found = violations(&sources);
    assert!(
        found.is_empty(),
        "forbidden by tests/architecture/layers.rs:\n{}",
        found.join("\n")
    );
}

/// The circles among the files of a module, one per line.
fn circles_in(sources: &Sources, named: &[Named], module: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = |file: &PathBuf| file.strip_prefix(root).unwrap_or(file).display().to_string();
    let imports = circles::imports(sources, named, module);
    let circles = circles::circles(&imports);
    let shown = circles
        .iter()
        .map(|circle| circle.iter().map(shown).collect::<Vec<_>>().join(" ↔ "));
    shown.collect()
}

#[test]
fn no_files_of_a_module_import_each_other_in_a_circle() {
    let sources = Sources::read(&src());
    assert!(sources.top.len() > 10, "{:?}", sources.top);
    let named: Vec<Named> = sources.named().collect();
    let circles = |module| circles_in(&sources, &named, &format!("src/{module}"));
    let found: Vec<String> = sources.top.iter().flat_map(circles).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// `module: other` for each permission of the table that no file uses.
fn unused_permissions(sources: &Sources) -> Vec<String> {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for named in sources.named() {
        for path in &named.paths {
            let mut segments = path.split("::");
            if segments.next() == Some("crate")
                && let Some(module) = segments.next()
            {
                used.insert((named.layer.clone(), module.to_owned()));
            }
        }
    }
    let permissions = LAYERS
        .iter()
        .flat_map(|layer| layer.knows.iter().map(move |known| (layer.module, *known)));
    permissions
        .filter(|(module, known)| !used.contains(&((*module).to_owned(), (*known).to_owned())))
        .map(|(module, known)| format!("{module}: {known}"))
        .collect()
}

#[test]
fn every_permission_is_made_use_of() {
    let unused = unused_permissions(&Sources::read(&src()));
    assert!(
        unused.is_empty(),
        "tests/architecture/layers.rs has unused permissions:\n{}",
        unused.join("\n")
    );
}

#[test]
fn every_module_has_its_layer() {
    let sources = Sources::read(&src());
    assert!(
        sources.top.len() > 10,
        "src/lib.rs declares the modules: {:?}",
        sources.top
    );
    let listed = |module: &&String| LAYERS.iter().any(|layer| layer.module == **module);
    let missing: Vec<_> = sources.top.iter().filter(|module| !listed(module)).collect();
    assert!(
        missing.is_empty(),
        "tests/architecture/layers.rs does not list {missing:?}"
    );
}

#[test]
fn every_file_is_declared_as_a_module() {
    let declared = Sources::read(&src()).files;
    let stray: Vec<_> = rust_files(&src())
        .into_iter()
        .filter(|file| !declared.contains(file))
        .collect();
    assert!(stray.is_empty(), "never compiled, as no `mod` declares them: {stray:?}");
}

#[test]
fn files_say_what_they_are_and_are_not_long() {
    let mut wrong = Vec::new();
    for file in rust_files(&src()) {
        let text = fs::read_to_string(&file).unwrap();
        if file.ends_with("mod.rs") {
            wrong.push(format!("{}: is to be named after its module", file.display()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin by saying what it is", file.display()));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines, more than {MOST_LINES}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Words that begin a comment without its subject.
const RIDDLES: [&str; 7] = ["What", "Whether", "How", "Where", "Whatever", "Who", "Whose"];

/// One comment line in so many may begin with such a word: now and then one is the plainest.
const RIDDLE_IN: usize = 100;

#[test]
fn comments_begin_with_their_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut comments = 0;
    let mut riddles = Vec::new();
    for file in ["src", "tests", "benches"]
        .iter()
        .flat_map(|dir| rust_files(&root.join(dir)))
    {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                continue;
            };
            comments += 1;
            let first = comment.trim_start_matches(['/', '!']).split_whitespace().next();
            if first.is_some_and(|first| RIDDLES.contains(&first)) {
                riddles.push(format!("{}:{}: {comment}", file.display(), number + 1));
            }
        }
    }
    assert!(comments > 1000, "the comments are found");
    assert!(
        riddles.len() * RIDDLE_IN < comments,
        "{} of {comments} comment lines begin without a subject:\n{}",
        riddles.len(),
        riddles.join("\n")
    );
}

// === the rules of the protocol ===

/// Names of tests in one row, as in `` `this_one` ``.
fn quoted(cell: &str) -> Vec<&str> {
    let is_name = |text: &&str| {
        text.contains('_')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    cell.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// The names of all tests: functions, some of which a macro runs for every kind of stream.
fn test_names() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].iter().flat_map(|dir| rust_files(&root.join(dir)));
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let line = line.trim_start().trim_start_matches("async ");
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

/// Pages whose tables name tests, each with the least number of rows.
const HELD_BY_TESTS: [(&str, usize); 2] = [("docs/protocol.md", 80), ("docs/faults.md", 70)];

#[test]
fn every_rule_and_fault_has_its_test_or_the_reason_why_not() {
    let known = test_names();
    let mut wrong = Vec::new();
    for (page, least) in HELD_BY_TESTS {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let mut rows = 0;
        for (number, line) in text.lines().enumerate() {
            let cells: Vec<&str> = line.split(" | ").collect();
            let [row, .., held_by] = cells[..] else {
                continue;
            };
            if !line.starts_with("| ") || ["| rule", "| fault"].contains(&row) || row.starts_with("| ---") {
                continue;
            }
            rows += 1;
            let tests = quoted(held_by);
            let place = format!("{page}:{}: {}", number + 1, row.trim_start_matches("| "));
            let reasons = ["nothing to hold", "no test"];
            let reasoned = reasons.iter().any(|reason| held_by.starts_with(reason)) || line.contains("not implemented");
            if tests.is_empty() && !reasoned {
                wrong.push(format!("{place}: no test holds it"));
            }
            let missing = tests.into_iter().filter(|name| !known.contains(*name));
            wrong.extend(missing.map(|name| format!("{place}: there is no test {name}")));
        }
        assert!(rows >= least, "the tables of {page} are not read as such: {rows} rows");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// === what is found where it must not be ===

/// The violations in this text as a file of the module.
fn found_in(module: &str, text: &str) -> Vec<String> {
    let mut sources = Sources::default();
    let file = PathBuf::from(format!("src/{module}/sample.rs"));
    sources.add(text, &file, vec![module.to_owned(), "sample".to_owned()], false);
    violations(&sources)
}

#[track_caller]
fn expect_one(module: &str, text: &str, expected: &str) {
    let found = found_in(module, text);
    assert!(
        found.len() == 1 && found[0].contains(expected),
        "{module}: {text}\nexpected {expected}\nfound {found:#?}"
    );
}

#[test]
fn a_forbidden_crate_is_found_however_it_is_named() {
    let place = "src/protocol/sample.rs:2: tokio";
    for text in [
        "//! Sample.\nuse tokio::sync::mpsc;",
        "//! Sample.\nuse ::tokio::sync::mpsc;",
        "//! Sample.\npub use tokio::*;",
        "//! Sample.\nuse {std::fmt, tokio::sync::{self}};",
        "//! Sample.\nextern crate tokio as runtime;",
        "//! Sample.\nfn f() -> tokio::sync::Notify { panic!() }",
        "//! Sample.\nfn f() { tokio::task::yield_now(); }",
        "//! Sample.\nfn f() { println!(\"{}\", tokio::task::id()); }",
        "//! Sample.\n#[tokio::main]\nfn f() {}",
        "//! Sample.\nmod inner { fn f() { use tokio::net; } }",
        "//! Sample.\nimpl tokio::io::AsyncRead for S {}",
    ] {
        expect_one("protocol", text, place);
    }
}

#[test]
fn a_renamed_import_is_followed() {
    let found = found_in("protocol", "use tokio as rt;\nfn f() { rt::task::yield_now(); }");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("src/protocol/sample.rs:1: tokio: protocol must not use tokio"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("src/protocol/sample.rs:2: tokio::task::yield_now"),
        "{found:#?}"
    );
}

#[test]
fn a_forbidden_module_is_found_however_it_is_named() {
    for text in [
        "use crate::transport::Xds;",
        "use crate::transport;",
        "use crate::{cache::SnapshotCache, transport::Xds};",
        "use crate::transport::Xds as Served;",
        "use super::super::transport::Xds;",
        "fn f(xds: &crate::transport::Xds) {}",
        "fn f() { let xds = super::super::transport::Xds::new(); }",
        "fn f() { chancery::transport::serve(); }",
        "fn f() { assert!(crate::transport::serve()); }",
    ] {
        expect_one("publisher", text, "publisher must not know transport");
    }
    assert!(found_in("publisher", "use crate::{cache::SnapshotCache, revision};").is_empty());
}

#[test]
fn a_permission_that_is_not_made_use_of_is_found() {
    let mut sources = Sources::default();
    let text = "use crate::publisher::Publisher;\nfn f() { crate::snapshot::Revision(1); }";
    sources.add(
        text,
        Path::new("src/source/sample.rs"),
        vec!["source".to_owned()],
        false,
    );
    let unused = unused_permissions(&sources);
    assert!(unused.contains(&"source: node".to_owned()), "{unused:?}");
    for used in ["source: publisher", "source: snapshot"] {
        assert!(!unused.contains(&used.to_owned()), "{unused:?}");
    }
}

#[test]
fn reading_the_clock_is_found_but_not_passing_time_on() {
    let allowed = "use std::time::{Duration, Instant};\nfn f(now: Instant) -> Instant { now + Duration::ZERO }";
    assert!(found_in("protocol", allowed).is_empty());
    for text in [
        "use std::time::Instant;\nfn f() { Instant::now(); }",
        "use std::time::Instant as Moment;\nfn f() { Moment::now(); }",
        "use std::time;\nfn f() { time::Instant::now(); }",
        "use std::time::{self, Duration};\nfn f() { assert_eq!(1, time::SystemTime::now()); }",
        "use std::time::Instant;\nfn f() { g(Instant::now); }",
        "use std::time::Instant;\nfn f(at: Instant) { at.elapsed(); }",
        "use std::time::Instant;\nfn f(at: Instant) { info!(took = ?at.elapsed()); }",
        "use std::time::Instant;\nmod inner { use super::*;\nfn f() { Instant::now(); } }",
    ] {
        expect_one("protocol", text, "time is an argument");
    }
    let in_tests = "#[cfg(test)]\nmod tests { use std::time::Instant; fn f() { Instant::now(); } }";
    assert!(found_in("protocol", in_tests).is_empty());
    let tokio_in_tests = "#[cfg(test)]\nmod tests { use tokio::time::sleep; }";
    expect_one("protocol", tokio_in_tests, "tokio");
}

#[test]
fn randomness_and_shared_maps_are_found() {
    expect_one("protocol", "use std::hash::RandomState;", "the same input");
    expect_one(
        "snapshot",
        "use std::hash::{Hash, RandomState as State};",
        "the same input",
    );
    expect_one("protocol", "use dashmap::DashMap;", "nothing is shared");
}

#[test]
fn statuses_are_named_anywhere_but_made_in_two_places() {
    let names = "use tonic::{Code, Status};\nfn f(status: &Status) -> Code { status.code() }";
    let makes = "use tonic::{Code, Status};\nfn f() { Status::new(Code::Ok, \"\"); }";
    assert!(found_in("cli", names).is_empty());
    expect_one("cli", makes, "only transport and admin make gRPC statuses");
    for module in ["transport", "admin"] {
        assert!(found_in(module, makes).is_empty());
    }
}

#[test]
fn a_reexport_hides_nothing() {
    let mut sources = Sources::default();
    let add = |sources: &mut Sources, module: &str, text: &str| {
        let file = PathBuf::from(format!("src/{module}.rs"));
        sources.add(text, &file, vec![module.to_owned()], false);
    };
    add(&mut sources, "resource", "pub use std::time::Instant as Moment;");
    add(
        &mut sources,
        "protocol",
        "use crate::resource::Moment;\nfn f() { Moment::now(); }",
    );
    let found = violations(&sources);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("src/protocol.rs:2: std::time::Instant::now"),
        "{found:#?}"
    );
}

#[test]
fn circles_are_found_through_reexports_and_not_in_what_is_only_declared() {
    let parent = "mod a; mod b; mod c; pub use self::{a::A, b::B, c::C};";
    let circles = |a: &str, b: &str, c: &str| {
        let mut sources = Sources::default();
        for (name, text) in [("x", parent), ("x/a", a), ("x/b", b), ("x/c", c)] {
            let module = name.split('/').map(str::to_owned).collect();
            sources.add(text, Path::new(&format!("src/{name}.rs")), module, false);
        }
        let named: Vec<Named> = sources.named().collect();
        circles_in(&sources, &named, "src/x")
    };
    let (a, b) = ("use super::B; pub struct A;", "pub struct B;");
    assert!(circles(a, b, "use super::{A, B}; pub struct C;").is_empty());
    let back = "pub struct B; fn f() -> super::A { crate::x::A }";
    assert_eq!(
        circles(a, back, "use super::A; pub struct C;"),
        ["src/x/a.rs ↔ src/x/b.rs"]
    );
    let round = circles(
        a,
        "use super::c::C; pub struct B;",
        "fn f() { super::a::A; } pub struct C;",
    );
    assert_eq!(round, ["src/x/a.rs ↔ src/x/b.rs ↔ src/x/c.rs"]);
    let in_tests = "pub struct B; #[cfg(test)] mod tests { use crate::x::A; }";
    assert!(circles(a, in_tests, "pub struct C;").is_empty());
}
