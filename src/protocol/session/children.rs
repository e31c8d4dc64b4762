//! Children: resources that a client asks for by the names it finds in a parent. They follow a changed parent (O-6,
//! O-13), and a client that was given a parent is answered for its children (O-16).

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use crate::{
    protocol::{
        Contents, Session,
        policy::{children, is_child_of, waits},
        respond::draft::Draft,
        sorted::sort_once,
        type_state::TypeState,
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Snapshot, TypeResources},
};

impl Session {
    /// Sends the children of changed parents again, right behind them (O-6, O-13).
    pub(super) fn resend_children(&mut self, parent: &ResourceType, draft: &Draft) {
        // An Envoy drops virtual hosts that came before their route configuration, so they follow each one that is
        // sent.
        let sent = match parent {
            ResourceType::Route => &draft.resources,
            ResourceType::Cluster
            | ResourceType::Endpoint
            | ResourceType::LbEndpoint
            | ResourceType::Listener
            | ResourceType::ScopedRoute
            | ResourceType::VirtualHost
            | ResourceType::Secret
            | ResourceType::Runtime
            | ResourceType::ExtensionConfig
            | ResourceType::Other(_) => &draft.changed,
        };
        if !self.is_aggregated() || sent.is_empty() {
            return;
        }
        for child in children(parent) {
            let returned = self.state_of(parent).is_some_and(|state| state.returned);
            let owed = children_of(parent, child, sent, draft);
            match self.types.iter_mut().find(|state| state.kind == *child) {
                Some(state) => {
                    let goal = self.goal.as_deref().and_then(|goal| goal.get(&state.kind));
                    owe_children(state, parent, owed, goal.map(AsRef::as_ref));
                }
                // D-6: a reconnecting client asks for the parents first, and then for the children with the versions it
                // holds. It needs the children of a parent that changed meanwhile in any case.
                None if returned => self
                    .owed_children
                    .extend(owed.map(|name| (child.clone(), name.clone()))),
                None => {}
            }
        }
    }

    /// Sends the children of parents that changed while the client was away, as soon as it asks for their type (D-6).
    pub(in crate::protocol) fn claim_children(&mut self, index: usize, first: bool) {
        if !first || self.owed_children.is_empty() {
            return;
        }
        let state = &mut self.types[index];
        let owed = std::mem::take(&mut self.owed_children);
        let (ours, others) = owed.into_iter().partition(|(kind, _)| *kind == state.kind);
        self.owed_children = others;
        let goal = self.goal.as_deref().and_then(|goal| goal.get(&state.kind));
        let named = ours.into_iter().flat_map(|(kind, name)| match kind {
            ResourceType::VirtualHost => hosts_of(state, &name, goal.map(AsRef::as_ref)),
            _ => vec![name],
        });
        for name in named.collect::<Vec<_>>() {
            if !state.subscription.selects_name(&name) {
                continue;
            }
            if waits(&state.kind) {
                // The client has an older version, which is replaced in the order of the change.
                state.due.owe_children([name]);
            } else {
                state.view.release_held(&name);
                state.due.owe([name]);
            }
        }
    }

    /// The resource of this name in a snapshot from which a parent came that the client holds or may hold (O-16). For a
    /// cluster that asks for endpoints, every snapshot has an assignment, if only an empty one (O-7).
    pub(super) fn inherited(
        &self,
        kind: &ResourceType,
        name: &ResourceName,
        goal: &Arc<Snapshot>,
    ) -> Option<Arc<Resource>> {
        if !self.is_aggregated() {
            return None;
        }
        let older = self
            .parents_snapshots(kind)
            .filter(|snapshot| !Arc::ptr_eq(snapshot, goal));
        // The newest of several counts: the same name may have meant something else before.
        let published =
            older.filter_map(|snapshot| Some((snapshot.revision(), snapshot.resource(kind, name.as_str())?)));
        let usable = published.filter(|(_, resource)| self.names_given_clusters(resource));
        if let Some((_, found)) = usable.max_by_key(|(revision, _)| *revision) {
            return Some(Arc::clone(found));
        }
        let is_named = |resource: &Arc<Resource>| resource.references_to(kind).any(|named| named == name);
        let mut parents = self.types.iter().filter(|state| is_child_of(kind, &state.kind));
        let is_asked_for = parents.any(|state| state.view.exceptional().any(is_named));
        (*kind == ResourceType::Endpoint && is_asked_for).then(|| Arc::new(Resource::empty_endpoints(name)))
    }

