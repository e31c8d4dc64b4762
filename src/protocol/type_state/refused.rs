//! The resources that a client has refused, and those that were refused with them.
//!
//! A NACK is for a whole response; the client says only in prose which resource was at fault. So when one resource of a
//! refused response changes, the others may be innocent.

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

/// After this many refusals in a row the client counts as one that refuses everything.
const STRIKES: u8 = 3;

/// The refused resources of one type on one stream that were not accepted, replaced or removed since.
#[derive(Debug)]
pub(in crate::protocol) struct Refused {
    content: Content,
    /// The number of refused responses since one was accepted.
    strikes: u8,
    /// Every refused resource equals that of the base, so only changes from there on can replace it.
    is_of_base: bool,
    /// The last report: the number of refused resources, and some of their names.
    reported: Option<Box<Report>>,
}

/// The number of refused resources, and some of their names.
pub(in crate::protocol) type Report = (usize, Vec<ResourceName>);

#[derive(Debug, Default)]
enum Content {
    #[default]
    Nothing,
    /// A full state, which the next one replaces as a whole.
    State(RefusedState),
    /// Responses that were not a full state.
    Parts(Parts),
}

/// A full state that was refused.
#[derive(Debug)]
struct RefusedState {
    contents: Contents,
    /// The resources that may be at fault: those that were new in it, or that the client accuses.
    suspects: BTreeMap<ResourceName, Arc<Resource>>,
}

/// The rest of refused responses that were not a full state.
#[derive(Debug, Default)]
struct Parts {
    /// Resources that were refused one by one, sorted by name. When one of them changes, nothing else is suspect. A
    /// client that refuses everything has each of its resources here sooner or later.
    alone: Vec<Alone>,
    /// Resources that were refused together.
    together: Vec<RefusedResponse>,
}

/// A resource that was alone in a refused response.
#[derive(Debug)]
struct Alone {
    /// The position of the response among those of the stream.
    number: u64,
    resource: Arc<Resource>,
}

/// The rest of one refused response.
#[derive(Debug)]
struct RefusedResponse {
    /// The position of the response among all responses of the stream.
    number: u64,
    resources: Vec<Arc<Resource>>,
    /// Delta: removals of that response, which were not applied either.
    removed: Vec<ResourceName>,
}

/// Resources and removals to reconsider after a part of a refused response has changed.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Suspects {
    /// Resources that were refused with the changed one and have not changed.
    pub(in crate::protocol) resources: Vec<ResourceName>,
    /// Removals that were refused with it.
    pub(in crate::protocol) removed: Vec<ResourceName>,
}

