//! Finds the resources of requested names: in the base, in the newer goal, or in a snapshot that a parent came from
//! (O-2, O-16). The lookup changes nothing; its effects on the client's view are applied afterwards.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::client::Client;
use crate::{
    protocol::{
        Contents, Variant,
        policy::waits,
        subscription::{Globs, Selection},
        type_state::{ClientView, Held, Owed},
    },
    resource::{Resource, ResourceName},
    snapshot::TypeResources,
};

#[derive(Clone, Copy)]
pub(in crate::protocol) struct Sources<'a> {
    /// The resources that the response carries anyway.
    pub(in crate::protocol) changed: &'a Contents,
    /// The newest snapshot's resources of the type.
    pub(in crate::protocol) goal: Option<&'a Arc<TypeResources>>,
    /// Returns true if the client still has the clusters that an older form of a resource refers to.
    pub(in crate::protocol) is_usable: &'a dyn Fn(&Resource) -> bool,
    /// Returns true if the client was given everything that the resource refers to, so that it may be sent now.
    pub(in crate::protocol) may_be_sent: &'a dyn Fn(&Resource) -> bool,
    /// Returns true if the client has accepted everything that the resource refers to, so that it may replace another.
    pub(in crate::protocol) may_follow: &'a dyn Fn(&Resource) -> bool,
    /// Finds the resource of this name in a snapshot from which a parent came that the client holds or may hold.
    pub(in crate::protocol) inherited: &'a dyn Fn(&ResourceName) -> Option<Arc<Resource>>,
    /// Finds an older form of a resource, which may replace another.
    pub(in crate::protocol) older: &'a dyn Fn(&Resource) -> Option<Arc<Resource>>,
}

#[derive(Debug, Default)]
pub(in crate::protocol) struct Resolution {
    /// Everything subscribed, in a form that streams with the same names share.
    pub(in crate::protocol) all: Option<Arc<Selection>>,
    pub(in crate::protocol) found: Vec<Arc<Resource>>,
    /// Names without a resource.
    pub(in crate::protocol) missing: Vec<ResourceName>,
    /// Names that are answered later, once the resources that they refer to were given.
    pub(in crate::protocol) late: Vec<ResourceName>,
    effects: Vec<Effect>,
}

/// A change of the client's view by an answer.
#[derive(Debug)]
enum Effect {
    /// The client holds this resource ahead of the base, or in place of that of the base.
    Hold(Arc<Resource>),
    /// The client holds the resource of the base.
    Release(ResourceName),
    /// The client holds a resource that neither the base nor the goal has.
    Retain(Arc<Resource>),
}

enum Found {
    Given(Arc<Resource>),
    Late,
    Nothing,
    /// The client has the resource, and its content is unknown here.
    Held,
}

// === impl Resolution ===

impl Resolution {
    /// Looks up everything that is owed to a client that is at `base`.
    #[must_use]
    pub(in crate::protocol) fn of(
        client: Client<'_>,
        owed: &Owed,
        base: &Arc<TypeResources>,
        sources: Sources<'_>,
    ) -> Self {
        let mut resolution = Self::default();
        let mut names: BTreeSet<&ResourceName> = owed.names.iter().collect();
        if owed.all_names {
            resolution.resolve_all(client, owed, base, &mut names);
        }
        for name in names {
            resolution.resolve_asked(client, name, base, sources);
        }
        if !owed.children.is_empty() {
            let answered: BTreeSet<ResourceName> = resolution.found.iter().map(|found| found.name.clone()).collect();
            for name in owed.children.difference(&answered) {
                resolution.resolve_child(client, name, base, sources);
            }
        }
        if !owed.globs.is_empty() {
            resolution.resolve_globs(&owed.globs, base);
        }
        resolution
    }

    /// Finds the members of all globs in one pass over the set. A glob without members is missing.
    fn resolve_globs(&mut self, written: &BTreeSet<ResourceName>, base: &TypeResources) {
        let globs = Globs::of(written.iter());
        let mut empty: BTreeSet<&ResourceName> = written.iter().collect();
        for resource in base.iter() {
            let around = globs.around(&resource.name);
            if !around.is_empty() {
                self.found.push(Arc::clone(resource));
                for glob in around {
                    empty.remove(glob);
                }
            }
        }
        self.missing.extend(empty.into_iter().cloned());
    }

