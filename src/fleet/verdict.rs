//! The nodes' verdicts on the newest revisions: which nodes hold a revision, which refused it, and with what message.
//!
//! A stream records its own verdicts, a node those of its ended streams. The records are bounded and in memory only.

use std::{collections::VecDeque, time::SystemTime};

use super::NackStatus;
use crate::{node::NodeId, resource::ResourceType, snapshot::Revision};

/// Revisions kept per stream or node: as many as people look back after a rollout.
const KEPT: usize = 32;
/// Refusals kept per stream or node. Each has some hundred bytes, and clients must not be able to multiply them.
const KEPT_REFUSALS: usize = 16;

/// The verdict of one node on one revision.
#[derive(Clone, Debug)]
pub struct NodeOutcome {
    /// The node.
    pub node: NodeId,
    /// True if a stream of the node is open now.
    pub connected: bool,
    /// The node's verdict.
    pub verdict: Verdict,
}

/// A node's verdict on a revision.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The node refused some of its resources. It may hold the others.
    Refused(Vec<Refusal>),
    /// The node is connected, and has neither accepted nor refused the whole revision.
    Pending,
    /// The node holds the whole revision and ACKed it, at this time if the record goes back that far.
    Accepted(Option<SystemTime>),
}

/// One refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The type of the refused resources.
    pub resource_type: ResourceType,
    /// The refused response and the node's message.
    pub nack: NackStatus,
}

/// The verdicts of one stream, or of all ended streams of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    /// Sorted by revision.
    accepted: VecDeque<(Revision, SystemTime)>,
    /// Oldest first.
    refused: VecDeque<(Revision, Refusal)>,
}

// === impl Verdicts ===

impl Verdicts {
    /// Records that the client holds the whole revision and ACKed it. Earlier refusals of this revision are mended.
    pub(super) fn accept(&mut self, revision: Revision, now: SystemTime) {
        self.refused.retain(|(refused, _)| *refused != revision);
        // The common case, a newer revision, needs no search.
        if self.accepted.back().is_none_or(|(newest, _)| *newest < revision) {
            return push(&mut self.accepted, KEPT, (revision, now));
        }
        match self.accepted.binary_search_by_key(&revision, |(accepted, _)| *accepted) {
            Ok(at) => self.accepted[at].1 = now,
            Err(at) => self.accepted.insert(at, (revision, now)),
        }
        if self.accepted.len() > KEPT {
            self.accepted.pop_front();
        }
    }

    /// Records that resources of the revision were refused.
    pub(super) fn refuse(&mut self, revision: Revision, refusal: Refusal) {
        self.accepted.retain(|(accepted, _)| *accepted != revision);
        let same = |(of, other): &(Revision, Refusal)| *of == revision && other.resource_type == refusal.resource_type;
        self.refused.retain(|known| !same(known));
        push(&mut self.refused, KEPT_REFUSALS, (revision, refusal));
    }

    /// Adds the verdicts of an ended stream.
    pub(super) fn merge(&mut self, ended: Self) {
        for (revision, time) in ended.accepted {
            self.accept(revision, time);
        }
        for (revision, refusal) in ended.refused {
            self.refuse(revision, refusal);
        }
    }

    fn accepted(&self, revision: Revision) -> Option<SystemTime> {
        let found = self.accepted.binary_search_by_key(&revision, |(accepted, _)| *accepted);
        found.ok().map(|at| self.accepted[at].1)
    }

    fn refused(&self, revision: Revision) -> impl Iterator<Item = &Refusal> {
        let refused = self.refused.iter().filter(move |(refused, _)| *refused == revision);
        refused.map(|(_, refusal)| refusal)
    }
}

fn push<T>(kept: &mut VecDeque<T>, most: usize, new: T) {
    if kept.len() == most {
        kept.pop_front();
    }
    // There are thousands of these, so they have no spare capacity.
    kept.reserve_exact(1);
    kept.push_back(new);
}

/// The verdicts and the progress of one open stream.
#[derive(Clone, Debug)]
pub(super) struct StreamVerdicts {
    pub(super) verdicts: Verdicts,
    /// The newest revision that the client holds completely.
    pub(super) synced: Option<Revision>,
    /// The revisions of unanswered responses.
    pub(super) awaiting: Vec<Revision>,
}

