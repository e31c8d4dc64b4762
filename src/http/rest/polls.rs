//! The records of nodes that poll, with their limits and lifetimes. [`Polling`] interprets the polls. In the fleet, a
//! node has one stream for each type that it polls.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    ops::Add,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::time::Instant;

use super::{Failure, answer::Answer, request::Poll};
use crate::{
    connection::counted_as,
    fleet::{Fleet, Protocol, StreamGuard, StreamInfo},
    node::{Node, NodeGroup, NodeId},
    protocol::{self, Outcome, PollAnswer, PollLimits, PollOutcome, PolledNames, Polling, Reply},
    resource::{Resource, ResourceType},
    snapshot::Snapshot,
};

/// Bytes of a kept name besides its text.
const NAME_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Polls {
    fleet: Arc<Fleet>,
    limits: PollLimits,
    timeout: Duration,
    records: Mutex<PollRecords>,
}

#[derive(Debug, Default)]
struct PollRecords {
    nodes: HashMap<(NodeId, ResourceType), PollRecord>,
    /// Lists of names of all nodes.
    all: Usage,
    /// Lists of names by the address that sent them.
    peers: HashMap<IpAddr, Usage>,
}

/// The memory that lists of names use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    lists: usize,
    bytes: usize,
}

/// The record of one node's polls of one type.
#[derive(Debug)]
struct PollRecord {
    group: NodeGroup,
    /// The address of the first poll, to which the record's memory is charged.
    peer: IpAddr,
    stream: StreamGuard,
    polling: Polling,
}

/// The snapshot and the answer for a poll.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) snapshot: Option<&'a Snapshot>,
    /// The answer to the poll from the snapshot, if there is one.
    pub(super) answer: Option<&'a Answer>,
}

// === impl Polls ===

impl Polls {
    pub(super) fn new(fleet: Arc<Fleet>, limits: PollLimits, timeout: Duration) -> Self {
        Self {
            fleet,
            limits,
            timeout,
            records: Mutex::default(),
        }
    }

    /// Records a poll and returns the kind of reply.
    pub(super) fn record(
        &self,
        node: &Node,
        group: &NodeGroup,
        poll: &Poll,
        peer: SocketAddr,
        given: &Given<'_>,
        now: Instant,
    ) -> Result<Reply, Failure> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let records = &mut *records;
        let key = (node.id.clone(), poll.resource_type.clone());
        if records.nodes.get(&key).is_some_and(|record| record.group != *group) {
            // A node in another group is another node: its old answers mean nothing here.
            records.forget(&key);
        }
        let record = records.nodes.get(&key);
        let owner = record.map_or_else(|| counted_as(peer), |record| record.peer);
        if !record.is_some_and(|record| record.polling.knows(&poll.names)) {
            let more = Usage::of(&poll.names);
            let names = poll.names.as_ref().map_or(0, Vec::len) + record.map_or(0, |record| record.polling.names());
            if names > self.limits.names {
                let message = format!(
                    "more than {} names of one type are polled by one node",
                    self.limits.names
                );
                return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
            }
            records.check(owner, more, &self.limits)?;
            records.add(owner, more);
        }
        let record = records.nodes.entry(key).or_insert_with(|| PollRecord {
            group: group.clone(),
            peer: owner,
            stream: self.fleet.open_stream(node, group, info(peer)),
            polling: Polling::new(poll.resource_type.clone()),
        });
        Ok(record.on_poll(poll, given, now))
    }

    /// Forgets polls that were not repeated within the timeout, and nodes without polls.
    pub(super) fn expire(&self, now: Instant) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.nodes.retain(|_, record| {
            record.polling.on_time(self.timeout, now.into_std());
            // Time-outs make no NACKs, so there is no message to clean.
            record.record_outcomes(|_, message| message.to_owned());
            !record.polling.is_empty()
        });
        records.count();
    }
}

fn info(peer: SocketAddr) -> StreamInfo {
    StreamInfo {
        pace: None,
        protocol: Protocol::Rest,
        aggregated: false,
        peer: peer.to_string(),
    }
}

// === impl PollRecords ===

