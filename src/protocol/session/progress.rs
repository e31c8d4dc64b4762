//! Reports of a session that has nothing to send: missing and refused names, the progress of a change, the revision
//! reached.

use std::{sync::Arc, time::Instant};

use super::Progress;
use crate::{
    protocol::{Outcome, Session},
    snapshot::Snapshot,
};

/// The most refused names in a report.
const SAMPLE: usize = 16;

impl Session {
    /// Reports everything that differs from the last report.
    pub(super) fn report(&mut self, goal: &Arc<Snapshot>, now: Instant) {
        for state in &mut self.types {
            if let Some((names, sample)) = state.missing.report(&state.kind, goal) {
                self.outcomes.push_back(Outcome::Missing {
                    resource_type: state.kind.clone(),
                    names,
                    sample,
                });
            }
            if let Some((names, sample)) = state.refused.report(SAMPLE) {
                self.outcomes.push_back(Outcome::Refused {
                    resource_type: state.kind.clone(),
                    names,
                    sample,
                });
            }
        }
        let is_plain = self.types.iter().all(|state| state.view.is_plain());
        if !is_plain || self.standing.is_some() {
            let standing = self.standing(goal, now);
            let before = self.standing.as_deref();
            if before.map_or_else(|| !standing.is_nothing(), |before| *before != standing) {
                self.standing = (!standing.is_nothing()).then(|| Box::new(standing.clone()));
                self.outcomes.push_back(Outcome::Standing(standing));
            }
        }
        self.report_progress(goal, now);
    }

    /// Reports, once, the revision that the stream has reached when nothing is in flight.
    fn report_progress(&mut self, goal: &Snapshot, now: Instant) {
        if self.types.iter().any(|state| !state.in_flight.is_empty()) {
            return;
        }
        let refused = self.types.iter().any(|state| state.refused.any());
        let is_done = |state: &crate::protocol::type_state::TypeState| {
            !state.lags_behind(goal) && state.due.retries() == 0 && !state.due.owes_anything()
        };
        let progress = match (refused, self.types.iter().all(is_done) && self.removals_rest(now)) {
            (true, _) => Progress::Blocked(goal.revision()),
            (false, true) => Progress::Synced(goal.revision()),
            (false, false) => return,
        };
        if self.progress != Some(progress) {
            self.progress = Some(progress);
            self.outcomes.push_back(match progress {
                Progress::Synced(revision) => Outcome::Synced(revision),
                Progress::Blocked(revision) => Outcome::Blocked(revision),
            });
        }
    }
}
