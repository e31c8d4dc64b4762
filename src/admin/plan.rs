//! The plan of a publish: the changes field by field, the connected nodes that would receive them, the order of
//! responses.
//!
//! The publisher gives the snapshots, the fleet the subscriptions, and the protocol rehearses the streams.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{convert::count, shared::Shared};
use crate::{
    admission::{self, Bounds},
    fleet::{NodeStatus, Protocol, StreamStatus},
    node::{NodeGroup, NodeId},
    proto::admin as api,
    protocol::{Message, RehearsedStream, Scope, Subscription, Variant, rehearse},
    publisher::{Outlook, ResourceChange, Served},
    resource::{ResourceName, ResourceType},
};

/// The number of resources of a type that are compared field by field.
const RESOURCES: usize = 100;
/// The number of fields shown per resource, and of bytes per value.
const BOUNDS: Bounds = Bounds {
    fields: 50,
    value_bytes: 512,
};
/// The number of receivers that are named.
const RECEIVERS: usize = 100;
/// The number of nodes named per rollout.
const ROLLOUT_NODES: usize = 20;
/// The number of names shown per step.
const NAMES: usize = 20;
/// The number of rollouts rehearsed, one per set of subscriptions; each costs about as much as the start of one node.
const ROLLOUTS: usize = 32;

/// The number of kinds that a node is compared with; a fleet with more kinds has hardly any equal nodes.
const COMPARED: usize = 256;

/// Nodes of one group with the same streams and subscriptions.
struct Kind {
    group: NodeGroup,
    form: api::rollout::Form,
    parts: Vec<RehearsedStream>,
    nodes: Vec<NodeId>,
}

/// The plan of a publish, or of the step between two states. CPU-bound: run it on a blocking thread.
pub(super) fn plan(shared: &Shared, outlook: &Outlook) -> api::Plan {
    let mut plan = api::Plan {
        types: types(outlook),
        is_next: outlook.is_next,
        ..api::Plan::default()
    };
    if outlook.is_next {
        add_receivers(&mut plan, shared, outlook);
    }
    plan
}

// === changes ===

fn types(outlook: &Outlook) -> Vec<api::TypePlan> {
    let mut plans: Vec<api::TypePlan> = Vec::new();
    for change in outlook.changes() {
        let url = change.resource_type.type_url();
        if plans.last().is_none_or(|last| last.type_url != url) {
            plans.push(api::TypePlan {
                type_url: url.to_owned(),
                ..api::TypePlan::default()
            });
        }
        if let Some(plan) = plans.last_mut() {
            add_change(plan, change);
        }
    }
    plans
}

fn add_change(plan: &mut api::TypePlan, change: ResourceChange<'_>) {
    match (change.before, change.after) {
        (Some(before), Some(after)) => {
            plan.changed += 1;
            if plan.resources.len() == RESOURCES {
                plan.more_resources += 1;
                return;
            }
            let differences = admission::compare(before, after, BOUNDS);
            plan.resources.push(api::ResourceDiff {
                name: after.name.to_string(),
                fields: differences.fields.into_iter().map(field_change).collect(),
                more_fields: count(differences.more),
            });
        }
        (None, Some(_)) => plan.added += 1,
        (Some(_), None) => plan.removed += 1,
        (None, None) => {}
    }
}

fn field_change(change: admission::FieldChange) -> api::FieldChange {
    api::FieldChange {
        path: change.path,
        before: change.before,
        after: change.after,
        sensitive: change.sensitive,
    }
}

// === receivers ===

fn add_receivers(plan: &mut api::Plan, shared: &Shared, outlook: &Outlook) {
    let group = (!outlook.group.is_shared()).then_some(&outlook.group);
    let nodes: Vec<NodeStatus> = shared
        .fleet
        .nodes(group)
        .into_iter()
        .filter(NodeStatus::connected)
        .collect();
    plan.connected_total = count(nodes.len());
    let mut served: BTreeMap<NodeGroup, Served> = BTreeMap::new();
    for node in &nodes {
        let foresee = || shared.publisher.foresee(outlook, &node.group);
        served.entry(node.group.clone()).or_insert_with(foresee);
    }
    let mut receivers: BTreeSet<NodeId> = BTreeSet::new();
    let mut rehearsed = 0;
    for kind in kinds(&nodes) {
        let Some(served) = served.get(&kind.group).filter(|served| kind.is_concerned(served)) else {
            continue;
        };
        if rehearsed == ROLLOUTS {
            plan.receivers_without_rollout += count(kind.nodes.len());
            receivers.extend(kind.nodes);
            continue;
        }
        rehearsed += 1;
        let policy = shared.policies.of(&kind.group);
        let messages = rehearse(
            policy,
            &kind.parts,
            served.before.as_ref(),
            &served.after,
            Instant::now(),
        );
        if !messages.is_empty() {
            plan.rollouts.push(kind.rollout(&messages));
            receivers.extend(kind.nodes);
        }
    }
    plan.receivers_total = count(receivers.len());
    let named = nodes.iter().filter(|node| receivers.contains(&node.id)).take(RECEIVERS);
    plan.receivers = named.map(receiver).collect();
}

