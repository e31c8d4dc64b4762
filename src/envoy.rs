//! Checks resources with a real Envoy: its binary runs with `--mode validate` on what a node would be given.
//!
//! The command line and tests call [`Binary::examine`]. Resources come as JSON; this module does not know publishers or
//! streams. Envoy opens no port and makes no connection while it validates.

mod bootstrap;
mod inline;
mod run;
mod served;

use std::collections::BTreeSet;

use self::{
    bootstrap::{Trial, Unit},
    run::{Said, Workplace},
};
pub use self::{
    run::{Binary, EnvoyError},
    served::Served,
};
use crate::resource::ResourceType;

/// A refusal of Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource that Envoy accepts the rest without; `None` if no single resource causes the refusal.
    pub resource: Option<(ResourceType, String)>,
    /// Envoy's message, on one line.
    pub words: String,
}

/// The number of refusals searched for. Envoy reports one at a time, and finding its resource takes several runs.
const REFUSALS: usize = 16;
/// The number of runs of one examination; refusals not found by then are not reported.
const RUNS: usize = 200;

// === impl Binary ===

impl Binary {
    /// All refusals of Envoy in `served`, the first one of each resource. The node has the cluster `group`.
    ///
    /// # Errors
    ///
    /// If the binary cannot be run, is not an Envoy, crashes, or takes too long.
    pub fn examine(&self, served: &Served, group: &str) -> Result<Vec<Refusal>, EnvoyError> {
        self.examination(served, group, |examination| examination.all())
    }

    /// The first refusal of Envoy in `served`, found in one run and without its resource.
    ///
    /// # Errors
    ///
    /// As for [`Binary::examine`].
    pub fn first_refusal(&self, served: &Served, group: &str) -> Result<Option<String>, EnvoyError> {
        self.examination(served, group, |examination| {
            let units: Vec<&Unit> = examination.trial.units.iter().collect();
            Ok(examination.refused(&units, &[])?.map(|said| said.words))
        })
    }

    fn examination<T>(
        &self,
        served: &Served,
        group: &str,
        run: impl FnOnce(&mut Examination<'_>) -> Result<T, EnvoyError>,
    ) -> Result<T, EnvoyError> {
        let workplace = Workplace::new()?;
        let trial = Trial::new(served, group, workplace.path());
        workplace.keep(&trial.files)?;
        run(&mut Examination {
            binary: self,
            workplace: &workplace,
            trial: &trial,
            runs: 0,
        })
    }
}

/// One search for all refusals.
struct Examination<'a> {
    binary: &'a Binary,
    workplace: &'a Workplace,
    trial: &'a Trial,
    runs: usize,
}

// === impl Examination ===

impl Examination<'_> {
    fn all(&mut self) -> Result<Vec<Refusal>, EnvoyError> {
        let mut units: Vec<&Unit> = self.trial.units.iter().collect();
        // Stand-ins for refused clusters, so that resources which refer to them are not refused for that.
        let mut stubs: Vec<Unit> = Vec::new();
        let mut refusals = Vec::new();
        while refusals.len() < REFUSALS {
            let Some(mut said) = self.refused(&units, &stubs)? else {
                break;
            };
            let Some(culprit) = self.culprit(&units, &stubs, &mut said)? else {
                refusals.push(Refusal {
                    resource: None,
                    words: said.words,
                });
                break;
            };
            let unit = units.remove(culprit);
            stubs.extend(unit.stub());
            refusals.push(Refusal {
                resource: Some(unit.blamed(said.of_file)),
                words: said.words,
            });
        }
        let mut told = BTreeSet::new();
        refusals.retain(|refusal| told.insert((refusal.resource.clone(), refusal.words.clone())));
        Ok(refusals)
    }

    /// The index of the unit that causes the refusal, found by bisection: the last of the shortest run of units that
    /// Envoy refuses. `said` becomes the message about that unit. Clusters stand before the units that name them.
    fn culprit(&mut self, units: &[&Unit], stubs: &[Unit], said: &mut Said) -> Result<Option<usize>, EnvoyError> {
        if self.refused(&[], stubs)?.is_some() {
            return Ok(None);
        }
        let (mut accepted, mut refused) = (0, units.len());
        while refused - accepted > 1 {
            let middle = usize::midpoint(accepted, refused);
            match self.refused(&units[..middle], stubs)? {
                Some(now) => {
                    refused = middle;
                    *said = now;
                }
                None => accepted = middle,
            }
        }
        Ok(refused.checked_sub(1))
    }

    /// The refusal of these units together.
    fn refused(&mut self, units: &[&Unit], stubs: &[Unit]) -> Result<Option<Said>, EnvoyError> {
        if self.runs == RUNS {
            return Ok(None);
        }
        self.runs += 1;
        let bootstrap = self.trial.bootstrap(units.iter().copied().chain(stubs));
        self.binary.validate(self.workplace, &bootstrap)
    }
}

#[cfg(test)]
mod tests;
