//! What a client has refused, and what was refused with it.
//!
//! A NACK is for a response; whose fault it was, the client says only in prose. So when one resource of a refused response
//! changes, the others may have been innocent.

use std::sync::Arc;

use super::{Contents, Subscription};
use crate::{
    resource::{Resource, ResourceName},
    snapshot::{Diff, TypeResources},
};

/// What a client has refused and was not given better of since, of one type on one stream.
#[derive(Debug, Default)]
pub(super) enum Refused {
    /// Nothing.
    #[default]
    Nothing,
    /// A full state: the next one replaces it whole.
    State(Contents),
    /// Parts of the state, by response.
    Responses(Vec<RefusedResponse>),
}

/// What is left of one refused response.
#[derive(Debug)]
pub(super) struct RefusedResponse {
    /// Its place among the responses of the stream.
    number: u64,
    resources: Vec<Arc<Resource>>,
    /// Delta: removals that were not applied either.
    removed: Vec<ResourceName>,
}

/// What is to be thought over when something of a refused response has changed.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Resources refused with it that are still as they were.
    pub(super) resources: Vec<ResourceName>,
    /// Removals refused with it.
    pub(super) removed: Vec<ResourceName>,
}

/// Whether the resource is in the list, which is sorted by name, in this version.
fn holds(sorted: &[Arc<Resource>], resource: &Resource) -> bool {
    let at = sorted.binary_search_by(|held| held.name.cmp(&resource.name));
    at.is_ok_and(|at| sorted[at].version == resource.version)
}

// === impl Refused ===