/// Groups the nodes by their streams and subscriptions, the largest kind first.
fn kinds(nodes: &[NodeStatus]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for node in nodes {
        let form = form(&node.streams);
        let parts: Vec<RehearsedStream> = node.streams.iter().map(part).collect();
        let same = |kind: &&mut Kind| kind.group == node.group && kind.form == form && kind.parts == parts;
        match kinds.iter_mut().take(COMPARED).find(same) {
            Some(kind) => kind.nodes.push(node.id.clone()),
            None => kinds.push(Kind {
                group: node.group.clone(),
                form,
                parts,
                nodes: vec![node.id.clone()],
            }),
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.nodes.len()));
    kinds
}

fn part(stream: &StreamStatus) -> RehearsedStream {
    let subscriptions: Vec<(ResourceType, Subscription)> = stream
        .types
        .iter()
        .map(|row| (row.resource_type.clone(), row.subscription.clone()))
        .collect();
    let only = subscriptions.first().filter(|_| !stream.info.aggregated);
    RehearsedStream {
        variant: match stream.info.protocol {
            Protocol::Grpc(variant) => variant,
            Protocol::Rest => Variant::Sotw,
        },
        scope: only.map_or(Scope::Aggregated, |(kind, _)| Scope::Single(kind.clone())),
        subscriptions,
    }
}

fn form(streams: &[StreamStatus]) -> api::rollout::Form {
    use api::rollout::Form;

    // Of several streams, the ADS stream is the one that is ordered.
    let first = streams
        .iter()
        .find(|stream| stream.info.aggregated)
        .or_else(|| streams.first());
    match first.map(|stream| (stream.info.protocol, stream.info.aggregated)) {
        Some((Protocol::Grpc(Variant::Sotw), true)) => Form::AdsSotw,
        Some((Protocol::Grpc(Variant::Delta), true)) => Form::AdsDelta,
        Some((Protocol::Grpc(Variant::Sotw), false)) => Form::PerTypeSotw,
        Some((Protocol::Grpc(Variant::Delta), false)) => Form::PerTypeDelta,
        Some((Protocol::Rest, _)) => Form::Rest,
        None => Form::Unspecified,
    }
}

fn receiver(node: &NodeStatus) -> api::Receiver {
    let subscription = |row: &crate::fleet::TypeStatus| api::TypeSubscription {
        type_url: row.resource_type.type_url().to_owned(),
        wildcard: row.wildcard,
        names: count(row.names),
    };
    api::Receiver {
        node_id: node.id.to_string(),
        group: node.group.to_string(),
        subscriptions: node.types.iter().map(subscription).collect(),
    }
}

// === impl Kind ===

impl Kind {
    /// Returns true if a subscribed type differs; otherwise the nodes are sent nothing.
    fn is_concerned(&self, served: &Served) -> bool {
        let mut types = self.parts.iter().flat_map(|part| &part.subscriptions);
        types.any(|(resource_type, _)| {
            let after = served.after.get(resource_type);
            let before = served.before.as_ref().and_then(|before| before.get(resource_type));
            match (before, after) {
                (Some(before), Some(after)) => !before.same_as(after),
                (None, after) => after.is_some(),
                (Some(_), None) => false,
            }
        })
    }

    fn rollout(&self, messages: &[Message]) -> api::Rollout {
        let mut rounds: Vec<usize> = messages.iter().map(|message| message.round).collect();
        rounds.dedup();
        let step = |message: &Message| {
            let at = rounds.iter().position(|round| *round == message.round);
            step(message, at.map_or(0, |at| at + 1))
        };
        api::Rollout {
            form: self.form.into(),
            nodes: count(self.nodes.len()),
            node_ids: self.nodes.iter().take(ROLLOUT_NODES).map(ToString::to_string).collect(),
            steps: messages.iter().map(step).collect(),
        }
    }
}

fn step(message: &Message, round: usize) -> api::Step {
    let names = |names: &[ResourceName]| names.iter().take(NAMES).map(ToString::to_string).collect();
    api::Step {
        type_url: message.resource_type.type_url().to_owned(),
        round: count(round),
        added: count(message.added.len()),
        changed: count(message.changed.len()),
        removed: count(message.removed.len()),
        repeated: count(message.repeated),
        added_names: names(&message.added),
        changed_names: names(&message.changed),
        removed_names: names(&message.removed),
    }
}