impl PollRecords {
    fn forget(&mut self, key: &(NodeId, ResourceType)) {
        let Some(record) = self.nodes.remove(key) else {
            return;
        };
        let usages = record.polling.lists().map(Usage::of);
        let usage = usages.fold(Usage::default(), Add::add);
        self.all = self.all.without(usage);
        if let Entry::Occupied(mut own) = self.peers.entry(record.peer) {
            *own.get_mut() = own.get().without(usage);
            if own.get().lists == 0 {
                own.remove();
            }
        }
    }

    /// Refuses `more` lists from an address if a limit would be exceeded.
    fn check(&self, peer: IpAddr, more: Usage, limits: &PollLimits) -> Result<(), Failure> {
        let refused = |message: String| Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
        let own = self.peers.get(&peer).copied().unwrap_or_default() + more;
        let all = self.all + more;
        let share = |most: usize| (most as f64 * limits.peer_share) as usize;
        let (lists, bytes) = (limits.polls, limits.remembered_bytes);
        if all.lists > lists {
            return refused(format!("more than {lists} polls would be remembered"));
        }
        if all.bytes > bytes {
            return refused(format!("more than {bytes} bytes of names would be remembered"));
        }
        if own.lists > share(lists).max(1) {
            let most = share(lists).max(1);
            return refused(format!("more than {most} polls of one address would be remembered"));
        }
        if own.bytes > share(bytes) {
            let most = share(bytes);
            return refused(format!(
                "more than {most} bytes of names of one address would be remembered"
            ));
        }
        Ok(())
    }

    fn add(&mut self, peer: IpAddr, more: Usage) {
        let own = self.peers.entry(peer).or_default();
        *own = *own + more;
        self.all = self.all + more;
    }

    /// Recounts the usage after lists were forgotten.
    fn count(&mut self) {
        self.all = Usage::default();
        self.peers.clear();
        let Self { nodes, all, peers } = self;
        for record in nodes.values() {
            for names in record.polling.lists() {
                let usage = Usage::of(names);
                let own = peers.entry(record.peer).or_default();
                *own = *own + usage;
                *all = *all + usage;
            }
        }
    }
}

// === impl Usage ===

impl Usage {
    /// The memory that a kept list uses.
    fn of(names: &PolledNames) -> Self {
        let bytes = names
            .iter()
            .flatten()
            .map(|name| name.as_str().len() + NAME_BYTES)
            .sum();
        Self { lists: 1, bytes }
    }

    const fn without(self, other: Self) -> Self {
        Self {
            lists: self.lists - other.lists,
            bytes: self.bytes - other.bytes,
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            lists: self.lists + other.lists,
            bytes: self.bytes + other.bytes,
        }
    }
}

// === impl PollRecord ===

impl PollRecord {
    fn on_poll(&mut self, poll: &Poll, given: &Given<'_>, now: Instant) -> Reply {
        self.stream.record_heard();
        let asked = protocol::Poll {
            names: &poll.names,
            presented: &poll.presented,
            refusal: poll.refusal.as_ref().map(|(code, message)| (*code, message.as_str())),
        };
        let answer = given.answer.map(|answer| PollAnswer {
            version: answer.version.clone(),
            revision: answer.revision,
        });
        let reply = self.polling.on_poll(asked, answer.as_ref(), now.into_std());
        if let Some(snapshot) = given.snapshot {
            let kind = &poll.resource_type;
            self.polling.on_snapshot(snapshot.revision(), |names| {
                let answer = Answer::choose(snapshot, kind, names.as_deref());
                answer.ok().map(|answer| answer.version)
            });
        }
        let secrets = given.snapshot.and_then(|snapshot| snapshot.get(&ResourceType::Secret));
        let secrets: Vec<_> = secrets.map(Arc::as_ref).into_iter().collect();
        let asks_for = |secret: &Resource| {
            let names = poll.names.as_ref();
            names.is_none_or(|names| names.iter().any(|name| secret.answers_to(name.as_str())))
        };
        self.record_outcomes(|stream, message| stream.words(message, &secrets, asks_for));
        reply
    }

