//! What a real Envoy says of resources: its binary is run with `--mode validate` on what a node would be given.
//!
//! The command line and tests call [`Binary::examine`]. Resources come as JSON; nothing here knows who publishes or serves
//! them. Envoy opens no port and connects to nobody while it validates.

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

/// What Envoy refuses, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource without which Envoy would not have said it; `None` where it is no single one.
    pub resource: Option<(ResourceType, String)>,
    /// Envoy's words, on one line.
    pub words: String,
}

/// Refusals looked for. Envoy tells one at a time, so that each costs some runs.
const REFUSALS: usize = 16;
/// Runs for one examination; what is not found by then is not said.
const RUNS: usize = 200;

// === impl Binary ===

impl Binary {
    /// Everything that Envoy refuses in `served`, the first for each resource. Nodes are of cluster `group`.
    ///
    /// # Errors
    ///
    /// Where the binary cannot be run, is no Envoy, crashes, or takes too long.
    pub fn examine(&self, served: &Served, group: &str) -> Result<Vec<Refusal>, EnvoyError> {
        self.examination(served, group, |examination| examination.all())
    }

    /// The first thing that Envoy says against `served`: one run, and nothing about which resource it is.
    ///
    /// # Errors
    ///
    /// As [`Binary::examine`] has.
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

/// One search for everything that is refused.
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
        // Clusters that were refused: what names them must not be refused for that.
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

    /// The last of the shortest run of units that Envoy refuses, and what it says of that one. Clusters stand before what
    /// names them.
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

    /// What Envoy says against these units together.
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
