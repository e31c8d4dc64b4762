//! Rehearsal of a change: the messages that a node would be sent on the way from one snapshot to the next, in order.
//! The node's streams are played by the sessions that serve, with a client that accepts everything at once.
//!
//! A rehearsal is made while a publish is planned. It touches no open stream.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{Policy, Response, Scope, Session, Subscription, Variant, policy::removes_by_omission};
use crate::{
    resource::{ResourceName, ResourceType, Version},
    snapshot::Snapshot,
};

/// The most messages of one rehearsal. No order has as many steps, so the limit only ends an endless loop.
const MESSAGES: usize = 1000;

/// One stream of a node, and its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RehearsedStream {
    /// SotW or delta.
    pub variant: Variant,
    /// ADS, or a service of one type.
    pub scope: Scope,
    /// The subscriptions, by type.
    pub subscriptions: Vec<(ResourceType, Subscription)>,
}

/// One message that a node would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The type of its resources.
    pub resource_type: ResourceType,
    /// Messages of one round follow one another at once; those of the next wait for the ACKs of all before.
    pub round: usize,
    /// Names that the node does not have yet.
    pub added: Vec<ResourceName>,
    /// Names that the node has in another version.
    pub changed: Vec<ResourceName>,
    /// Names that are removed from the node.
    pub removed: Vec<ResourceName>,
    /// The number of unchanged resources sent again: children of a changed parent (O-6, O-13), repeats of a SotW
    /// response.
    pub repeated: usize,
}

/// A node that accepts everything, and its streams.
struct Rehearsal {
    policy: Arc<Policy>,
    variant: Variant,
    sessions: Vec<Session>,
    now: Instant,
    messages: Vec<Message>,
    /// The node has its first state, and messages are recorded from now on.
    has_begun: bool,
    /// The node's differences from `from`; `None` for a resource that was removed.
    holds: BTreeMap<(ResourceType, ResourceName), Option<Version>>,
    from: Option<Arc<Snapshot>>,
    /// The subscriptions at the time of `from`.
    subscribed: Vec<(ResourceType, Subscription)>,
}

/// Returns the messages that bring a node with these streams from one snapshot to another. The node has accepted
/// everything of `from`, and accepts everything of `to`. `now` is any moment: waits are skipped.
#[must_use]
pub fn rehearse(
    policy: &Arc<Policy>,
    parts: &[RehearsedStream],
    from: Option<&Arc<Snapshot>>,
    to: &Arc<Snapshot>,
    now: Instant,
) -> Vec<Message> {
    let mut rehearsal = Rehearsal {
        policy: Arc::clone(policy),
        variant: parts.first().map_or(Variant::Sotw, |part| part.variant),
        sessions: Vec::new(),
        now,
        messages: Vec::new(),
        holds: BTreeMap::new(),
        has_begun: false,
        from: None,
        subscribed: Vec::new(),
    };
    for part in parts {
        rehearsal.open(part);
    }
    if let Some(from) = from {
        rehearsal.advance_to(from);
    }
    rehearsal.begin(from.cloned());
    rehearsal.advance_to(to);
    rehearsal.messages.retain(Message::says_something);
    rehearsal.messages
}

// === impl Message ===

impl Message {
    /// An empty answer to a request says nothing about the change.
    fn says_something(&self) -> bool {
        self.repeated > 0
            || [&self.added, &self.changed, &self.removed]
                .iter()
                .any(|names| !names.is_empty())
    }
}

// === impl Rehearsal ===

impl Rehearsal {
    fn open(&mut self, part: &RehearsedStream) {
        let mut session = Session::new(
            part.variant,
            part.scope.clone(),
            Arc::clone(&self.policy),
            "rehearsal".into(),
            String::new(),
        );
        for (kind, subscription) in &part.subscriptions {
            if let Ok((index, _)) = session.find_or_add_type(kind) {
                session.types[index].subscription = subscription.clone();
            }
        }
        self.sessions.push(session);
    }

    /// Makes the present state the starting point: messages are recorded from now on.
    fn begin(&mut self, from: Option<Arc<Snapshot>>) {
        self.has_begun = true;
        self.from = from;
        let types = self.sessions.iter().flat_map(|session| &session.types);
        let subscribed = types.map(|state| (state.kind.clone(), state.subscription.clone()));
        self.subscribed = subscribed.collect();
    }

