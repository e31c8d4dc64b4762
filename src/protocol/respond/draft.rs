//! Drafts of responses: join the changes, the answers and everything owed by the rules of the variant.

use std::sync::Arc;

use super::{client::named, plan::Plan, resolve::Resolution};
use crate::{
    protocol::{
        Contents, Subscription, Variant,
        policy::{is_full_state, removes_by_omission, repeats_unchanged},
        sorted::sort_once,
        type_state::{ClientView, Purpose, Refused, Replaced},
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::TypeResources,
};

#[derive(Debug)]
pub(in crate::protocol) struct Draft {
    pub(in crate::protocol) resources: Contents,
    pub(in crate::protocol) removed: Vec<ResourceName>,
    /// Delta VHDS: names returned without a resource (D-12).
    pub(in crate::protocol) unresolved: Vec<ResourceName>,
    pub(in crate::protocol) purpose: Purpose,
    /// Resources that the client did not hold in this version before: their children are sent again.
    pub(in crate::protocol) changed: Contents,
    /// The resources that the client held before.
    pub(in crate::protocol) replaced: Replaced,
    pub(in crate::protocol) children: bool,
    /// Names that stand first, see `Response::lead`.
    pub(in crate::protocol) lead: Vec<ResourceName>,
    /// Names that were looked up and do not exist: requested names, empty globs, and subscribed names that are gone.
    pub(in crate::protocol) missing: Vec<ResourceName>,
}

/// The parts of a response besides the step.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Asked {
    pub(in crate::protocol) resolution: Resolution,
    /// A response is owed even if it is empty.
    pub(in crate::protocol) owed: bool,
    /// Children of changed parents were owed.
    pub(in crate::protocol) children: bool,
    /// The response is the first of the type on this stream.
    pub(in crate::protocol) first: bool,
}

/// The client that receives the draft, with the view it will have.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Recipient<'a> {
    pub(in crate::protocol) kind: &'a ResourceType,
    pub(in crate::protocol) variant: Variant,
    pub(in crate::protocol) subscription: &'a Subscription,
    pub(in crate::protocol) view: &'a ClientView,
    pub(in crate::protocol) refused: &'a Refused,
    /// The resources of the last unanswered response.
    pub(in crate::protocol) under_way: Option<&'a Contents>,
    pub(in crate::protocol) quiet_removals: bool,
    pub(in crate::protocol) bare_errors: bool,
}

// === impl Draft ===

impl Draft {
    /// Makes the draft of a response; `None` if there is nothing to send.
    #[must_use]
    pub(in crate::protocol) fn compose(
        recipient: Recipient<'_>,
        to: &Arc<TypeResources>,
        step: Plan,
        mut asked: Asked,
    ) -> Option<Self> {
        let missing = std::mem::take(&mut asked.resolution.missing);
        let names = recipient.subscription.names();
        let asked_and_gone = step.removed.iter().filter(|name| names.contains(name));
        let mut draft = Self {
            resources: Contents::default(),
            missing: missing.iter().chain(asked_and_gone).cloned().collect(),
            removed: if recipient.quiet_removals {
                Vec::new()
            } else {
                step.removed
            },
            unresolved: Vec::new(),
            purpose: if step.changed.is_empty() {
                Purpose::Answer
            } else {
                Purpose::Make
            },
            changed: step.changed,
            replaced: step.replaced,
            children: asked.children,
            lead: step.lead,
        };
        let is_due = match recipient.variant {
            Variant::Sotw => draft.fill_sotw(recipient, to, asked, !missing.is_empty()),
            Variant::Delta => draft.fill_delta(recipient, asked, missing),
        };
        is_due.then_some(draft)
    }

    pub(in crate::protocol) fn carries(&self, name: &ResourceName) -> bool {
        self.resources.get(name).is_some()
    }

    /// Fills in the contents of a SotW response; `false` if there is nothing to send.
    fn fill_sotw(
        &mut self,
        recipient: Recipient<'_>,
        to: &Arc<TypeResources>,
        asked: Asked,
        any_missing: bool,
    ) -> bool {
        let Recipient { kind, subscription, .. } = recipient;
        let Resolution { all, found, .. } = asked.resolution;
        let any_found = !found.is_empty() || all.as_ref().is_some_and(|all| !all.resources.is_empty());
        let is_asked = asked.owed || any_found || (is_full_state(kind) && any_missing);
        // S-9, R-1: absence means deletion to a client that holds a full state, so it is sent an empty state too.
        let may_be_empty = is_full_state(kind) || subscription.is_wildcard();
        let removes = removes_by_omission(kind) && !self.removed.is_empty();
        // E-4: an error ends a client's wait for a missing resource.
        let bare = recipient.bare_errors && !self.missing.is_empty() && !may_be_empty;
        let due = is_asked
            || removes
            || bare
            || !self.changed.is_empty()
            || (asked.first && may_be_empty && !subscription.is_empty());
        if !due {
            return false;
        }
        self.removed = Vec::new();
        self.resources = if repeats_unchanged(kind) || subscription.is_wildcard() {
            whole(recipient, to)
        } else if let Some(all) = all {
            Contents::Selected(all).with(found)
        } else {
            self.changed.with(found)
        };
        let says_something = may_be_empty || bare || !self.resources.is_empty();
        let is_known = match recipient.under_way {
            // A further cluster response that repeats the same state.
            Some(sent) => is_full_state(kind) && !any_found && sent.is_same_state(&self.resources),
            None => recipient.refused.is_state(&self.resources),
        };
        says_something && !is_known
    }

    /// Fills in the contents of a delta response; `false` if there is nothing to send.
    fn fill_delta(&mut self, recipient: Recipient<'_>, asked: Asked, missing: Vec<ResourceName>) -> bool {
        let Resolution { all, found, .. } = asked.resolution;
        self.resources = match all {
            Some(all) => Contents::Selected(all).with(found),
            None => self.changed.with(found),
        };
        if *recipient.kind == ResourceType::VirtualHost {
            self.unresolved = missing;
        } else {
            self.removed.extend(missing);
        }
        self.removed.sort();
        self.removed.dedup();
        self.removed.retain(|name| self.resources.get(name).is_none());
        asked.owed || !self.resources.is_empty() || !self.removed.is_empty() || !self.unresolved.is_empty()
    }
}

/// Everything that the client holds of the type: the base's subscribed resources, with the exceptions.
fn whole(recipient: Recipient<'_>, to: &Arc<TypeResources>) -> Contents {
    let Recipient { subscription, view, .. } = recipient;
    let by_name = !subscription.is_wildcard() && !subscription.has_globs();
    if view.is_plain() && subscription.is_wildcard() && !subscription.is_partial() {
        return Contents::All(Arc::clone(to));
    }
    if view.is_plain() && by_name {
        return Contents::Selected(subscription.names().select(to));
    }
    let selected: Vec<_> = if by_name {
        named(subscription, to)
    } else {
        to.iter().filter(|r| subscription.selects(r)).cloned().collect()
    };
    let as_held = |resource: Arc<Resource>| match view.held().get(&resource.name) {
        Some(held) => held.resource.clone().or_else(|| held.is_unknown().then_some(resource)),
        None => Some(resource),
    };
    let mut all: Vec<_> = selected.into_iter().filter_map(as_held).collect();
    let ahead = view.held().values().filter_map(|held| held.resource.clone());
    let retained = view.retained().values().filter(|retained| retained.known);
    all.extend(ahead.chain(retained.map(|retained| Arc::clone(&retained.resource))));
    sort_once(&mut all);
    Contents::Chosen(all)
}
