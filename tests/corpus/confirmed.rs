//! A real Envoy checks every case: it must refuse what admission refuses, and accept what admission accepts.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use chancery::envoy::Binary;

use crate::cases::{BAD, Case, GOOD, Verdict};

/// Number of Envoys that run at once.
const AT_ONCE: usize = 3;

pub(crate) fn binary() -> Binary {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/envoy-1.40.0/envoy");
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    Binary {
        path,
        limit: Duration::from_secs(60),
    }
}

#[test]
fn what_is_accepted_here_a_real_envoy_accepts() {
    confirm(&GOOD);
}

#[test]
fn what_is_refused_here_a_real_envoy_refuses() {
    confirm(&BAD);
}

#[test]
fn every_case_that_no_envoy_is_asked_about_says_why() {
    for case in BAD.iter() {
        match &case.envoy {
            Ok(_) => assert!(case.served().is_some(), "{}: Envoy cannot be asked", case.name),
            Err(reason) => assert!(reason.len() > 10, "{}", case.name),
        }
    }
}

fn confirm(cases: &[Case]) {
    let binary = binary();
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let worker = || {
            let taken = std::iter::from_fn(|| cases.get(next.fetch_add(1, Ordering::Relaxed)));
            taken
                .filter_map(|case| contradiction(&binary, case))
                .collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// The difference between Envoy's expected and actual verdict, if any.
fn contradiction(binary: &Binary, case: &Case) -> Option<String> {
    let Ok(expected) = case.envoy else {
        return None;
    };
    let served = case.served().unwrap();
    match (expected, binary.first_refusal(&served, "corpus").unwrap()) {
        (Verdict::Accepts, None) | (Verdict::Refuses, Some(_)) => None,
        (Verdict::Accepts, Some(words)) => Some(format!("{}: envoy refuses: {words}", case.name)),
        (Verdict::Refuses, None) => Some(format!("{}: envoy accepts", case.name)),
    }
}