    /// Plays all streams until no session has anything more to send.
    fn advance_to(&mut self, snapshot: &Arc<Snapshot>) {
        for session in &mut self.sessions {
            session.on_snapshot(Arc::clone(snapshot));
        }
        for round in 0..MESSAGES {
            let sent = self.receive(round);
            self.accept(&sent);
            if sent.is_empty() && !self.wait() {
                return;
            }
        }
    }

    /// Takes every response that needs no further ACK, and subscribes to the names that it refers to.
    fn receive(&mut self, round: usize) -> Vec<(usize, Response)> {
        let mut received = Vec::new();
        let mut at = 0;
        while at < self.sessions.len() && received.len() <= MESSAGES {
            let Some(response) = self.sessions[at].poll_response(self.now) else {
                at += 1;
                continue;
            };
            if response.heartbeats.is_empty() {
                if self.has_begun {
                    self.note(&response, round);
                }
                self.ask_for_children(&response);
                self.give_up_endpoints();
            }
            received.push((at, response));
            // An earlier stream may serve the names that were just subscribed.
            at = 0;
        }
        received
    }

    fn accept(&mut self, sent: &[(usize, Response)]) {
        for (at, response) in sent {
            let (session, delivery) = (&mut self.sessions[*at], &response.delivery);
            if let Ok((index, _)) = session.find_or_add_type(&delivery.resource_type) {
                session.on_nonce(index, &delivery.nonce.to_string(), delivery.version.as_str(), None);
            }
        }
        for session in &mut self.sessions {
            while session.poll_outcome().is_some() {}
        }
    }

    /// Advances the clock to the next timeout. Returns `false` if no session waits for time to pass.
    fn wait(&mut self) -> bool {
        let next = self.sessions.iter().filter_map(Session::poll_timeout).min();
        let later = next.filter(|next| *next > self.now);
        self.now = later.unwrap_or(self.now);
        later.is_some()
    }

    /// Subscribes to the resources that a response refers to, as clients do.
    fn ask_for_children(&mut self, response: &Response) {
        let mut wanted: BTreeMap<&ResourceType, BTreeSet<&str>> = BTreeMap::new();
        for reference in response.resources.iter().flat_map(|resource| &resource.references) {
            if self.asks_for_by_name(&reference.resource_type) {
                wanted
                    .entry(&reference.resource_type)
                    .or_default()
                    .insert(reference.name.as_str());
            }
        }
        for (kind, names) in wanted {
            let Some(session) = self.session_of(kind) else {
                continue;
            };
            let Ok((index, first)) = session.find_or_add_type(kind) else {
                continue;
            };
            let subscription = &mut session.types[index].subscription;
            let unasked = |name: &&&str| !subscription.selects_name(&ResourceName::from(**name));
            let new: Vec<&str> = names.iter().filter(unasked).copied().collect();
            if !new.is_empty() {
                let lists = Arc::clone(&session.names);
                let edit = subscription.edit(new.into_iter(), std::iter::empty(), false, &*lists);
                // A subscription beyond the limits of a stream does not concern the rehearsal.
                session.subscribe(index, edit, first).ok();
            }
        }
    }

    /// Unsubscribes from the endpoints of clusters that the last message removed, as Envoy does at once. An Envoy may
    /// drain with other removed resources, and still asks for them.
    fn give_up_endpoints(&mut self) {
        let Some(message) = self
            .messages
            .last()
            .filter(|message| message.resource_type == ResourceType::Cluster)
        else {
            return;
        };
        let before = self.from.as_ref().and_then(|from| from.get(&ResourceType::Cluster));
        let goal = self.sessions.iter().find_map(|session| session.goal.as_ref());
        let after = goal.and_then(|goal| goal.get(&ResourceType::Cluster));
        let gone = message.removed.iter().filter_map(|name| before?.named(name.as_str()));
        let mut names: BTreeSet<ResourceName> = gone
            .flat_map(|gone| gone.references_to(&ResourceType::Endpoint).cloned())
            .collect();
        if names.is_empty() {
            return;
        }
        let left = after.into_iter().flat_map(|after| after.iter());
        for name in left.flat_map(|cluster| cluster.references_to(&ResourceType::Endpoint)) {
            names.remove(name);
        }
        let Some(session) = self.session_of(&ResourceType::Endpoint) else {
            return;
        };
        if let Ok((index, first)) = session.find_or_add_type(&ResourceType::Endpoint) {
            let lists = Arc::clone(&session.names);
            let names: Vec<&str> = names.iter().map(ResourceName::as_str).collect();
            let subscription = &mut session.types[index].subscription;
            let edit = subscription.edit(std::iter::empty(), names.into_iter(), false, &*lists);
            session.subscribe(index, edit, first).ok();
        }
    }