    /// Records the outcomes of earlier answers. `cleaned` removes secrets from the message of a NACK.
    fn record_outcomes(&mut self, cleaned: impl Fn(&StreamGuard, &str) -> String) {
        while let Some(outcome) = self.polling.poll_outcome() {
            match outcome {
                PollOutcome::Known(Outcome::Nack {
                    delivery,
                    code,
                    message,
                }) => self.stream.record(&Outcome::Nack {
                    delivery,
                    code,
                    message: cleaned(&self.stream, &message),
                }),
                PollOutcome::Known(outcome) => self.stream.record(&outcome),
                PollOutcome::Unconfirmed(delivery) => self.stream.record_unconfirmed(&delivery),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fleet, proto::envoy::config::core::v3 as core};

    #[test]
    fn names_that_are_no_longer_polled_are_forgotten_before_the_node() {
        let polls = Polls::new(
            Fleet::new(fleet::Limits::default(), Arc::default()),
            PollLimits::default(),
            Duration::from_secs(300),
        );
        let node = Node::from(core::Node {
            id: "n".to_owned(),
            cluster: "g".to_owned(),
            ..core::Node::default()
        });
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let poll = |name: &str, second: u64| {
            let poll = Poll {
                resource_type: ResourceType::Endpoint,
                names: Some(vec![name.into()]),
                presented: "".into(),
                refusal: None,
            };
            let given = Given {
                snapshot: None,
                answer: None,
            };
            polls
                .record(&node, &"g".into(), &poll, peer, &given, at(second))
                .unwrap();
        };
        let remembered = |second: u64| {
            polls.expire(at(second));
            polls.records.lock().unwrap().all.lists
        };
        for second in 0..5 {
            poll("a", second);
            poll("b", second);
        }
        poll("once", 5);
        assert_eq!(remembered(10), 3);
        for second in 5..30 {
            poll("a", second);
        }
        assert_eq!(remembered(30), 2, "b is abandoned; the interval of `once` is unknown");
        assert_eq!(remembered(200), 2, "the node may poll again");
        assert_eq!(remembered(400), 0);
    }

    /// Sends polls until one is refused; returns the number of accepted ones and the refusal.
    fn refusal(limits: PollLimits, polls: impl Iterator<Item = (String, SocketAddr, Vec<String>)>) -> (usize, String) {
        let records = Polls::new(
            Fleet::new(fleet::Limits::default(), Arc::default()),
            limits,
            Duration::from_secs(300),
        );
        let given = Given {
            snapshot: None,
            answer: None,
        };
        let mut taken = 0;
        for (id, peer, names) in polls {
            let node = Node::from(core::Node {
                id,
                ..core::Node::default()
            });
            let poll = Poll {
                resource_type: ResourceType::Endpoint,
                names: Some(names.into_iter().map(|name| name.as_str().into()).collect()),
                presented: "".into(),
                refusal: None,
            };
            match records.record(&node, &"g".into(), &poll, peer, &given, Instant::now()) {
                Ok(_) => taken += 1,
                Err(failure) => {
                    assert_eq!(failure.status, StatusCode::TOO_MANY_REQUESTS);
                    return (taken, format!("{failure:?}"));
                }
            }
        }
        panic!("{taken} polls, without a refusal");
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn one_address_cannot_use_the_memory_of_all_polls() {
        let limits = PollLimits {
            polls: 100,
            ..PollLimits::default()
        };
        let invented = |address: u8| (0..).map(move |id| (format!("{address}-{id}"), from(address), Vec::new()));
        let (taken, text) = refusal(limits, invented(1));
        assert_eq!(taken, 50);
        assert!(text.contains("more than 50 polls of one address"), "{text}");
        let (taken, _) = refusal(limits, invented(1).take(50).chain(invented(2)));
        assert_eq!(taken, 100, "the other half is left to other addresses");
    }

    #[test]
    fn bytes_of_names_have_a_limit_as_have_the_names_of_a_node() {
        let limits = PollLimits {
            remembered_bytes: 2 * 1000 * (1000 + NAME_BYTES),
            names: 100,
            ..PollLimits::default()
        };
        let lists = |id: usize| {
            (0..10)
                .map(|list| format!("{list}{}", "x".repeat(998 - id.to_string().len()) + &id.to_string()))
                .collect()
        };
        let others = (0..).map(|id: usize| (id.to_string(), from(1), lists(id)));
        let (taken, text) = refusal(limits, others);
        assert_eq!(taken, 100, "one address may use half of the bytes");
        assert!(text.contains("bytes of names of one address"), "{text}");
        let one = (0..).map(|list: usize| ("n".to_owned(), from(1), vec![list.to_string()]));
        let (taken, text) = refusal(limits, one);
        assert_eq!(taken, 100);
        assert!(text.contains("more than 100 names of one type"), "{text}");
    }
}
