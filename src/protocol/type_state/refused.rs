//! What a client has refused, and what was refused with it.
//!
//! A NACK is for a response; whose fault it was, the client says only in prose. So when one resource of a refused response
//! changes, the others may have been innocent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::Sent;
use crate::{
    protocol::{Contents, Subscription},
    resource::{Resource, ResourceName},
    snapshot::{Diff, TypeResources},
};

/// Refusals in a row from which on a client is taken for one that refuses everything.
const STRIKES: u8 = 3;

/// What a client has refused and was not given better of since, of one type on one stream.
#[derive(Debug)]
pub(in crate::protocol) struct Refused {
    content: Content,
    /// How many responses were refused since one was accepted.
    strikes: u8,
    /// All that is refused is as the base has it, so that only what changes from there on can be another.
    is_of_base: bool,
    /// How much of it, and which, was reported last.
    reported: Option<Box<Report>>,
}

/// How many resources are refused, and some of their names.
pub(in crate::protocol) type Report = (usize, Vec<ResourceName>);

#[derive(Debug, Default)]
enum Content {
    #[default]
    Nothing,
    /// A full state: the next one replaces it whole.
    State(RefusedState),
    /// Parts of the state.
    Parts(Parts),
}

/// A full state that was refused.
#[derive(Debug)]
struct RefusedState {
    contents: Contents,
    /// Those that may be why: new in it, or accused by the client.
    suspects: BTreeMap<ResourceName, Arc<Resource>>,
}

/// What is left of refused responses that were not a full state.
#[derive(Debug, Default)]
struct Parts {
    /// What was refused one by one, sorted by name: where it changes, nothing else is suspect. A client that refuses
    /// everything has each of its resources here sooner or later.
    alone: Vec<Alone>,
    /// What was refused together.
    together: Vec<RefusedResponse>,
}

/// A resource that was all there was in a refused response.
#[derive(Debug)]
struct Alone {
    /// The response's place among those of the stream.
    number: u64,
    resource: Arc<Resource>,
}

/// What is left of one refused response.
#[derive(Debug)]
struct RefusedResponse {
    /// Its place among the responses of the stream.
    number: u64,
    resources: Vec<Arc<Resource>>,
    /// Delta: removals that were not applied either.
    removed: Vec<ResourceName>,
}

/// What is to be thought over when something of a refused response has changed.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Suspects {
    /// Resources refused with it that are still as they were.
    pub(in crate::protocol) resources: Vec<ResourceName>,
    /// Removals refused with it.
    pub(in crate::protocol) removed: Vec<ResourceName>,
}

/// Whether the resource is in the list, which is sorted by name, in this version.
fn holds(sorted: &[Arc<Resource>], resource: &Resource) -> bool {
    let at = sorted.binary_search_by(|held| held.name.cmp(&resource.name));
    at.is_ok_and(|at| sorted[at].version == resource.version)
}

// === impl Refused ===

impl Default for Refused {
    fn default() -> Self {
        Self {
            content: Content::Nothing,
            strikes: 0,
            is_of_base: true,
            reported: None,
        }
    }
}

impl Refused {
    /// Whether anything is refused.
    pub(in crate::protocol) const fn any(&self) -> bool {
        match &self.content {
            Content::Nothing => false,
            Content::State(_) => true,
            Content::Parts(parts) => !parts.alone.is_empty() || !parts.together.is_empty(),
        }
    }

    /// Whether a full state is refused.
    pub(in crate::protocol) const fn is_any_state(&self) -> bool {
        matches!(self.content, Content::State(_))
    }

    /// Whether the client has refused all it was sent for a while.
    pub(in crate::protocol) const fn is_stubborn(&self) -> bool {
        self.strikes >= STRIKES
    }

    /// Whether all that is refused is as the base has it.
    pub(in crate::protocol) const fn is_of_base(&self) -> bool {
        self.is_of_base
    }

    /// Notes whether all that is refused is as the base has it.
    pub(in crate::protocol) fn compare_with_base(&mut self, is_of_base: bool) {
        self.is_of_base = is_of_base;
    }

