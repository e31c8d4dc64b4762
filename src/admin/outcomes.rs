//! The outcome of each revision on the nodes: joins the publisher's history with the fleet's records.

use super::{convert, shared::Shared};
use crate::{
    fleet::{NodeOutcome, Verdict},
    node::NodeGroup,
    proto::admin as api,
    publisher::{NotFound, PublishError},
    revision::{RevisionInfo, Summary},
    snapshot::Revision,
};

/// The number of nodes named per revision in a list, enough for a person; a single revision names all of them.
const NAMED: usize = 16;

/// The revisions kept of a group, newest first. Blocks on the store.
pub(super) fn list(
    shared: &Shared,
    group: &NodeGroup,
    limit: usize,
) -> Result<Vec<api::SnapshotSummary>, PublishError> {
    let revisions = shared.publisher.history(group, limit)?;
    Ok(joined(shared, group, &revisions, NAMED))
}

/// A single revision that is kept. Blocks on the store.
pub(super) fn get(
    shared: &Shared,
    group: &NodeGroup,
    revision: Revision,
) -> Result<api::SnapshotSummary, PublishError> {
    let revisions = shared.publisher.history(group, usize::MAX)?;
    let missing = || NotFound::Revision {
        group: group.clone(),
        revision,
        oldest: revisions.last().map(|oldest| oldest.revision),
    };
    let found = revisions
        .iter()
        .find(|info| info.revision == revision)
        .ok_or_else(missing)?;
    let mut joined = joined(shared, group, std::slice::from_ref(found), usize::MAX);
    joined.pop().ok_or_else(|| missing().into())
}

fn joined(shared: &Shared, group: &NodeGroup, revisions: &[RevisionInfo], named: usize) -> Vec<api::SnapshotSummary> {
    let current = shared.publisher.get(group, None).ok().map(|(info, _)| info.revision);
    let numbers: Vec<Revision> = revisions.iter().map(|info| info.revision).collect();
    // A revision of the shared group reaches every group.
    let whose = (!group.is_shared()).then_some(group);
    let outcomes = shared.fleet.outcomes(whose, &numbers, current);
    let of = |(info, nodes): (&RevisionInfo, Vec<NodeOutcome>)| api::SnapshotSummary {
        outcomes: (info.summary != Summary::Deleted).then(|| counted(&nodes, named)),
        ..convert::summary(info)
    };
    revisions.iter().zip(outcomes).map(of).collect()
}

fn counted(nodes: &[NodeOutcome], named: usize) -> api::RevisionOutcomes {
    use api::node_outcome::State;

    let mut told: Vec<api::NodeOutcome> = nodes.iter().map(node_outcome).collect();
    let count = |state: State| convert::count(told.iter().filter(|node| node.state() == state).count());
    let (acked, nacked, pending) = (count(State::Acked), count(State::Nacked), count(State::Pending));
    if told.len() > named {
        told.sort_by_key(|node| match node.state() {
            State::Nacked => 0,
            State::Pending => 1,
            State::Acked | State::Unspecified => 2,
        });
        told.truncate(named);
    }
    api::RevisionOutcomes {
        acked,
        nacked,
        pending,
        nodes: told,
    }
}

fn node_outcome(outcome: &NodeOutcome) -> api::NodeOutcome {
    use api::node_outcome::State;

    let (state, time, refusals) = match &outcome.verdict {
        Verdict::Accepted(time) => (State::Acked, *time, &[][..]),
        Verdict::Pending => (State::Pending, None, &[][..]),
        Verdict::Refused(refusals) => {
            let times = refusals.iter().map(|refusal| refusal.nack.delivery.time);
            (State::Nacked, times.max(), refusals.as_slice())
        }
    };
    api::NodeOutcome {
        node: outcome.node.to_string(),
        state: state.into(),
        connected: outcome.connected,
        time: time.and_then(convert::timestamp),
        nacks: refusals
            .iter()
            .map(|refusal| api::TypeNack {
                type_url: refusal.resource_type.type_url().to_owned(),
                nack: Some(convert::nack(&refusal.nack)),
            })
            .collect(),
    }
}
