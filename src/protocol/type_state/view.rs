//! The resources that the client holds of one type: a snapshot and few exceptions, never a map of all names.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use crate::{
    protocol::Subscription,
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version},
    snapshot::{Snapshot, TypeResources},
};

/// The resources that the client holds of one type.
#[derive(Debug)]
pub(in crate::protocol) struct ClientView {
    kind: ResourceType,
    /// The snapshot that the client was last advanced to; `None` until the first response.
    base: Option<Arc<Snapshot>>,
    /// The base's resources of this type, which each response reads many times.
    resources: Option<Arc<TypeResources>>,
    /// The snapshot that the base's resources came from. The base itself follows newer snapshots with the same
    /// resources.
    source: Option<Arc<Snapshot>>,
    /// The last base that was ACKed: refused changes are measured from it (O-4).
    acked: Option<Arc<Snapshot>>,
    /// Names under which the client holds something else than the base says: a change that waits (O-15), a version that
    /// was presented at a reconnect (D-5), an answer ahead of the base.
    held: BTreeMap<ResourceName, Held>,
    /// Resources that are gone from the base, kept by the client until nothing can need them (O-3, O-12, O-16).
    retained: BTreeMap<ResourceName, Retained>,
    rare: Option<Box<Rare>>,
}

/// State that few clients have, and those not for long.
#[derive(Debug, Default)]
struct Rare {
    /// The exceptions from `acked` at the time of that ACK.
    acked_exceptions: Exceptions,
    /// Removed route configurations that the client still asks for: a listener drains with them (O-12).
    drained: BTreeMap<ResourceName, Arc<Resource>>,
    /// The older resources that the client keeps in place of those that it refused (S-8).
    fallback: BTreeMap<ResourceName, Arc<Resource>>,
    /// Earlier bases, newest last: children of resources that the base lacks are looked up in them (O-16).
    origins: VecDeque<Arc<Snapshot>>,
}

/// The state of most clients.
static NOTHING_RARE: Rare = Rare {
    acked_exceptions: Exceptions {
        held: BTreeMap::new(),
        retained: BTreeMap::new(),
    },
    drained: BTreeMap::new(),
    fallback: BTreeMap::new(),
    origins: VecDeque::new(),
};

/// The number of earlier bases that are kept: with more publishes during one wait, the oldest base is dropped.
const ORIGINS: usize = 6;

/// The resource that the client holds under one name, where the base says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Held {
    /// Empty where the client holds nothing: no resource has an empty version.
    pub(in crate::protocol) version: Version,
    /// `None` where the content is unknown, or the client holds nothing.
    pub(in crate::protocol) resource: Option<Arc<Resource>>,
}

/// A resource that the client keeps though it is gone.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Retained {
    pub(in crate::protocol) resource: Arc<Resource>,
    /// The content is known. Of a resource that the client presented, often only the version is known.
    pub(in crate::protocol) known: bool,
    /// The time of the removal: no hold lasts for ever.
    pub(in crate::protocol) since: Instant,
    /// Names of the same type that came with the removal. They may take its place, so the hold waits for them.
    pub(in crate::protocol) successors: Arc<[ResourceName]>,
    /// The time at which everything that takes its place was first ACKed (O-12).
    pub(in crate::protocol) made: Option<Instant>,
    /// The client was not sent another version that it refused. It may have applied such a version (S-8).
    pub(in crate::protocol) certain: bool,
}

/// The differences of the client's resources from a snapshot.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Exceptions {
    pub(in crate::protocol) held: BTreeMap<ResourceName, Held>,
    pub(in crate::protocol) retained: BTreeMap<ResourceName, Retained>,
}

// === impl Held ===

impl Held {
    /// The client holds nothing under the name.
    pub(in crate::protocol) fn nothing() -> Self {
        Self {
            version: Version::from(""),
            resource: None,
        }
    }

    pub(in crate::protocol) fn known(resource: &Arc<Resource>) -> Self {
        Self {
            version: resource.version.clone(),
            resource: (!resource.is_unknown()).then(|| Arc::clone(resource)),
        }
    }