    /// An older form of a resource that waits, which itself need not wait: from the snapshot of a parent, or as it was
    /// sent. A client that asks for the resource may be about to use it in place of another (O-16).
    pub(super) fn older(
        &self,
        kind: &ResourceType,
        newest: &Resource,
        goal: &Snapshot,
        now: Instant,
    ) -> Option<Arc<Resource>> {
        let own = self.state_of(kind).into_iter().flat_map(TypeState::snapshots);
        let all = own.chain(self.parents_snapshots(kind)).filter(|_| self.is_aggregated());
        let known =
            all.filter_map(|snapshot| Some((snapshot.revision(), snapshot.resource(kind, newest.name.as_str())?)));
        let is_other = |older: &Resource| older.version != newest.version;
        let older = known.filter(|(_, older)| {
            is_other(older) && self.names_given_clusters(older) && self.is_in_use_already(older, goal, now)
        });
        older
            .max_by_key(|(revision, _)| *revision)
            .map(|(_, older)| Arc::clone(older))
    }

    /// The snapshots that parents of a type may come from. A reconnecting Envoy may ask for children before their
    /// parents.
    fn parents_snapshots<'a>(&'a self, kind: &'a ResourceType) -> impl Iterator<Item = &'a Arc<Snapshot>> {
        let parents = self.types.iter().filter(|state| is_child_of(kind, &state.kind));
        let remembered = ResourceType::KNOWN.iter().filter(|parent| is_child_of(kind, parent));
        let remembered = remembered.flat_map(|parent| self.memory.snapshots(parent));
        parents.flat_map(TypeState::snapshots).chain(remembered)
    }

    /// The virtual hosts of route configurations that the client has or may have, and that the goal lacks. A first
    /// request for virtual hosts does not say for which route configuration it is (D-12, O-16).
    pub(super) fn inherited_hosts(&self, index: usize, goal: &Arc<Snapshot>) -> Vec<Arc<Resource>> {
        let state = &self.types[index];
        let routes = self.state_of(&ResourceType::Route).filter(|_| self.is_aggregated());
        let Some(routes) = routes.filter(|_| state.kind == ResourceType::VirtualHost) else {
            return Vec::new();
        };
        let is_gone = |route: &ResourceName| goal.resource(&ResourceType::Route, route.as_str()).is_none();
        let sent = routes.in_flight.iter().flat_map(|sent| sent.resources.iter());
        let gone = routes.view.outlasting().chain(sent).map(|route| &route.name);
        let gone: BTreeSet<&str> = gone.filter(|route| is_gone(route)).map(ResourceName::as_str).collect();
        let of_gone = |host: &&Arc<Resource>| {
            let route = host.name.as_str().rsplit_once('/').map(|(route, _)| route);
            route.is_some_and(|route| gone.contains(route)) && state.subscription.selects(host)
        };
        let mut hosts: Vec<Arc<Resource>> = Vec::new();
        for snapshot in routes.snapshots().filter(|_| !gone.is_empty()) {
            let known = snapshot
                .get(&ResourceType::VirtualHost)
                .into_iter()
                .flat_map(|all| all.iter());
            hosts.extend(known.filter(of_gone).cloned());
        }
        sort_once(&mut hosts);
        hosts
    }

