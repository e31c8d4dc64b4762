//! Responses in the making: what changed, what must be sent again and what is owed, put together by the rules of the variant.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Contents, Variant,
    policy::{is_full_state, repeats_unchanged, tells_removal, waits},
    subscription::{Selection, glob_selects},
    type_state::{Step, TypeState},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType},
    snapshot::TypeResources,
};

/// A response in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) resources: Contents,
    pub(super) removed: Vec<ResourceName>,
    pub(super) unresolved: Vec<ResourceName>,
    pub(super) step: Step,
    /// What the client did not hold in this version before: its children are sent again.
    pub(super) changed: Contents,
    /// What the client was at before: a parent's children are told by what is new in it.
    pub(super) from: Option<Arc<TypeResources>>,
    /// It carries children of a changed parent.
    pub(super) children: bool,
    /// What was looked for and is not there: names asked for, empty globs, and names asked for that are gone now.
    pub(super) missing: Vec<ResourceName>,
}

impl Draft {
    /// Whether it holds the resource of this name.
    pub(super) fn carries(&self, name: &ResourceName) -> bool {
        let resources = self.resources.as_slice();
        resources.binary_search_by(|resource| resource.name.cmp(name)).is_ok()
    }
}

impl TypeState {
    /// Puts a response together from what changed and what must be sent again. `None` where there is nothing to say.
    pub(super) fn draft(
        &mut self,
        variant: Variant,
        to: &Arc<TypeResources>,
        reach: Option<&Arc<TypeResources>>,
        changed: Contents,
        mut removed: Vec<ResourceName>,
        first: bool,
    ) -> Option<Draft> {
        let owed = std::mem::take(&mut self.answer);
        let all = self.take_resend_all(to, reach);
        let asked = std::mem::take(&mut self.resend);
        let children_at_first = std::mem::take(&mut self.children_at_first);
        let children = std::mem::take(&mut self.children);
        let globs = std::mem::take(&mut self.globs);
        let mut found = Vec::new();
        let mut missing = all.as_ref().map_or_else(Vec::new, |all| all.missing.clone());
        for name in asked {
            let found_now = self.resolve(&name, to, reach);
            // D-9, W-9: what was given up by name, the wildcard may leave out.
            match found_now.filter(|resource| self.subscription.selects(resource)) {
                Some(resource) => found.push(resource),
                None => {
                    // In delta that is told, and what the client held of it is gone.
                    if variant == Variant::Delta {
                        self.held.remove(&name);
                    }
                    missing.push(name);
                }
            }
        }
        let owes_children = children_at_first || !children.is_empty();
        let answered: BTreeSet<ResourceName> = if children.is_empty() {
            BTreeSet::new()
        } else {
            found
                .iter()
                .map(|resource: &Arc<Resource>| resource.name.clone())
                .collect()
        };
        for name in children.difference(&answered) {
            found.extend(self.resolve_child(name, to, reach));
        }
        for glob in globs {
            let before = found.len();
            let members = to.iter().filter(|r| glob_selects(glob.as_str(), r.name.as_str()));
            found.extend(members.cloned());
            if found.len() == before {
                missing.push(glob);
            }
        }
        let named = |name: &&ResourceName| self.subscription.names().contains(name);
        let vain = missing.iter().chain(removed.iter().filter(named)).cloned().collect();
        self.note_missing(missing.iter().chain(&removed));
        if self.quiet_removals {
            removed.clear();
        }
        let draft = Draft {
            resources: Contents::default(),
            removed,
            unresolved: Vec::new(),
            step: Step::Answer,
            changed,
            from: None,
            children: owes_children,
            missing: vain,
        };
        let draft = match variant {
            Variant::Sotw => {
                let any = !found.is_empty() || all.is_some_and(|all| !all.resources.is_empty());
                let asked = any || (is_full_state(&self.kind) && !missing.is_empty());
                self.draft_sotw(draft, to, reach, found, owed || asked, first)
            }
            Variant::Delta => self.draft_delta(draft, found, missing, owed),
        };
        if let Some(draft) = &draft {
            self.note_found(draft.resources.iter().map(AsRef::as_ref));
        }
        if let Some(draft) = &draft
            && !self.retry.is_empty()
        {
            for resource in draft.resources.as_slice() {
                // Unless it is an accepted version in the place of the refused one.
                let stands_in = self.held.contains_key(&resource.name) && !self.refused.has(resource);
                if !stands_in {
                    self.retry.remove(&resource.name);
                }
            }
        }
        draft
    }

    /// Where every subscribed name is to be answered: what they stand for, if no exception tells this stream from others
    /// with the same names. Otherwise they are to be sent one by one.
    fn take_resend_all(&mut self, to: &TypeResources, reach: Option<&Arc<TypeResources>>) -> Option<Arc<Selection>> {
        if !std::mem::take(&mut self.resend_all) {
            return None;
        }
        let by_name = !self.subscription.is_wildcard() && !self.subscription.has_globs();
        let exceptional = !self.held.is_empty()
            || !self.retained.is_empty()
            || !self.resend.is_empty()
            || !self.children.is_empty()
            || self.refused.any();
        let names = self.subscription.names();
        if by_name && !exceptional && reach.is_none() {
            return Some(names.select(to));
        }
        self.resend.extend(names.iter().cloned());
        None
    }