    /// Replaces the version by one that no resource has, so that the resource is sent again.
    pub(in crate::protocol) fn doubted(self) -> Self {
        Self {
            version: Version::from(format!("{}?", self.version)),
            ..self
        }
    }

    pub(in crate::protocol) fn is_nothing(&self) -> bool {
        self.version.as_str().is_empty()
    }

    /// Returns true if the client holds a resource of unknown content.
    pub(in crate::protocol) fn is_unknown(&self) -> bool {
        self.resource.is_none() && !self.is_nothing()
    }
}

// === impl Retained ===

impl Retained {
    /// A resource that the client keeps since this moment, and may have replaced by another version.
    pub(in crate::protocol) fn left(resource: &Arc<Resource>, since: Instant) -> Self {
        Self {
            resource: Arc::clone(resource),
            known: true,
            since,
            successors: Arc::default(),
            made: None,
            certain: false,
        }
    }
}

// === impl ClientView ===

impl ClientView {
    /// The view of a client that was sent nothing yet.
    pub(in crate::protocol) const fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            base: None,
            resources: None,
            source: None,
            acked: None,
            held: BTreeMap::new(),
            retained: BTreeMap::new(),
            rare: None,
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The snapshots that the client's resources may come from.
    pub(in crate::protocol) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.base
            .iter()
            .chain(&self.source)
            .chain(&self.acked)
            .chain(self.rare().origins.iter().rev())
    }

    /// The snapshot that the client was last advanced to.
    pub(in crate::protocol) const fn base(&self) -> Option<&Arc<Snapshot>> {
        self.base.as_ref()
    }

    /// The base's resources of this type.
    pub(in crate::protocol) const fn resources(&self) -> Option<&Arc<TypeResources>> {
        self.resources.as_ref()
    }

    pub(in crate::protocol) const fn acked(&self) -> Option<&Arc<Snapshot>> {
        self.acked.as_ref()
    }

    /// The differences of the client's resources from `acked` at the time of that ACK.
    pub(in crate::protocol) fn acked_exceptions(&self) -> &Exceptions {
        &self.rare().acked_exceptions
    }

    /// The resource that the client last accepted under the name.
    pub(in crate::protocol) fn accepted(&self, name: &ResourceName) -> Option<&Arc<Resource>> {
        if let Some(held) = self.rare().acked_exceptions.held.get(name) {
            return held.resource.as_ref();
        }
        self.acked.as_ref()?.resource(&self.kind, name.as_str())
    }

    pub(in crate::protocol) const fn held(&self) -> &BTreeMap<ResourceName, Held> {
        &self.held
    }

    pub(in crate::protocol) const fn retained(&self) -> &BTreeMap<ResourceName, Retained> {
        &self.retained
    }

    pub(in crate::protocol) fn retained_mut(&mut self) -> impl Iterator<Item = &mut Retained> {
        self.retained.values_mut()
    }

    pub(in crate::protocol) fn drained(&self) -> &BTreeMap<ResourceName, Arc<Resource>> {
        &self.rare().drained
    }

    /// Returns true if the client holds exactly what the base says.
    pub(in crate::protocol) fn is_plain(&self) -> bool {
        self.held.is_empty() && self.retained.is_empty()
    }

    /// Returns true if the client may hold something else than the snapshot's resources of this type.
    pub(in crate::protocol) fn lags_behind(&self, goal: &Snapshot, subscription: &Subscription) -> bool {
        match (self.resources(), goal.get(&self.kind)) {
            (Some(base), Some(goal)) => !Arc::ptr_eq(base, goal) || !self.held.is_empty(),
            (None, Some(_)) => self.base.is_some() || !subscription.is_empty(),
            (_, None) => false,
        }
    }

    /// The resource of known content that the client holds under the name: where it refused a version, the one before.
    pub(in crate::protocol) fn holding(&self, name: &ResourceName) -> Option<&Arc<Resource>> {
        if let Some(before) = self.rare().fallback.get(name) {
            return Some(before);
        }
        if let Some(held) = self.held.get(name) {
            return held.resource.as_ref();
        }
        let base = self.resources().and_then(|base| base.named(name.as_str()));
        let retained = || self.retained.get(name).map(|retained| &retained.resource);
        base.or_else(retained).or_else(|| self.rare().drained.get(name))
    }

    /// Returns true if the client may not hold the retained version under the name, because of a refusal.
    pub(in crate::protocol) fn is_doubtful(&self, name: &ResourceName) -> bool {
        self.retained.get(name).is_some_and(|retained| !retained.certain)
    }

    /// Returns true if the client was sent a resource under the name, and not its removal.
    pub(in crate::protocol) fn has_given(&self, name: &ResourceName) -> bool {
        match self.held.get(name) {
            Some(held) => !held.is_nothing(),
            None => {
                let in_base = self.resources().is_some_and(|base| base.get(name.as_str()).is_some());
                in_base || self.retained.contains_key(name)
            }
        }
    }

    /// Returns true if the client was sent the name as in the snapshot.
    pub(in crate::protocol) fn has_given_as_in(&self, goal: &Snapshot, name: &ResourceName) -> bool {
        let Some(now) = goal.resource(&self.kind, name.as_str()) else {
            return true;
        };
        match self.held.get(&now.name) {
            Some(held) => held.version == now.version,
            None => {
                let base = self.resources().and_then(|base| base.named(now.name.as_str()));
                base.is_some_and(|base| base.version == now.version)
            }
        }
    }

    /// Resources that the client may hold in place of the base's, because their successors wait or were refused.
    pub(in crate::protocol) fn superseded(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let held = self.held.values().filter_map(|held| held.resource.as_ref());
        held.chain(self.rare().fallback.values())
    }

    /// Resources that the client holds, or may hold, and the base lacks: they are retained, or drain.
    pub(in crate::protocol) fn outlasting(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let retained = self.retained.values().map(|retained| &retained.resource);
        retained.chain(self.rare().drained.values())
    }

    /// The superseded and the outlasting resources.
    pub(in crate::protocol) fn exceptional(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.superseded().chain(self.outlasting())
    }

    /// Returns true if the client holds a resource of unknown content, which may refer to anything.
    pub(in crate::protocol) fn holds_unknown(&self) -> bool {
        self.held.values().any(Held::is_unknown) || self.exceptional().any(|resource| resource.is_unknown())
    }

    /// Returns true if the client holds a resource of unknown content under this name.
    pub(in crate::protocol) fn holds_unknown_as(&self, name: &ResourceName) -> bool {
        let is_unknown = |retained: &Retained| !retained.known;
        self.held.get(name).is_some_and(Held::is_unknown) || self.retained.get(name).is_some_and(is_unknown)
    }

    /// A placeholder for the resource of unknown content that the client holds under the name.
    pub(in crate::protocol) fn unknown_as(&self, name: &ResourceName) -> Option<Arc<Resource>> {
        let held = self.held.get(name).filter(|held| held.is_unknown());
        let retained = self.retained.get(name).filter(|retained| !retained.known);
        let version = held.map(|held| &held.version);
        let version = version.or_else(|| retained.map(|retained| &retained.resource.version))?;
        Some(Arc::new(Resource::unknown(name, version)))
    }

    /// The resources of these names that the client holds as in the base.
    pub(in crate::protocol) fn present<'a>(
        &'a self,
        names: impl Iterator<Item = &'a ResourceName>,
    ) -> impl Iterator<Item = &'a Resource> {
        let base = self.resources();
        let present = names.filter_map(move |name| base?.get(name.as_str()).map(AsRef::as_ref));
        present.filter(|resource: &&Resource| !self.held.contains_key(&resource.name))
    }

    /// The version of the base and its exceptions together: equal versions must mean equal content (S-3).
    pub(in crate::protocol) fn version_with_exceptions(&self) -> Version {
        let base = self.resources().expect("a response is made from a base").version();
        let held = self.held.iter().map(|(name, held)| (name, &held.version));
        let retained = self.retained.iter().map(|(name, left)| (name, &left.resource.version));
        let mut texts = held
            .chain(retained)
            .flat_map(|(name, version)| [name.as_str(), version.as_str()])
            .peekable();
        if texts.peek().is_none() {
            return base.clone();
        }
        Version::from(format!("{base}+{}", ContentHash::of_texts(texts)))
    }

    // === changes ===

    /// Advances the client to the snapshot, with these exceptions.
    pub(in crate::protocol) fn advance(&mut self, goal: &Arc<Snapshot>, exceptions: Exceptions) {
        let was_plain = self.is_plain();
        self.held = exceptions.held;
        self.retained = exceptions.retained;
        let to = goal.get(&self.kind);
        let is_same = matches!((self.resources(), to), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
        if !is_same {
            self.source = Some(Arc::clone(goal));
        }
        // From one plain ACKed state to the next, `acked` suffices and no origin is needed.
        let acked = self.acked.as_ref().and_then(|acked| acked.get(&self.kind));
        let was_acked = self.resources().map(Arc::as_ptr) == acked.map(Arc::as_ptr);
        let has_others = !was_acked || !was_plain || !self.is_plain() || self.falls_back();
        if has_others
            && let Some(base) = self.base.take()
            && !Arc::ptr_eq(&base, goal)
        {
            let origins = &mut self.rare_mut().origins;
            origins.truncate(ORIGINS);
            if origins.len() == ORIGINS {
                origins.pop_front();
            }
            origins.push_back(base);
        }
        if let (Some(to), Some(rare)) = (to, &mut self.rare) {
            // A route configuration that returns and waits still drains.
            let held = &self.held;
            let drains = |name: &ResourceName| to.get(name.as_str()).is_none() || held.contains_key(name);
            rare.drained.retain(|name, _| drains(name));
        }
        self.rebase(goal);
    }

    fn rebase(&mut self, to: &Arc<Snapshot>) {
        self.resources = to.get(&self.kind).cloned();
        self.base = Some(Arc::clone(to));
    }

    /// Records, without a response, that the client holds the snapshot. `accepted`: no response is open or refused.
    pub(in crate::protocol) fn settle(&mut self, goal: &Arc<Snapshot>, accepted: bool) {
        if accepted {
            self.accept(Arc::clone(goal));
        }
        self.rebase(goal);
    }

    /// Follows a snapshot with the same resources of this type, so that the older snapshot can be freed.
    pub(in crate::protocol) fn follow(&mut self, goal: &Arc<Snapshot>) {
        let is_goal = |held: &Option<Arc<Snapshot>>| held.as_ref().is_some_and(|held| Arc::ptr_eq(held, goal));
        if is_goal(&self.base) && is_goal(&self.acked) {
            return;
        }
        let same = |held: &Option<Arc<Snapshot>>| {
            if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, goal)) {
                return false;
            }
            let resources = held.as_ref().and_then(|held| held.get(&self.kind));
            matches!((resources, goal.get(&self.kind)), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
        };
        if same(&self.acked) {
            self.acked = Some(Arc::clone(goal));
        }
        if same(&self.base) {
            self.base = Some(Arc::clone(goal));
        }
    }

    /// Records that the client accepted the snapshot, and that no other response is open or refused.
    pub(in crate::protocol) fn accept(&mut self, snapshot: Arc<Snapshot>) {
        self.acked = Some(snapshot);
        let is_plain = self.is_plain();
        if is_plain && self.rare.is_none() {
            return;
        }
        let acked_exceptions = Exceptions {
            held: self.held.clone(),
            retained: self.retained.clone(),
        };
        let rare = self.rare_mut();
        rare.acked_exceptions = acked_exceptions;
        if is_plain && rare.fallback.is_empty() {
            rare.origins.clear();
            if rare.drained.is_empty() {
                self.rare = None;
            }
        }
    }

    /// Records what the client holds under the name, whatever the base says.
    pub(in crate::protocol) fn hold(&mut self, name: ResourceName, held: Held) {
        if let Some(retained) = self.retained.get_mut(&name) {
            retained.certain = false;
        }
        self.held.insert(name, held);
    }

    /// Records snapshots that the client's resources may come from.
    pub(in crate::protocol) fn remember(&mut self, origins: Vec<Arc<Snapshot>>) {
        if self.rare.is_some() || !origins.is_empty() {
            self.rare_mut().origins = origins.into_iter().take(ORIGINS).collect();
        }
    }

    /// Restores the state of the client from an earlier stream.
    pub(in crate::protocol) fn restore(
        &mut self,
        acked: Arc<Snapshot>,
        held: BTreeMap<ResourceName, Held>,
        retained: BTreeMap<ResourceName, Retained>,
        origins: Vec<Arc<Snapshot>>,
    ) {
        self.remember(origins);
        self.rebase(&acked);
        self.held = held;
        self.retained = retained;
        self.accept(acked);
    }

    /// Takes the resources that the client presents with its first request.
    pub(in crate::protocol) fn take_over(&mut self, held: BTreeMap<ResourceName, Held>) {
        self.held = held;
    }

    /// Records that the client holds the base's resource under the name.
    pub(in crate::protocol) fn release_held(&mut self, name: &ResourceName) {
        self.held.remove(name);
    }

    /// Keeps with the client a resource that the base lacks.
    pub(in crate::protocol) fn retain(&mut self, resource: &Arc<Resource>, now: Instant) {
        self.held.remove(&resource.name);
        let left = || Retained::left(resource, now);
        self.retained.entry(resource.name.clone()).or_insert_with(left);
    }

    /// Records that the client may not have applied the versions it was sent under these names.
    pub(in crate::protocol) fn doubt<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>) {
        for name in names {
            if let Some(retained) = self.retained.get_mut(name) {
                retained.certain = false;
            }
        }
    }

    /// Removes a retained resource from the client; with `drains`, a listener still drains with this route.
    pub(in crate::protocol) fn release(&mut self, name: &ResourceName, drains: bool) -> Option<Arc<Resource>> {
        let resource = self.retained.remove(name)?.resource;
        if drains {
            self.rare_mut().drained.insert(name.clone(), Arc::clone(&resource));
        }
        Some(resource)
    }

    /// Records route configurations that the client still asks for and drains with.
    pub(in crate::protocol) fn drain(&mut self, drained: BTreeMap<ResourceName, Arc<Resource>>) {
        if self.rare.is_some() || !drained.is_empty() {
            self.rare_mut().drained = drained;
        }
    }

    /// Forgets a name that the client unsubscribed from; `covered` if the rest of its subscription covers the name.
    pub(in crate::protocol) fn drop_name(&mut self, name: &ResourceName, covered: bool) {
        self.held.remove(name);
        if !covered {
            self.retained.remove(name);
        }
        if let Some(rare) = &mut self.rare {
            rare.drained.remove(name);
            if !covered {
                rare.fallback.remove(name);
            }
        }
    }

    /// Records the older resources that the client keeps in place of those that it refused.
    pub(in crate::protocol) fn fall_back(&mut self, on: impl IntoIterator<Item = Arc<Resource>>) {
        for resource in on {
            let fallback = &mut self.rare_mut().fallback;
            fallback.entry(resource.name.clone()).or_insert(resource);
        }
    }

    /// Forgets the fallbacks under names that the client accepted or unsubscribed from.
    pub(in crate::protocol) fn forget_fallback<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>) {
        if let Some(rare) = &mut self.rare {
            for name in names {
                rare.fallback.remove(name);
            }
        }
    }

    /// The older resource that the client keeps under the name, where it refused the successor.
    pub(in crate::protocol) fn before_refusal(&self, name: &ResourceName) -> Option<&Arc<Resource>> {
        self.rare().fallback.get(name)
    }

    /// Returns true if the client keeps any older resource in place of a refused one.
    pub(in crate::protocol) fn falls_back(&self) -> bool {
        !self.rare().fallback.is_empty()
    }

    /// Keeps only the fallbacks of names that are still refused.
    pub(in crate::protocol) fn retain_fallback(&mut self, is_refused: impl Fn(&ResourceName) -> bool) {
        if let Some(rare) = &mut self.rare {
            rare.fallback.retain(|name, _| is_refused(name));
        }
    }
}