    /// Returns true if the client was given every cluster that the resource refers to and that it asks for.
    pub(super) fn names_given_clusters(&self, resource: &Resource) -> bool {
        let mut names = resource.references_to(&ResourceType::Cluster);
        if !self.is_ordered() {
            return true;
        }
        let Some(clusters) = self.state_of(&ResourceType::Cluster) else {
            let is_known = self.memory.knows(&ResourceType::Cluster);
            let is_published = |name: &ResourceName| {
                let goal = self.goal.as_ref();
                goal.is_none_or(|goal| goal.resource(&ResourceType::Cluster, name.as_str()).is_some())
            };
            return names.all(|name| match is_known {
                true => self.memory.holds(&ResourceType::Cluster, name),
                false => is_published(name),
            });
        };
        names.all(|name| !clusters.subscription.selects_name(name) || clusters.view.has_given(name))
    }

    /// The route configurations of a listener or a scope, which the client may ask for as long as it has the parent.
    pub(super) fn routes_of<'a>(
        &'a self,
        parent: &'a TypeState,
        resource: &'a Resource,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        resource.references_to(&ResourceType::Route).filter_map(move |name| {
            let mut snapshots = parent.snapshots();
            snapshots.find_map(|snapshot| snapshot.resource(&ResourceType::Route, name.as_str()))
        })
    }
}

/// The names of the children that must follow changed parents. Of a cluster and of an assignment these are all
/// children, since the client waits for them anew; of a route configuration its virtual hosts, by prefix; of other
/// parents the children that the parent did not refer to before.
fn children_of<'a>(
    parent: &'a ResourceType,
    child: &'a ResourceType,
    sent: &'a Contents,
    draft: &'a Draft,
) -> impl Iterator<Item = &'a ResourceName> {
    let is_route = *parent == ResourceType::Route;
    let anew = matches!(parent, ResourceType::Cluster | ResourceType::Endpoint);
    sent.iter().flat_map(move |resource| {
        let prefix = is_route.then_some(&resource.name);
        let from = draft.replaced.from.as_ref();
        let old = from.and_then(|from| from.get(resource.name.as_str()));
        let named_before =
            move |name: &ResourceName| old.is_some_and(|old| old.references_to(child).any(|n| n == name));
        let named = resource.references_to(child).filter(move |_| !is_route);
        prefix
            .into_iter()
            .chain(named.filter(move |name| anew || !named_before(name)))
    })
}

fn owe_children<'a>(
    state: &mut TypeState,
    parent: &ResourceType,
    mut owed: impl Iterator<Item = &'a ResourceName>,
    goal: Option<&TypeResources>,
) {
    if *parent == ResourceType::Route {
        let hosts: Vec<ResourceName> = owed.flat_map(|route| hosts_of(state, route, goal)).collect();
        state.due.owe_children(hosts);
    } else if state.fresh && state.view.held().is_empty() {
        // The first response of the type will hold everything subscribed.
        let any = owed.any(|name| state.subscription.selects_name(name));
        state.due.owe_children_at_first(any);
    } else {
        let subscribed = owed.filter(|name| state.subscription.selects_name(name));
        let subscribed: Vec<_> = subscribed.cloned().collect();
        state.due.owe_children(subscribed);
    }
}

/// The virtual hosts of a route configuration that the client asked for, was given, or will be given next (D-12).
fn hosts_of(state: &TypeState, route: &ResourceName, goal: Option<&TypeResources>) -> Vec<ResourceName> {
    let of_route = |name: &ResourceName| {
        let namespace = name.as_str().rsplit_once('/').map(|(namespace, _)| namespace);
        namespace == Some(route.as_str())
    };
    let asked = state.subscription.names().iter().filter(|name| of_route(name)).cloned();
    let base = state.view.resources().map(AsRef::as_ref);
    let sets = base
        .into_iter()
        .chain(goal)
        .filter(|_| state.subscription.is_wildcard());
    let given = sets.flat_map(TypeResources::iter).map(|host| host.name.clone());
    let given = given.filter(|name| state.subscription.selects_name(name));
    asked.chain(given.filter(of_route)).collect()
}
