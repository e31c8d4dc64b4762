//! Small forms of scenarios 1, 2 and 5 against limit-raw and naive, for every change: ratios with generous bounds, no times.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    bench::Bench,
    load::Variant,
    peer::PeerKind,
    results::{Outcome, Ratio},
    scenario::{
        fan_out::{FanOut, metric},
        memory,
    },
};

/// A bound on a ratio. Since debug builds on a loaded machine are measured, each bound is several times the usual value.
struct Bound {
    what: &'static str,
    measured: fn(&Outcome) -> Option<Ratio>,
    most: f64,
}

const SOTW: &str = "SotW, 100 resources";
const DELTA_FEW: &str = "delta, 100 resources";
const DELTA_MANY: &str = "delta, 2000 resources";

const BOUNDS: [Bound; 6] = [
    Bound {
        what: "SotW, 100 resources: CPU per push ÷ limit-raw",
        measured: |outcome| cpu(outcome, SOTW, PeerKind::LimitRaw),
        most: 4.0,
    },
    Bound {
        what: "SotW, 100 resources: CPU per push ÷ naive",
        measured: |outcome| cpu(outcome, SOTW, PeerKind::Naive),
        most: 1.5,
    },
    Bound {
        what: "delta, 100 resources: CPU per push ÷ limit-raw",
        measured: |outcome| cpu(outcome, DELTA_FEW, PeerKind::LimitRaw),
        most: 4.0,
    },
    Bound {
        what: "delta: CPU per push at 2000 resources ÷ at 100",
        measured: |outcome| {
            let ours = |case| outcome.values(case, PeerKind::Chancery.name(), metric::CPU);
            memory::quotients(ours(DELTA_MANY), ours(DELTA_FEW))
        },
        most: 4.0,
    },
    Bound {
        what: "memory per idle node ÷ limit-raw",
        measured: |outcome| {
            let of = |peer| memory::slopes(outcome, peer, "idle");
            memory::quotients(&of(PeerKind::Chancery), &of(PeerKind::LimitRaw))
        },
        most: 3.0,
    },
    Bound {
        what: "bytes per node × resource, wildcard",
        measured: |outcome| {
            let of = |growth| memory::slopes(outcome, PeerKind::Chancery, growth);
            let (loaded, idle) = (of("loaded"), of("idle"));
            let product = loaded.iter().zip(&idle);
            let product: Vec<f64> = product
                .map(|(loaded, idle)| (loaded - idle) / memory::SHORT_RESOURCES as f64)
                .collect();
            Ratio::of(&product)
        },
        most: 40.0,
    },
];

fn cpu(outcome: &Outcome, case: &str, of: PeerKind) -> Option<Ratio> {
    outcome.ratio(case, metric::CPU, PeerKind::Chancery.name(), of.name())
}

/// Runs the short forms, and prints the result of each bound.
pub(crate) async fn run(bench: &Bench) -> Result<ExitCode> {
    let three = [(PeerKind::Chancery, 5), (PeerKind::LimitRaw, 5), (PeerKind::Naive, 5)];
    let cases = [
        (SOTW, Variant::Sotw, 100, &three[..]),
        (DELTA_FEW, Variant::Delta, 100, &three[..]),
        (DELTA_MANY, Variant::Delta, 2000, &three[..1]),
    ];
    for (case, variant, resources, peers) in cases {
        let fan_out = FanOut {
            case: case.to_owned(),
            variant,
            nodes: 100,
            resources,
            rounds: 3,
            peers,
        };
        fan_out.run(bench).await?;
    }
    memory::run_short(bench).await?;
    let outcome = bench.take();
    let mut held = true;
    println!();
    for bound in BOUNDS {
        let verdict = match (bound.measured)(&outcome) {
            // The best of the rounds, since a busy machine only adds time.
            Some(ratio) if ratio.least <= bound.most => format!("{:>8.2}  ok", ratio.least),
            Some(ratio) => format!("{:>8.2}  OUT OF BOUNDS", ratio.least),
            None => "       –  NOT MEASURED".to_owned(),
        };
        held &= verdict.ends_with("ok");
        println!("{:<52} at most {:>5}, is {verdict}", bound.what, bound.most);
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
