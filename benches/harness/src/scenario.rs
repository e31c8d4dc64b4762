//! The scenarios: each runs and records samples, and makes its section of the report from the recorded samples.

mod bad_clients;
mod commits;
pub(crate) mod fan_out;
mod groups;
pub(crate) mod memory;
mod over_tls;
mod propagation;
pub(crate) mod slope;
mod storm;

use std::pin::Pin;

use anyhow::Result;

use crate::{bench::Bench, report::Section, results::Outcome};

type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One row of the specification.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) number: u8,
    pub(crate) title: &'static str,
    pub(crate) run: for<'a> fn(&'a Bench) -> Running<'a>,
    pub(crate) report: fn(&Outcome) -> Section,
}

/// All scenarios.
pub(crate) const ALL: [Scenario; 9] = [
    Scenario {
        number: 1,
        title: "SotW fan-out",
        run: |bench| Box::pin(fan_out::run(bench)),
        report: fan_out::report,
    },
    Scenario {
        number: 2,
        title: "Delta: cost of a change against the number of resources",
        run: |bench| Box::pin(slope::run(bench)),
        report: slope::report,
    },
    Scenario {
        number: 3,
        title: "Propagation under a steady rate of commits",
        run: |bench| Box::pin(propagation::run(bench)),
        report: propagation::report,
    },
    Scenario {
        number: 4,
        title: "Reconnect storm",
        run: |bench| Box::pin(storm::run(bench)),
        report: storm::report,
    },
    Scenario {
        number: 5,
        title: "Memory",
        run: |bench| Box::pin(memory::run(bench)),
        report: memory::report,
    },
    Scenario {
        number: 6,
        title: "Bad clients",
        run: |bench| Box::pin(bad_clients::run(bench)),
        report: bad_clients::report,
    },
    Scenario {
        number: 7,
        title: "Commits",
        run: |bench| Box::pin(commits::run(bench)),
        report: commits::report,
    },
    Scenario {
        number: 8,
        title: "Many groups, named endpoints",
        run: |bench| Box::pin(groups::run(bench)),
        report: groups::report,
    },
    Scenario {
        number: 9,
        title: "Over mTLS",
        run: |bench| Box::pin(over_tls::run(bench)),
        report: over_tls::report,
    },
];
