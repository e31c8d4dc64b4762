//! Checks every second if the memory in use exceeds the budget: then new streams, fetches and polls are refused and the
//! process is not ready, while open streams go on.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    memory::{self, MemoryBudget, MemoryChange},
    readiness::Readiness,
};

const EVERY: Duration = Duration::from_secs(1);

/// The text in `/readyz` and `status` above the budget.
pub(super) const EXCEEDED: &str = "memory: more is in use than the budget (limits.memory)";

/// Checks for ever.
pub(super) async fn watch(budget: MemoryBudget, readiness: Readiness) {
    match budget.bytes() {
        Some(bytes) => info!(bytes, "memory budget"),
        None => info!("no memory budget: limits.memory is not set, and no control group has a limit"),
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A check costs microseconds: the kernel keeps the count anyway.
        let Some(resident) = memory::resident() else {
            continue;
        };
        let budget_bytes = budget.bytes().unwrap_or_default();
        match budget.observe(resident) {
            Some(MemoryChange::Exceeded) => {
                readiness.lost(EXCEEDED);
                warn!(
                    resident,
                    budget = budget_bytes,
                    "the memory budget is exceeded: new streams, fetches and polls are refused"
                );
            }
            Some(MemoryChange::Regained) => {
                readiness.regained(EXCEEDED);
                info!(
                    resident,
                    budget = budget_bytes,
                    "memory is within its budget again: new streams, fetches and polls are accepted"
                );
            }
            None => {}
        }
    }
}