/// A node's verdict on a revision, from its open and its ended streams. `None` if the node was never advanced to the
/// revision: it connected later, or skipped to a newer one.
pub(super) fn of_node(
    left: &Verdicts,
    streams: &[StreamVerdicts],
    revision: Revision,
    is_current: bool,
) -> Option<Verdict> {
    let accepted = |verdicts: &Verdicts| verdicts.accepted(revision);
    let open = streams.iter().filter_map(|stream| accepted(&stream.verdicts)).max();
    let since_then = |refusal: &&Refusal| open.is_none_or(|accepted| accepted < refusal.nack.delivery.time);
    let refusals: Vec<Refusal> = left
        .refused(revision)
        .filter(since_then)
        .chain(streams.iter().flat_map(|stream| stream.verdicts.refused(revision)))
        .cloned()
        .collect();
    if !refusals.is_empty() {
        return Some(Verdict::Refused(refusals));
    }
    let time = open.max(accepted(left));
    if streams.is_empty() {
        return time.map(|time| Verdict::Accepted(Some(time)));
    }
    let all_hold = streams
        .iter()
        .all(|stream| stream.synced.is_some_and(|synced| synced >= revision));
    let awaited = streams.iter().any(|stream| stream.awaiting.contains(&revision));
    match (all_hold, time) {
        (true, time) if is_current => Some(Verdict::Accepted(time)),
        (true, Some(time)) => Some(Verdict::Accepted(Some(time))),
        _ if is_current || awaited => Some(Verdict::Pending),
        // Ended streams held the revision, and the open ones are on their way to the current one.
        (false, _) => accepted(left).map(|time| Verdict::Accepted(Some(time))),
        (true, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{fleet::DeliveryStatus, protocol::Nonce, resource::Version};

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn refusal(resource_type: ResourceType, message: &str, second: u64) -> Refusal {
        Refusal {
            resource_type,
            nack: NackStatus {
                delivery: DeliveryStatus {
                    version: Version::from("v"),
                    nonce: Nonce::from("n".to_owned()),
                    revision: Revision(7),
                    time: at(second),
                },
                code: 13,
                message: message.to_owned(),
            },
        }
    }

    fn stream(verdicts: Verdicts, synced: u64, awaiting: &[u64]) -> StreamVerdicts {
        StreamVerdicts {
            verdicts,
            synced: Some(Revision(synced)),
            awaiting: awaiting.iter().copied().map(Revision).collect(),
        }
    }

    fn accepted(revision: u64, second: u64) -> Verdicts {
        let mut verdicts = Verdicts::default();
        verdicts.accept(Revision(revision), at(second));
        verdicts
    }

    fn refused(revision: u64, second: u64) -> Verdicts {
        let mut verdicts = Verdicts::default();
        verdicts.refuse(Revision(revision), refusal(ResourceType::Cluster, "no", second));
        verdicts
    }

    fn word(left: &Verdicts, streams: &[StreamVerdicts], revision: u64, is_current: bool) -> &'static str {
        match of_node(left, streams, Revision(revision), is_current) {
            None => "none",
            Some(Verdict::Accepted(_)) => "accepted",
            Some(Verdict::Refused(_)) => "refused",
            Some(Verdict::Pending) => "pending",
        }
    }

    #[test]
    fn every_open_stream_must_hold_it() {
        let none = Verdicts::default();
        let streams = [stream(accepted(7, 1), 7, &[]), stream(Verdicts::default(), 6, &[])];
        assert_eq!(word(&none, &streams[..1], 7, true), "accepted");
        assert_eq!(word(&none, &streams, 7, true), "pending");
        let streams = [stream(accepted(7, 1), 7, &[]), stream(refused(7, 1), 6, &[])];
        assert_eq!(word(&none, &streams, 7, true), "refused");
    }

    #[test]
    fn a_refusal_stays_reported_after_another_publish() {
        let mut verdicts = refused(7, 1);
        verdicts.accept(Revision(8), at(2));
        let streams = [stream(verdicts, 8, &[])];
        assert_eq!(word(&Verdicts::default(), &streams, 7, false), "refused");
        assert_eq!(word(&Verdicts::default(), &streams, 8, true), "accepted");
    }

    #[test]
    fn a_refusal_ends_when_the_revision_is_accepted_later() {
        let mut verdicts = refused(7, 1);
        verdicts.accept(Revision(7), at(2));
        assert_eq!(word(&verdicts, &[], 7, true), "accepted");
        let streams = [stream(accepted(7, 5), 7, &[])];
        assert_eq!(word(&refused(7, 1), &streams, 7, true), "accepted", "on another stream");
        assert_eq!(word(&refused(7, 9), &streams, 7, true), "refused");
    }

    #[test]
    fn a_revision_that_was_never_sent_to_the_node_has_no_verdict() {
        let streams = [stream(accepted(9, 1), 9, &[])];
        assert_eq!(word(&Verdicts::default(), &streams, 8, false), "none");
        let streams = [stream(accepted(7, 1), 7, &[8])];
        assert_eq!(word(&Verdicts::default(), &streams, 8, false), "pending", "it was sent");
        assert_eq!(word(&Verdicts::default(), &streams, 9, true), "pending");
        assert_eq!(word(&Verdicts::default(), &[], 9, true), "none", "nobody is connected");
    }

    #[test]
    fn what_streams_left_is_remembered_and_bounded() {
        let mut left = Verdicts::default();
        for revision in 1..=1000 {
            left.merge(accepted(revision, revision));
            left.merge(refused(revision, revision));
        }
        assert_eq!(left.accepted.len(), 0, "the refusal came later");
        assert_eq!(left.refused.len(), KEPT_REFUSALS);
        for revision in 1..=1000 {
            left.merge(accepted(revision, revision));
        }
        assert_eq!(left.accepted.len(), KEPT);
        assert_eq!(word(&left, &[], 1000, false), "accepted");
        assert_eq!(word(&left, &[], 1, false), "none");
    }
}
