//! Replays the corpus of the fuzz targets: seeds, inputs with high coverage, and inputs that once failed. Each input is also
//! mutated, in the same way in every run. `make fuzz` searches for more inputs with coverage: see `docs/testing.md`.

// The targets are test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

#[path = "targets/all.rs"]
mod targets;

use std::{fs, path::PathBuf};

use self::targets::{TARGETS, Target};

/// Number of mutations of each input unless `FUZZ_CHANGED` is set, and the length of the longest.
const CHANGED: usize = 40;
const LONGEST: usize = 4096;

/// xorshift64*, from the same seed in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(drawn).unwrap() % end
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn replay(name: &str) {
    let (name, run): Target = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let asked = std::env::var("FUZZ_CHANGED").map(|count| count.parse().expect("FUZZ_CHANGED is a number"));
    let forms = asked.unwrap_or(CHANGED);
    let mut random = Random(20_261_130);
    for (path, bytes) in &corpus {
        let outcome = std::panic::catch_unwind(|| run(bytes));
        assert!(outcome.is_ok(), "{}", path.display());
        for _ in 0..forms {
            let other = &corpus[random.below(corpus.len())].1;
            let changed = change(bytes, other, &mut random);
            let outcome = std::panic::catch_unwind(|| run(&changed));
            assert!(
                outcome.is_ok(),
                "{} changed into {:?}",
                path.display(),
                String::from_utf8_lossy(&changed)
            );
        }
    }
}

/// Changes a few bytes, cuts the input, or inserts a part of another input.
fn change(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(changed.len() + 1);
        match random.below(4) {
            0 if at < changed.len() => changed[at] ^= 1 << random.below(8),
            1 => changed.truncate(at),
            2 if !other.is_empty() => {
                let from = random.below(other.len());
                let len = random.below(other.len() - from + 1);
                changed.splice(at..at, other[from..from + len].iter().copied());
            }
            _ => changed.insert(at, b"*{}/.:\"\n\0\xff"[random.below(10)]),
        }
    }
    changed.truncate(LONGEST);
    changed
}

/// Makes a test of the target's name for each target.
macro_rules! replayed {
    ($($name:ident,)+) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )+
    };
}

replayed! {
    access,
    admission,
    config,
    credentials,
    names,
    protocol,
    rest,
    tls,
    xds,
}

#[test]
fn every_target_is_replayed() {
    assert!(TARGETS.iter().map(|(name, _)| *name).eq(REPLAYED.iter().copied()));
}
