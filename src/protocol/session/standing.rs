//! The progress of a change on a stream, as operators see it: the resources that wait or are held, each with the
//! reason.

use std::{sync::Arc, time::Instant};

use crate::{
    protocol::{Hold, Session, Standing, Wait},
    resource::ResourceName,
    snapshot::Snapshot,
};

/// The most waiting and the most held resources in a report.
const SAMPLE: usize = 16;

impl Session {
    pub(super) fn standing(&self, goal: &Arc<Snapshot>, now: Instant) -> Standing {
        if !self.is_ordered() {
            return Standing::default();
        }
        let (waits, waiting) = self.waits(goal, now);
        let held = self.types.iter().map(|state| state.view.retained().len()).sum();
        Standing {
            waits,
            waiting,
            holds: if held == 0 { Vec::new() } else { self.holds(goal) },
            held,
        }
    }

    /// Some of the waiting resources, and the number of all.
    fn waits(&self, goal: &Snapshot, now: Instant) -> (Vec<Wait>, usize) {
        let (mut waits, mut waiting) = (Vec::new(), 0);
        for state in &self.types {
            let Some(base) = state.view.resources() else {
                continue;
            };
            for (name, held) in state.view.held() {
                let Some(wanted) = base.named(name.as_str()) else {
                    continue;
                };
                if wanted.version == held.version {
                    continue;
                }
                waiting += 1;
                if waits.len() == SAMPLE {
                    continue;
                }
                let on = self.all_awaited(wanted, held.resource.as_deref(), goal, now);
                if !on.is_empty() {
                    waits.push(Wait {
                        resource_type: state.kind.clone(),
                        name: name.clone(),
                        on,
                    });
                }
            }
        }
        (waits, waiting)
    }

    fn holds(&self, goal: &Snapshot) -> Vec<Hold> {
        let mut holds = Vec::new();
        for state in self.types.iter().filter(|state| !state.view.retained().is_empty()) {
            let needed = self.needed(&state.kind, goal);
            let hold = |name: &ResourceName| Hold {
                resource_type: state.kind.clone(),
                name: name.clone(),
                needed_by: needed.by(&state.kind, name).cloned(),
            };
            holds.extend(state.view.retained().keys().map(hold));
        }
        holds.truncate(SAMPLE);
        holds
    }
}