    /// What is refused, where that is something else than was reported last.
    pub(in crate::protocol) fn report(&mut self, most: usize) -> Option<Report> {
        if !self.any() && self.reported.is_none() {
            return None;
        }
        let report = match &self.content {
            Content::Nothing => (0, Vec::new()),
            Content::State(state) => (
                state.suspects.len(),
                state.suspects.keys().take(most).cloned().collect(),
            ),
            Content::Parts(parts) => parts.report(most),
        };
        if self.reported.as_deref() == Some(&report) {
            return None;
        }
        self.reported = (report.0 > 0).then(|| Box::new(report.clone()));
        Some(report)
    }

    /// All that is known to be refused.
    pub(in crate::protocol) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let (state, parts) = match &self.content {
            Content::Nothing => (None, None),
            Content::State(state) => (Some(state), None),
            Content::Parts(parts) => (None, Some(parts)),
        };
        let suspects = state.into_iter().flat_map(|state| state.suspects.values());
        let alone = parts
            .into_iter()
            .flat_map(|parts| &parts.alone)
            .map(|alone| &alone.resource);
        let together = parts.into_iter().flat_map(|parts| &parts.together);
        suspects
            .chain(alone)
            .chain(together.flat_map(|response| &response.resources))
    }

    /// Whether the resource of this name is known to be refused.
    pub(in crate::protocol) fn names(&self, name: &str) -> bool {
        match &self.content {
            Content::Nothing => false,
            Content::State(state) => state.suspects.contains_key(name),
            Content::Parts(parts) => parts.named(name).next().is_some(),
        }
    }

    /// Whether the resource is known to be refused in this version.
    pub(in crate::protocol) fn has(&self, resource: &Resource) -> bool {
        self.parts().is_some_and(|parts| parts.has(resource))
    }

    /// Whether this very state was refused.
    pub(in crate::protocol) fn is_state(&self, contents: &Contents) -> bool {
        let Content::State(refused) = &self.content else {
            return false;
        };
        refused.contents.is_same_state(contents)
    }

    const fn parts(&self) -> Option<&Parts> {
        match &self.content {
            Content::Nothing | Content::State(_) => None,
            Content::Parts(parts) => Some(parts),
        }
    }

    /// Adds a refused full state: what was new in it is suspect, and what was suspect before and came again as it was;
    /// where the client accuses some, only they are.
    pub(in crate::protocol) fn add_state(&mut self, sent: &Sent, accused: Option<Contents>) {
        self.strikes = self.strikes.saturating_add(1);
        let named = |resource: &Arc<Resource>| (resource.name.clone(), Arc::clone(resource));
        let suspects = if let Some(accused) = accused {
            accused.iter().map(named).collect()
        } else {
            let mut suspects: BTreeMap<_, _> = sent.changed.iter().map(named).collect();
            if let Content::State(before) = &mut self.content {
                let again = std::mem::take(&mut before.suspects).into_iter().filter(|(_, suspect)| {
                    let carried = sent.resources.get(&suspect.name);
                    carried.is_some_and(|carried| carried.version == suspect.version)
                });
                suspects.extend(again);
            }
            suspects
        };
        self.content = Content::State(RefusedState {
            contents: sent.resources.clone(),
            suspects,
        });
    }

    /// Adds a refused response, as far as it is still asked for. Tells what was refused together with something that is
    /// not, and what was refused in another response together with all of it.
    pub(in crate::protocol) fn add(
        &mut self,
        number: u64,
        response: &Contents,
        removed: &[ResourceName],
        subscription: &Subscription,
    ) -> Suspects {
        self.strikes = self.strikes.saturating_add(1);
        let refused = response.as_slice();
        if let Content::Nothing = self.content {
            self.content = Content::Parts(Parts::default());
        }
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => parts.add(number, refused, removed, subscription),
        }
    }

    /// The client accepted a full state.
    pub(in crate::protocol) fn accept_state(&mut self) {
        self.strikes = 0;
        if let Content::State(_) = self.content {
            self.content = Content::Nothing;
        }
    }

    /// Takes out what an accepted response carried. What is left of a refused one is no more innocent than before: the bad
    /// one is among it. Tells the removals of those that are done with, and what was accepted only before it was refused
    /// with others: the client may have given it up in between.
    pub(in crate::protocol) fn accept(&mut self, number: u64, response: &Contents) -> Suspects {
        self.strikes = 0;
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => parts.accept(number, response.as_slice()),
        }
    }

    /// Takes out what a refused response carried beside what the client accuses: it has applied that.
    pub(in crate::protocol) fn accept_part(
        &mut self,
        number: u64,
        response: &Contents,
        accused: &Contents,
    ) -> Suspects {
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => {
                let applied = response.iter().filter(|resource| accused.get(&resource.name).is_none());
                let applied: Vec<_> = applied.cloned().collect();
                parts.accept(number, &applied)
            }
        }
    }

    /// Takes out what is no longer asked for.
    pub(in crate::protocol) fn give_up(&mut self, subscription: &Subscription) -> Suspects {
        self.keep_only(|refused| subscription.selects(refused))
    }

    /// Takes out what the client has removed.
    pub(in crate::protocol) fn forget(&mut self, removed: &[ResourceName]) -> Suspects {
        if removed.is_empty() {
            return Suspects::default();
        }
        let removed: BTreeSet<&ResourceName> = removed.iter().collect();
        self.keep_only(|refused| !removed.contains(&refused.name))
    }

    /// Takes out what is gone or has another content by now.
    pub(in crate::protocol) fn supersede(&mut self, by: &TypeResources) -> Suspects {
        if let Content::State(state) = &mut self.content {
            state.suspects.retain(|name, suspect| {
                let now = by.get(name.as_str());
                now.is_some_and(|now| now.version == suspect.version)
            });
        }
        self.keep_only(|refused| {
            let now = by.get(refused.name.as_str());
            now.is_some_and(|now| now.version == refused.version)
        })
    }

    /// The same where all that is refused is of the set that the difference starts from: looks only at what differs.
    pub(in crate::protocol) fn supersede_by(&mut self, diff: &Diff) -> Suspects {
        match &mut self.content {
            Content::Nothing => Suspects::default(),
            Content::State(state) => {
                for differing in diff.changed.iter().chain(&diff.removed) {
                    state.suspects.remove(&differing.name);
                }
                Suspects::default()
            }
            Content::Parts(parts) => parts.supersede_by(diff),
        }
    }

    /// Keeps of each response what `keep` says. A response that loses something is dissolved: what is left of it is only
    /// suspect.
    fn keep_only(&mut self, keep: impl Fn(&Resource) -> bool) -> Suspects {
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => {
                parts.alone.retain(|alone| keep(&alone.resource));
                parts.dissolve(keep)
            }
        }
    }

    /// The same after this response was refused: what was refused alone before is as it was.
    pub(in crate::protocol) fn keep_only_after(
        &mut self,
        response: &Contents,
        keep: impl Fn(&Resource) -> bool,
    ) -> Suspects {
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => {
                for resource in response.as_slice() {
                    parts.retain_named(&resource.name, &keep);
                }
                parts.dissolve(keep)
            }
        }
    }
}