    /// Resolves every subscribed name. Streams with the same names share the result, if the client has no exceptions.
    /// Names that the base lacks are looked up one by one.
    fn resolve_all<'a>(
        &mut self,
        client: Client<'a>,
        owed: &Owed,
        base: &TypeResources,
        names: &mut BTreeSet<&'a ResourceName>,
    ) {
        let by_name = !client.subscription.is_wildcard() && !client.subscription.has_globs();
        let exceptional =
            !client.view.is_plain() || !owed.names.is_empty() || !owed.children.is_empty() || client.refused.any();
        let subscribed = client.subscription.names();
        if !by_name || exceptional {
            names.extend(subscribed.iter());
            return;
        }
        let all = subscribed.select(base);
        if !all.missing.is_empty() {
            let is_missing = |name: &&ResourceName| all.missing.binary_search(name).is_ok();
            names.extend(subscribed.iter().filter(is_missing));
        }
        self.all = Some(all);
    }

    fn resolve_asked(
        &mut self,
        client: Client<'_>,
        name: &ResourceName,
        base: &Arc<TypeResources>,
        sources: Sources<'_>,
    ) {
        match self.look_up(client, name, base, sources) {
            // D-9, W-9: the wildcard may leave out a name that was unsubscribed.
            Found::Given(resource) if client.subscription.selects(&resource) => self.found.push(resource),
            Found::Given(_) | Found::Nothing => {
                // Delta names what is missing, so the client no longer holds it.
                if client.variant == Variant::Delta {
                    self.effects.push(Effect::Release(name.clone()));
                }
                self.missing.push(name.clone());
            }
            Found::Late => self.late.push(name.clone()),
            Found::Held => {}
        }
    }

    /// Resolves the child of a changed parent. The parent waits for the child; so if the client refused the newest
    /// version, it is given the version that it accepted before.
    fn resolve_child(
        &mut self,
        client: Client<'_>,
        name: &ResourceName,
        base: &Arc<TypeResources>,
        sources: Sources<'_>,
    ) {
        let unknown = client.view.held().get(name).is_some_and(Held::is_unknown);
        if unknown
            && base
                .named(name.as_str())
                .is_some_and(|base| !(sources.may_follow)(base))
        {
            // The resource waits, and the client has an older version of unknown content.
            return;
        }
        match self.look_up(client, name, base, sources) {
            Found::Given(newest) => {
                let accepted = client
                    .view
                    .accepted(&newest.name)
                    .filter(|_| client.refused.has(&newest));
                if let Some(accepted) = accepted {
                    self.effects.push(Effect::Hold(Arc::clone(accepted)));
                    self.found.push(Arc::clone(accepted));
                } else {
                    self.found.push(newest);
                }
            }
            Found::Late => self.late.push(name.clone()),
            Found::Nothing | Found::Held => {}
        }
    }

    fn look_up(
        &mut self,
        client: Client<'_>,
        name: &ResourceName,
        base: &TypeResources,
        sources: Sources<'_>,
    ) -> Found {
        let view = client.view;
        let in_base = base.get(name.as_str());
        let canonical = in_base.map_or(name, |resource| &resource.name);
        if let Some(changed) = sources.changed.get(canonical) {
            return Found::Given(Arc::clone(changed));
        }
        let newest = sources.goal.and_then(|goal| goal.get(name.as_str()));
        if let Some(held) = view.held().get(canonical).filter(|_| in_base.is_some()) {
            return self.look_up_held(held, in_base, sources);
        }
        let is_newer = |newest: &&Arc<Resource>| in_base.is_none_or(|base| base.version != newest.version);
        // A type that waits for others must not run ahead of them.
        let may_pass = |newest: &Resource| {
            !waits(client.kind) || client.refused.names(name.as_str()) || (sources.may_follow)(newest)
        };
        let passes = newest
            .filter(is_newer)
            .is_some_and(|newest| may_pass(newest) && (sources.may_be_sent)(newest));
        let retained = view.retained().get(name);
        if !passes {
            if let Some(resource) = in_base.filter(|resource| (sources.is_usable)(resource)) {
                return self.give_in_order(resource, sources);
            }
            if let Some(retained) = retained {
                if retained.known {
                    return Found::Given(Arc::clone(&retained.resource));
                }
                // A warming cluster waits for endpoints, even if the client has some.
                let inherited = (sources.inherited)(name).filter(|_| !waits(client.kind));
                return inherited.map_or(Found::Held, Found::Given);
            }
        }
        if let Some(newest) = newest {
            // A listener that drains uses the older version.
            let is_used = view.drained().contains_key(name);
            if !(sources.may_be_sent)(newest) || (is_used && !(sources.may_follow)(newest)) {
                return Found::Late;
            }
            self.effects.push(Effect::Hold(Arc::clone(newest)));
            return Found::Given(Arc::clone(newest));
        }
        let Some(inherited) = (sources.inherited)(name) else {
            return Found::Nothing;
        };
        self.effects.push(Effect::Retain(Arc::clone(&inherited)));
        Found::Given(inherited)
    }

    /// Gives a resource that the client asks for only now. If others wait for what it refers to, the resource is given
    /// in the form that came with its parent, if that form is usable already.
    fn give_in_order(&mut self, resource: &Arc<Resource>, sources: Sources<'_>) -> Found {
        if !(sources.may_follow)(resource)
            && let Some(older) = (sources.older)(resource)
        {
            self.effects.push(Effect::Hold(Arc::clone(&older)));
            return Found::Given(older);
        }
        if (sources.may_be_sent)(resource) {
            Found::Given(Arc::clone(resource))
        } else {
            Found::Late
        }
    }

    /// Resolves a name under which the client holds something else than the base says.
    fn look_up_held(&mut self, held: &Held, in_base: Option<&Arc<Resource>>, sources: Sources<'_>) -> Found {
        let Some(in_base) = in_base else {
            return Found::Nothing;
        };
        // A resource that waits is given as the client has it; its step to the newer version keeps to the order.
        if let Some(resource) = &held.resource {
            return Found::Given(Arc::clone(resource));
        }
        let given = if held.is_nothing() {
            self.give_in_order(in_base, sources)
        } else {
            Found::Given(Arc::clone(in_base))
        };
        if matches!(&given, Found::Given(given) if given.version == in_base.version) {
            self.effects.push(Effect::Release(in_base.name.clone()));
        }
        given
    }

    /// Records in the view what the client holds once it was given the results.
    pub(in crate::protocol) fn apply(&mut self, view: &mut ClientView, now: Instant) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Hold(resource) => view.hold(resource.name.clone(), Held::known(&resource)),
                Effect::Release(name) => view.release_held(&name),
                Effect::Retain(resource) => view.retain(&resource, now),
            }
        }
    }
}