impl Refused {
    /// Whether anything is refused.
    pub(super) const fn any(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::State(_) => true,
            Self::Responses(responses) => !responses.is_empty(),
        }
    }

    /// Whether the resource of this name is known to be refused.
    pub(super) fn names(&self, name: &str) -> bool {
        self.resources().any(|refused| refused.name.as_str() == name)
    }

    /// Whether the resource is known to be refused in this version.
    pub(super) fn has(&self, resource: &Resource) -> bool {
        self.resources()
            .any(|refused| refused.name == resource.name && refused.version == resource.version)
    }

    /// Whether this very state was refused.
    pub(super) fn is_state(&self, contents: &Contents) -> bool {
        let Self::State(refused) = self else {
            return false;
        };
        let (a, b) = (refused.as_slice(), contents.as_slice());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.version == b.version)
    }

    fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let responses = match self {
            Self::Nothing | Self::State(_) => &[][..],
            Self::Responses(responses) => responses,
        };
        responses.iter().flat_map(|response| &response.resources)
    }

    /// Adds a refused full state.
    pub(super) fn add_state(&mut self, state: &Contents) {
        *self = Self::State(state.clone());
    }

    /// Adds a refused response, as far as it is still asked for. Tells what was refused together with something that is
    /// not, and what was refused in another response together with all of it.
    pub(super) fn add(
        &mut self,
        number: u64,
        response: &Contents,
        removed: &[ResourceName],
        subscription: &Subscription,
    ) -> Suspects {
        let refused = response.as_slice();
        if let Some(known) = self.explains(refused) {
            let rest = refused
                .iter()
                .filter(|resource| !holds(&known, resource) && subscription.selects(resource));
            return Suspects {
                resources: rest.map(|resource| resource.name.clone()).collect(),
                removed: removed.to_vec(),
            };
        }
        let mut suspects = self.explained_by(refused);
        let response = RefusedResponse {
            number,
            resources: refused.to_vec(),
            removed: removed.to_vec(),
        };
        match self {
            Self::Nothing => *self = Self::Responses(vec![response]),
            Self::State(_) => {}
            Self::Responses(responses) => responses.push(response),
        }
        let innocent = self.give_up(subscription);
        suspects.resources.extend(innocent.resources);
        suspects.removed.extend(innocent.removed);
        suspects
    }

    /// What was refused before and is why a response is refused that carries all of it: the rest of that is only suspect.
    fn explains(&self, refused: &[Arc<Resource>]) -> Option<Vec<Arc<Resource>>> {
        let Self::Responses(responses) = self else {
            return None;
        };
        let narrower = |response: &&RefusedResponse| {
            let resources = &response.resources;
            !resources.is_empty() && resources.iter().all(|resource| holds(refused, resource))
        };
        let mut known = responses.iter().filter(narrower);
        known.next().map(|response| response.resources.clone())
    }

    /// Takes out the responses that hold all of this and more, and tells what more. Those that hold some of it stay: which
    /// of their resources are bad is as open as before.
    fn explained_by(&mut self, refused: &[Arc<Resource>]) -> Suspects {
        let mut suspects = Suspects::default();
        let Self::Responses(responses) = self else {
            return suspects;
        };
        responses.retain_mut(|older| {
            if refused.is_empty() || !refused.iter().all(|resource| holds(&older.resources, resource)) {
                return true;
            }
            let more = older.resources.iter().filter(|resource| !holds(refused, resource));
            suspects.resources.extend(more.map(|resource| resource.name.clone()));
            suspects.removed.append(&mut older.removed);
            false
        });
        suspects
    }

    /// The client accepted a full state.
    pub(super) fn accept_state(&mut self) {
        if let Self::State(_) = self {
            *self = Self::Nothing;
        }
    }

    /// Takes out what an accepted response carried. What is left of a refused one is no more innocent than before: the bad
    /// one is among it. Tells the removals of those that are done with, and what was accepted only before it was refused
    /// with others: the client may have given it up in between.
    pub(super) fn accept(&mut self, number: u64, response: &Contents) -> Suspects {
        let accepted = response.as_slice();
        let mut suspects = Suspects::default();
        if let Self::Responses(responses) = self {
            responses.retain_mut(|refused| {
                let is_later = refused.number > number;
                refused.resources.retain(|resource| {
                    let is_innocent = holds(accepted, resource);
                    if is_innocent && is_later {
                        suspects.resources.push(resource.name.clone());
                    }
                    !is_innocent
                });
                if refused.resources.is_empty() {
                    suspects.removed.append(&mut refused.removed);
                }
                !refused.resources.is_empty()
            });
        }
        suspects
    }

    /// Takes out what is no longer asked for.
    pub(super) fn give_up(&mut self, subscription: &Subscription) -> Suspects {
        self.keep_only(|refused| subscription.selects(refused))
    }

    /// Takes out what is gone or has another content by now.
    pub(super) fn supersede(&mut self, by: &TypeResources) -> Suspects {
        self.keep_only(|refused| {
            let now = by.get(refused.name.as_str());
            now.is_some_and(|now| now.version == refused.version)
        })
    }

    /// The same where all that is refused is of the set that the difference starts from: looks only at what differs.
    pub(super) fn supersede_by(&mut self, diff: &Diff) -> Suspects {
        let Self::Responses(responses) = self else {
            return Suspects::default();
        };
        let differing = || diff.changed.iter().chain(&diff.removed);
        let is_refused = |response: &RefusedResponse, other: &Resource| {
            let found = response
                .resources
                .binary_search_by(|refused| refused.name.cmp(&other.name));
            found.is_ok()
        };
        let touched = |response: &RefusedResponse| differing().any(|other| is_refused(response, other));
        if !responses.iter().any(touched) {
            return Suspects::default();
        }
        self.keep_only(|refused| {
            let by_name = |other: &Arc<Resource>| other.name.cmp(&refused.name);
            diff.changed.binary_search_by(by_name).is_err() && diff.removed.binary_search_by(by_name).is_err()
        })
    }

    /// Keeps of each response what `keep` says. A response that loses something is dissolved: what is left of it is only
    /// suspect.
    pub(super) fn keep_only(&mut self, keep: impl Fn(&Resource) -> bool) -> Suspects {
        let mut suspects = Suspects::default();
        let Self::Responses(responses) = self else {
            return suspects;
        };
        responses.retain_mut(|response| {
            if response.resources.iter().all(|refused| keep(refused)) {
                return true;
            }
            let left = response.resources.iter().filter(|refused| keep(refused));
            suspects.resources.extend(left.map(|refused| refused.name.clone()));
            suspects.removed.append(&mut response.removed);
            false
        });
        suspects
    }
}