    /// The stream on which the node asks for a type: the stream of that type, else its ADS stream, else a new one.
    fn session_of(&mut self, kind: &ResourceType) -> Option<&mut Session> {
        let has = |session: &Session| session.types.iter().any(|state| state.kind == *kind);
        let at = self.sessions.iter().position(has);
        let at = at.or_else(|| self.sessions.iter().position(Session::is_aggregated));
        if at.is_none() {
            let goal = self.sessions.iter().find_map(|session| session.goal.clone())?;
            self.open(&RehearsedStream {
                variant: self.variant,
                scope: Scope::Single(kind.clone()),
                subscriptions: Vec::new(),
            });
            self.sessions.last_mut()?.on_snapshot(goal);
        }
        let last = self.sessions.len().saturating_sub(1);
        self.sessions.get_mut(at.unwrap_or(last))
    }

    fn note(&mut self, response: &Response, round: usize) {
        let kind = &response.delivery.resource_type;
        let mut message = Message {
            resource_type: kind.clone(),
            round,
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            repeated: 0,
        };
        for resource in response.resources.iter() {
            match self.held(kind, &resource.name) {
                Some(version) if version == resource.version => message.repeated += 1,
                Some(_) => message.changed.push(resource.name.clone()),
                None => message.added.push(resource.name.clone()),
            }
        }
        let known = response.removed.iter().filter(|name| self.held(kind, name).is_some());
        message.removed.extend(known.cloned());
        message.removed.extend(self.left_out(response));
        for name in message.added.iter().chain(&message.changed) {
            let version = response.resources.get(name).map(|resource| resource.version.clone());
            self.holds.insert((kind.clone(), name.clone()), version);
        }
        for name in &message.removed {
            self.holds.insert((kind.clone(), name.clone()), None);
        }
        self.messages.push(message);
    }

    /// The resources that a SotW response removes from the node by leaving them out.
    fn left_out(&self, response: &Response) -> Vec<ResourceName> {
        let kind = &response.delivery.resource_type;
        if self.variant == Variant::Delta || !removes_by_omission(kind) {
            return Vec::new();
        }
        let goal = self.sessions.iter().find_map(|session| session.goal.as_ref());
        let (from, to) = (self.from.as_ref(), goal);
        let gone = match (from.and_then(|from| from.get(kind)), to.and_then(|to| to.get(kind))) {
            (Some(from), Some(to)) => to.diff_from(from),
            (_, _) => return Vec::new(),
        };
        let is_left_out =
            |name: &&ResourceName| self.held(kind, name).is_some() && response.resources.get(name).is_none();
        gone.removed_names().filter(is_left_out).cloned().collect()
    }

    /// The version that the node has of a resource.
    fn held(&self, kind: &ResourceType, name: &ResourceName) -> Option<Version> {
        if let Some(known) = self.holds.get(&(kind.clone(), name.clone())) {
            return known.clone();
        }
        let before = self.from.as_ref()?.get(kind)?.named(name.as_str())?;
        let mut subscribed = self.subscribed.iter().filter(|(subscribed, _)| subscribed == kind);
        let selects = subscribed.any(|(_, subscription)| subscription.selects(before));
        selects.then(|| before.version.clone())
    }

    /// Returns true if the node subscribes to resources of a type by the names in other resources.
    fn asks_for_by_name(&self, kind: &ResourceType) -> bool {
        match kind {
            ResourceType::Endpoint | ResourceType::Route | ResourceType::Secret | ResourceType::ExtensionConfig => true,
            // gRPC clients do. Envoy asks for all clusters or has them in its bootstrap.
            ResourceType::Cluster => self.sessions.iter().flat_map(|session| &session.types).any(|state| {
                state.kind == *kind && !state.subscription.is_wildcard() && !state.subscription.is_empty()
            }),
            ResourceType::LbEndpoint
            | ResourceType::Listener
            | ResourceType::ScopedRoute
            | ResourceType::VirtualHost
            | ResourceType::Runtime
            | ResourceType::Other(_) => false,
        }
    }
}
