//! No change of configuration loses a request: a real Envoy under steady load, with Chancery on loopback and behind a
//! round trip of 20 ms.
//!
//! `make no-loss` runs every case for 15 s; without `NO_LOSS_SECONDS` each runs for 4 s, and only over the round trip.

// Test code throughout, which prints its findings.
#![allow(clippy::print_stdout)]

#[path = "../common/delay.rs"]
mod delay;
#[path = "../common/load.rs"]
mod load;
#[path = "../common/ports.rs"]
mod ports;
mod processes;
#[path = "../common/random.rs"]
mod random;
mod run;
mod scene;
mod upstream;
mod warming;

use std::time::Duration;

use self::{
    run::{Cell, Report},
    scene::Case,
};

/// The bound on a cluster's warming: 100 ms in the full form, which has the machine to itself. The short form, beside other
/// tests, detects only a stalled cluster, which warms for the 15 s of Envoy's `initial_fetch_timeout`.
fn longest_warming() -> Duration {
    match std::env::var_os("NO_LOSS_SECONDS") {
        Some(_) => Duration::from_millis(100),
        None => Duration::from_secs(5),
    }
}

/// Half of the round trip.
const ONE_WAY: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost() {
    let full = std::env::var("NO_LOSS_SECONDS").ok();
    let seconds = full
        .as_ref()
        .map_or(4, |text| text.parse().expect("NO_LOSS_SECONDS is a number"));
    let only = std::env::var("NO_LOSS_ONLY").unwrap_or_default();
    println!("{}", Report::header());
    let mut complaints = Vec::new();
    for cell in cells(full.is_some()) {
        if !cell.to_string().starts_with(&only) {
            continue;
        }
        match run::run(&cell, Duration::from_secs(seconds)).await {
            Ok(report) => {
                println!("{report}");
                complaints.extend(report.complaints().into_iter().map(|what| format!("{cell}: {what}")));
            }
            Err(error) => complaints.push(format!("{cell}: {error:#}")),
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Every case in both variants, with and without the delay.
fn cells(full: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for delta in [false, true] {
        for one_way in [Duration::ZERO, ONE_WAY] {
            if !full && one_way.is_zero() {
                continue;
            }
            let cell = |case, drain| Cell {
                case,
                delta,
                one_way,
                drain,
            };
            // Envoy drains for 600 s by default; here it cuts the remaining connections after 5 s.
            cells.extend([
                cell(Case::Endpoints, None),
                cell(Case::Route, None),
                cell(Case::Everything, None),
                cell(Case::Everything, Some(5)),
                cell(Case::Inline, Some(5)),
                cell(Case::Touch, None),
                cell(Case::Refused, None),
                cell(Case::Restart, None),
            ]);
        }
    }
    cells
}