// === impl Parts ===

impl Parts {
    /// How many are refused, and some of their names.
    fn report(&self, most: usize) -> Report {
        let alone = self.alone.iter().map(|alone| &alone.resource);
        let together = self.together.iter().flat_map(|response| &response.resources);
        let mut names: Vec<&ResourceName> = alone.chain(together).map(|resource| &resource.name).collect();
        names.sort_unstable();
        names.dedup();
        (names.len(), names.into_iter().take(most).cloned().collect())
    }

    /// What is refused under this name.
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        let alone = self.alone[self.range(name)].iter().map(|alone| &alone.resource);
        let together = self.together.iter().flat_map(|response| &response.resources);
        alone.chain(together.filter(move |refused| refused.name.as_str() == name))
    }

    /// Whether the resource is refused in this version.
    fn has(&self, resource: &Resource) -> bool {
        self.named(resource.name.as_str())
            .any(|refused| refused.version == resource.version)
    }

    /// Where this name is in `alone`.
    fn range(&self, name: &str) -> Range<usize> {
        let start = self.alone.partition_point(|alone| alone.resource.name.as_str() < name);
        let len = self.alone[start..]
            .iter()
            .take_while(|alone| alone.resource.name.as_str() == name)
            .count();
        start..start + len
    }

    /// Keeps of what was refused alone under this name what `keep` says.
    fn retain_named(&mut self, name: &ResourceName, keep: impl Fn(&Resource) -> bool) {
        for at in self.range(name.as_str()).rev() {
            if !keep(&self.alone[at].resource) {
                self.alone.remove(at);
            }
        }
    }

    fn add(
        &mut self,
        number: u64,
        refused: &[Arc<Resource>],
        removed: &[ResourceName],
        subscription: &Subscription,
    ) -> Suspects {
        let selected = |resource: &&Arc<Resource>| subscription.selects(resource);
        let known = self.explaining(refused);
        if !known.is_empty() {
            let rest = refused
                .iter()
                .filter(|resource| !holds(&known, resource))
                .filter(selected);
            return Suspects::of(rest, removed);
        }
        let mut suspects = self.explained_by(refused);
        if !refused.iter().all(|resource| selected(&resource)) {
            let innocent = Suspects::of(refused.iter().filter(selected), removed);
            suspects.resources.extend(innocent.resources);
            suspects.removed.extend(innocent.removed);
            return suspects;
        }
        match (refused, removed) {
            ([resource], []) => {
                let at = self.range(resource.name.as_str()).end;
                let resource = Arc::clone(resource);
                self.alone.insert(at, Alone { number, resource });
            }
            _ => self.together.push(RefusedResponse {
                number,
                resources: refused.to_vec(),
                removed: removed.to_vec(),
            }),
        }
        suspects
    }

    /// What was refused before and is why a response is refused that carries all of it, sorted: the rest of that is only
    /// suspect.
    fn explaining(&self, refused: &[Arc<Resource>]) -> Vec<Arc<Resource>> {
        let is_alone = |resource: &&Arc<Resource>| {
            let mut alone = self.alone[self.range(resource.name.as_str())].iter();
            alone.any(|alone| alone.resource.version == resource.version)
        };
        let mut known: Vec<_> = match self.alone[..] {
            [] => Vec::new(),
            [_, ..] => refused.iter().filter(is_alone).cloned().collect(),
        };
        let narrower = |response: &&RefusedResponse| {
            let resources = &response.resources;
            !resources.is_empty() && resources.iter().all(|resource| holds(refused, resource))
        };
        let together = self.together.iter().filter(narrower);
        known.extend(together.flat_map(|response| response.resources.iter().cloned()));
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    }

    /// Takes out the responses that hold all of this and more, and tells what more. Those that hold some of it stay: which
    /// of their resources are bad is as open as before.
    fn explained_by(&mut self, refused: &[Arc<Resource>]) -> Suspects {
        let mut suspects = Suspects::default();
        self.together.retain_mut(|older| {
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

    fn accept(&mut self, number: u64, accepted: &[Arc<Resource>]) -> Suspects {
        let mut suspects = Suspects::default();
        let mut is_open = |refused: &Arc<Resource>, refused_in: u64| {
            let is_innocent = holds(accepted, refused);
            if is_innocent && refused_in > number {
                suspects.resources.push(refused.name.clone());
            }
            !is_innocent
        };
        self.alone.retain(|alone| is_open(&alone.resource, alone.number));
        for response in &mut self.together {
            let number = response.number;
            response.resources.retain(|refused| is_open(refused, number));
        }
        self.together.retain_mut(|response| {
            if response.resources.is_empty() {
                suspects.removed.append(&mut response.removed);
            }
            !response.resources.is_empty()
        });
        suspects
    }

    fn supersede_by(&mut self, diff: &Diff) -> Suspects {
        for differing in diff.changed.iter().chain(&diff.removed) {
            let range = self.range(differing.name.as_str());
            self.alone.drain(range);
        }
        let is_refused = |response: &RefusedResponse, other: &Resource| {
            let found = response
                .resources
                .binary_search_by(|refused| refused.name.cmp(&other.name));
            found.is_ok()
        };
        let mut differing = diff.changed.iter().chain(&diff.removed);
        if !differing.any(|other| self.together.iter().any(|response| is_refused(response, other))) {
            return Suspects::default();
        }
        self.dissolve(|refused| {
            let by_name = |other: &Arc<Resource>| other.name.cmp(&refused.name);
            diff.changed.binary_search_by(by_name).is_err() && diff.removed.binary_search_by(by_name).is_err()
        })
    }

    /// Takes out the responses of which something is not to be kept: what is left of them is only suspect.
    fn dissolve(&mut self, keep: impl Fn(&Resource) -> bool) -> Suspects {
        let mut suspects = Suspects::default();
        self.together.retain_mut(|response| {
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

// === impl Suspects ===

impl Suspects {
    fn of<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>, removed: &[ResourceName]) -> Self {
        Self {
            resources: resources.map(|resource| resource.name.clone()).collect(),
            removed: removed.to_vec(),
        }
    }
}
