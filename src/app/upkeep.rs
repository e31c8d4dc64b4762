//! Upkeep tasks: expiry of nodes, and checks of the store.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::tasks::Vital;
use crate::{fleet::Fleet, http::Rest, publisher::Publisher, readiness::Readiness};

/// Interval of the expiry of nodes.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Interval of the checks of the store: is its file in place, and does a store that failed work again?
const PROBE_STORE_EVERY: Duration = Duration::from_secs(5);

/// Forgets nodes that are gone, and polls that stopped.
pub(super) fn spawn_expiry(vital: &Vital, fleet: Arc<Fleet>, polling: Rest, stop: CancellationToken) {
    let expiring = stop.run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval(EXPIRE_EVERY);
        loop {
            ticks.tick().await;
            polling.expire();
            fleet.expire(std::time::Instant::now());
        }
    });
    vital.spawn("expiry", expiring);
}

/// Makes readiness follow the store: a server whose store fails must not get publishes.
pub(super) fn spawn_store_watch(
    vital: &Vital,
    publisher: Arc<Publisher>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    const NAME: &str = "store";
    let blocking = vital.tracker.clone();
    let watching = stop.run_until_cancelled_owned(async move {
        let mut works = publisher.store_works();
        let mut checks = tokio::time::interval(PROBE_STORE_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = checks.tick() => {
                    let publisher = Arc::clone(&publisher);
                    blocking.spawn_blocking(move || publisher.probe_store()).await.ok();
                }
                changed = works.changed() => if changed.is_err() {
                    return;
                },
            }
            if *works.borrow_and_update() {
                readiness.regained(NAME);
            } else {
                readiness.lost(NAME);
            }
        }
    });
    vital.spawn("store", watching);
}