    /// What a name stands for: in the base, among what is retained, or ahead of the base. What was refused, and what waits
    /// for nothing, is passed over for something newer.
    pub(super) fn resolve(
        &mut self,
        name: &ResourceName,
        to: &TypeResources,
        reach: Option<&Arc<TypeResources>>,
    ) -> Option<Arc<Resource>> {
        let ahead = || reach.and_then(|reach| reach.get(name.as_str()));
        let is_newer = |ahead: &Arc<Resource>| to.get(name.as_str()).is_none_or(|base| base.version != ahead.version);
        // Types that wait for others must not run ahead of them.
        let may_pass = !waits(&self.kind) || self.refused.names(name.as_str());
        let pass_over = may_pass && ahead().is_some_and(is_newer);
        let retained = self.retained.get(name).map(|retained| &retained.resource);
        if let Some(resource) = to.get(name.as_str()).or(retained).filter(|_| !pass_over) {
            // It takes the place of what the client was given ahead of the base.
            self.held.remove(name);
            return Some(Arc::clone(resource));
        }
        let ahead = Arc::clone(ahead()?);
        self.held.insert(ahead.name.clone(), ahead.version.clone());
        if let Some(retained) = self.retained.get_mut(name) {
            retained.certain = false;
        }
        Some(ahead)
    }

    /// What the child of a changed parent is given. The parent waits for it: where the newest was refused, it is better
    /// off with what was accepted before.
    pub(super) fn resolve_child(
        &mut self,
        name: &ResourceName,
        to: &TypeResources,
        reach: Option<&Arc<TypeResources>>,
    ) -> Option<Arc<Resource>> {
        let newest = self.resolve(name, to, reach);
        let is_refused = newest.as_ref().is_some_and(|newest| self.refused.has(newest));
        if !is_refused {
            return newest;
        }
        let acked = self
            .acked
            .as_ref()
            .and_then(|acked| acked.resource(&self.kind, name.as_str()));
        let Some(acked) = acked.cloned() else {
            return newest;
        };
        self.held.insert(acked.name.clone(), acked.version.clone());
        Some(acked)
    }

    pub(super) fn draft_sotw(
        &self,
        mut draft: Draft,
        to: &Arc<TypeResources>,
        reach: Option<&Arc<TypeResources>>,
        found: Vec<Arc<Resource>>,
        asked: bool,
        first: bool,
    ) -> Option<Draft> {
        let wildcard = self.subscription.is_wildcard();
        // Absence means deletion to a client that holds a full state, so it is told of an empty one too (S-9, R-1).
        let may_be_empty = is_full_state(&self.kind) || wildcard;
        let told = tells_removal(&self.kind) && !draft.removed.is_empty();
        // E-4: an error cancels the wait of a client for what is not there.
        let bare = self.bare_errors && !draft.missing.is_empty() && !may_be_empty;
        let due = asked
            || told
            || bare
            || !draft.changed.is_empty()
            || (first && may_be_empty && !self.subscription.is_empty());
        if !due {
            return None;
        }
        draft.removed = Vec::new();
        let ahead = |name: &ResourceName| reach.and_then(|reach| reach.get(name.as_str())).cloned();
        let plain = self.retained.is_empty() && self.held.is_empty();
        draft.resources = if wildcard && !self.subscription.is_partial() && plain {
            Contents::All(Arc::clone(to))
        } else if repeats_unchanged(&self.kind) && !wildcard && !self.subscription.has_globs() && plain {
            Contents::Selected(self.subscription.names().select(to))
        } else if wildcard || repeats_unchanged(&self.kind) {
            let mut all: Vec<_> = if wildcard || self.subscription.has_globs() {
                to.iter().filter(|r| self.subscription.selects(r)).cloned().collect()
            } else {
                self.named(to)
            };
            all.extend(self.retained.values().map(|retained| Arc::clone(&retained.resource)));
            all.extend(self.held.keys().filter_map(ahead));
            sort_once(&mut all);
            Contents::Chosen(all)
        } else {
            draft.changed.with(found)
        };
        ((may_be_empty || bare || !draft.resources.is_empty()) && !self.refused.is_state(&draft.resources))
            .then_some(draft)
    }

    pub(super) fn draft_delta(
        &self,
        mut draft: Draft,
        found: Vec<Arc<Resource>>,
        missing: Vec<ResourceName>,
        owed: bool,
    ) -> Option<Draft> {
        draft.resources = draft.changed.with(found);
        if self.kind == ResourceType::VirtualHost {
            draft.unresolved = missing;
        } else {
            draft.removed.extend(missing);
        }
        draft.removed.sort();
        draft.removed.dedup();
        draft.removed.retain(|name| draft.resources.get(name).is_none());
        let due = owed || !draft.resources.is_empty() || !draft.removed.is_empty() || !draft.unresolved.is_empty();
        due.then_some(draft)
    }
}

pub(super) fn sort_once(resources: &mut Vec<Arc<Resource>>) {
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources.dedup_by(|a, b| a.name == b.name);
}