/// Returns true if the list, which is sorted by name, contains the resource in this version.
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
    pub(in crate::protocol) const fn any(&self) -> bool {
        match &self.content {
            Content::Nothing => false,
            Content::State(_) => true,
            Content::Parts(parts) => !parts.alone.is_empty() || !parts.together.is_empty(),
        }
    }

    pub(in crate::protocol) const fn is_any_state(&self) -> bool {
        matches!(self.content, Content::State(_))
    }

    /// Returns true if the client has refused everything for a while.
    pub(in crate::protocol) const fn is_stubborn(&self) -> bool {
        self.strikes >= STRIKES
    }

    /// Returns true if every refused resource equals that of the base.
    pub(in crate::protocol) const fn is_of_base(&self) -> bool {
        self.is_of_base
    }

    /// Records whether every refused resource equals that of the base.
    pub(in crate::protocol) fn compare_with_base(&mut self, is_of_base: bool) {
        self.is_of_base = is_of_base;
    }

    /// The report of the refused resources with at most this many names, if it differs from the last report.
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

    /// All resources that are known to be refused.
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

    /// Returns true if a resource of this name is known to be refused.
    pub(in crate::protocol) fn names(&self, name: &str) -> bool {
        match &self.content {
            Content::Nothing => false,
            Content::State(state) => state.suspects.contains_key(name),
            Content::Parts(parts) => parts.named(name).next().is_some(),
        }
    }

    /// Returns true if this version of the resource is known to be refused.
    pub(in crate::protocol) fn has(&self, resource: &Resource) -> bool {
        self.parts().is_some_and(|parts| parts.has(resource))
    }

    /// Returns true if this very state was refused.
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

    /// Adds a refused full state. Suspects are its new resources, and earlier suspects that it carries unchanged. If
    /// the client accuses some resources, only those are suspects.
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

    /// Adds a refused response, if all of it is still subscribed. Returns the suspects: the rest of a response that is
    /// no longer fully subscribed, and the rest of earlier responses that contain this one.
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

    /// Records that the client accepted a full state.
    pub(in crate::protocol) fn accept_state(&mut self) {
        self.strikes = 0;
        if let Content::State(_) = self.content {
            self.content = Content::Nothing;
        }
    }

    /// Takes out the resources that an accepted response carried. The rest of a refused response stays suspect, since
    /// the bad resource is among it. Returns the removals of responses that are cleared, and the resources that were
    /// accepted before they were refused with others: the client may have unsubscribed from them in between.
    pub(in crate::protocol) fn accept(&mut self, number: u64, response: &Contents) -> Suspects {
        self.strikes = 0;
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => parts.accept(number, response.as_slice()),
        }
    }

    /// Takes out the resources of a refused response that the client does not accuse, since it has applied them.
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

    /// Takes out resources that are no longer subscribed.
    pub(in crate::protocol) fn give_up(&mut self, subscription: &Subscription) -> Suspects {
        self.keep_only(|refused| subscription.selects(refused))
    }

    /// Takes out resources that the client has removed.
    pub(in crate::protocol) fn forget(&mut self, removed: &[ResourceName]) -> Suspects {
        if removed.is_empty() {
            return Suspects::default();
        }
        let removed: BTreeSet<&ResourceName> = removed.iter().collect();
        self.keep_only(|refused| !removed.contains(&refused.name))
    }

    /// Takes out resources that are gone or have changed by now.
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

    /// Takes out resources that are gone or have changed, and looks only at the difference. Every refused resource must
    /// be in the set that the difference starts from.
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

    /// Keeps the resources that `keep` selects. The other resources of a response that loses one become suspects.
    fn keep_only(&mut self, keep: impl Fn(&Resource) -> bool) -> Suspects {
        match &mut self.content {
            Content::Nothing | Content::State(_) => Suspects::default(),
            Content::Parts(parts) => {
                parts.alone.retain(|alone| keep(&alone.resource));
                parts.dissolve(keep)
            }
        }
    }

    /// Does the same after this response was refused. Resources that were refused alone before do not change.
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
    /// The number of refused resources, and some of their names.
    fn report(&self, most: usize) -> Report {
        let alone = self.alone.iter().map(|alone| &alone.resource);
        let together = self.together.iter().flat_map(|response| &response.resources);
        let mut names: Vec<&ResourceName> = alone.chain(together).map(|resource| &resource.name).collect();
        names.sort_unstable();
        names.dedup();
        (names.len(), names.into_iter().take(most).cloned().collect())
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        let alone = self.alone[self.range(name)].iter().map(|alone| &alone.resource);
        let together = self.together.iter().flat_map(|response| &response.resources);
        alone.chain(together.filter(move |refused| refused.name.as_str() == name))
    }

    /// Returns true if this version of the resource is refused.
    fn has(&self, resource: &Resource) -> bool {
        self.named(resource.name.as_str())
            .any(|refused| refused.version == resource.version)
    }

    /// The range of this name in `alone`.
    fn range(&self, name: &str) -> Range<usize> {
        let start = self.alone.partition_point(|alone| alone.resource.name.as_str() < name);
        let len = self.alone[start..]
            .iter()
            .take_while(|alone| alone.resource.name.as_str() == name)
            .count();
        start..start + len
    }

    /// Keeps, of the resources refused alone under this name, those that `keep` selects.
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

    /// The earlier refusals that explain why this response is refused, because it carries all of their resources.
    /// Sorted. The other resources of the response are only suspects.
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

    /// Takes out the responses that contain all of these resources and more, and returns the rest as suspects.
    /// Responses that contain only some of them stay: which of their resources are bad is as unknown as before.
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

    /// Takes out the responses that lose a resource; their other resources become suspects.
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
