//! The nodes that poll: where their state is kept, how many of them, and how long. What a poll means is decided in
//! [`Polling`]. In the books of the fleet a node has one stream for each type it polls.

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

/// What a name takes besides its text.
const NAME_BYTES: usize = 64;

/// The memory of polls.
#[derive(Debug)]
pub(super) struct Polls {
    fleet: Arc<Fleet>,
    limits: PollLimits,
    timeout: Duration,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    nodes: HashMap<(NodeId, ResourceType), Book>,
    /// Lists of names over all nodes.
    all: Usage,
    /// The same of each address that brought them.
    peers: HashMap<IpAddr, Usage>,
}

/// What lists of names take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    lists: usize,
    bytes: usize,
}

/// What one node polls of one type.
#[derive(Debug)]
struct Book {
    group: NodeGroup,
    /// Who polled first: what it takes counts as that one's.
    peer: IpAddr,
    stream: StreamGuard,
    polling: Polling,
}

/// What there is to answer a poll with.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) snapshot: Option<&'a Snapshot>,
    /// What the poll is answered from the snapshot.
    pub(super) answer: Option<&'a Answer>,
}

// === impl Polls ===

impl Polls {
    pub(super) fn new(fleet: Arc<Fleet>, limits: PollLimits, timeout: Duration) -> Self {
        Self {
            fleet,
            limits,
            timeout,
            books: Mutex::default(),
        }
    }

    /// Enters a poll and what it is answered.
    pub(super) fn enter(
        &self,
        node: &Node,
        group: &NodeGroup,
        poll: &Poll,
        peer: SocketAddr,
        given: &Given<'_>,
        now: Instant,
    ) -> Result<Reply, Failure> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let books = &mut *books;
        let key = (node.id.clone(), poll.resource_type.clone());
        if books.nodes.get(&key).is_some_and(|book| book.group != *group) {
            // Another group is another node: what it was sent means nothing any more.
            books.forget(&key);
        }
        let book = books.nodes.get(&key);
        let owner = book.map_or_else(|| counted_as(peer), |book| book.peer);
        if !book.is_some_and(|book| book.polling.knows(&poll.names)) {
            let more = Usage::of(&poll.names);
            let names = poll.names.as_ref().map_or(0, Vec::len) + book.map_or(0, |book| book.polling.names());
            if names > self.limits.names {
                let message = format!(
                    "more than {} names of one type are polled for by one node",
                    self.limits.names
                );
                return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
            }
            books.check(owner, more, &self.limits)?;
            books.add(owner, more);
        }
        let book = books.nodes.entry(key).or_insert_with(|| Book {
            group: group.clone(),
            peer: owner,
            stream: self.fleet.open_stream(node, group, info(peer)),
            polling: Polling::new(poll.resource_type.clone()),
        });
        Ok(book.enter(poll, given, now))
    }

    /// Forgets the polls that did not come again for the timeout, and nodes without any.
    pub(super) fn expire(&self, now: Instant) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.nodes.retain(|_, book| {
            book.polling.on_time(self.timeout, now.into_std());
            // The passing of time makes no refusal, so there are no words.
            book.record_outcomes(|_, said| said.to_owned());
            !book.polling.is_empty()
        });
        books.count();
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

// === impl Books ===

impl Books {
    fn forget(&mut self, key: &(NodeId, ResourceType)) {
        let Some(book) = self.nodes.remove(key) else {
            return;
        };
        let usages = book.polling.lists().map(Usage::of);
        let usage = usages.fold(Usage::default(), Add::add);
        self.all = self.all.without(usage);
        if let Entry::Occupied(mut own) = self.peers.entry(book.peer) {
            *own.get_mut() = own.get().without(usage);
            if own.get().lists == 0 {
                own.remove();
            }
        }
    }

    /// Whether more lists of an address may be remembered.
    fn check(&self, peer: IpAddr, more: Usage, limits: &PollLimits) -> Result<(), Failure> {
        let refused = |message: String| Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
        let own = self.peers.get(&peer).copied().unwrap_or_default() + more;
        let all = self.all + more;
        let share = |most: usize| (most as f64 * limits.peer_share) as usize;
        let (lists, bytes) = (limits.polls, limits.remembered_bytes);
        if all.lists > lists {
            return refused(format!("more than {lists} polls are remembered already"));
        }
        if all.bytes > bytes {
            return refused(format!("more than {bytes} bytes of names are remembered already"));
        }
        if own.lists > share(lists).max(1) {
            let most = share(lists).max(1);
            return refused(format!("more than {most} polls of one address are remembered already"));
        }
        if own.bytes > share(bytes) {
            let most = share(bytes);
            return refused(format!(
                "more than {most} bytes of names of one address are remembered already"
            ));
        }
        Ok(())
    }

    fn add(&mut self, peer: IpAddr, more: Usage) {
        let own = self.peers.entry(peer).or_default();
        *own = *own + more;
        self.all = self.all + more;
    }

    /// Counts anew, after lists were forgotten.
    fn count(&mut self) {
        self.all = Usage::default();
        self.peers.clear();
        let Self { nodes, all, peers } = self;
        for book in nodes.values() {
            for names in book.polling.lists() {
                let usage = Usage::of(names);
                let own = peers.entry(book.peer).or_default();
                *own = *own + usage;
                *all = *all + usage;
            }
        }
    }
}

// === impl Usage ===

impl Usage {
    /// What a list takes, as it is kept.
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

// === impl Book ===

impl Book {
    fn enter(&mut self, poll: &Poll, given: &Given<'_>, now: Instant) -> Reply {
        self.stream.record_heard();
        let said = protocol::Poll {
            names: &poll.names,
            presented: &poll.presented,
            refusal: poll.refusal.as_ref().map(|(code, message)| (*code, message.as_str())),
        };
        let answer = given.answer.map(|answer| PollAnswer {
            version: answer.version.clone(),
            revision: answer.revision,
        });
        let reply = self.polling.on_poll(said, answer.as_ref(), now.into_std());
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
        self.record_outcomes(|stream, said| stream.words(said, &secrets, asks_for));
        reply
    }

    /// Enters what became of answers; `spoken` makes of the words of a refusal those that may be kept.
    fn record_outcomes(&mut self, spoken: impl Fn(&StreamGuard, &str) -> String) {
        while let Some(outcome) = self.polling.poll_outcome() {
            match outcome {
                PollOutcome::Known(Outcome::Nack {
                    delivery,
                    code,
                    message,
                }) => self.stream.record(&Outcome::Nack {
                    delivery,
                    code,
                    message: spoken(&self.stream, &message),
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
    fn names_that_are_polled_for_no_more_are_forgotten_before_the_node_is() {
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
                .enter(&node, &"g".into(), &poll, peer, &given, at(second))
                .unwrap();
        };
        let remembered = |second: u64| {
            polls.expire(at(second));
            polls.books.lock().unwrap().all.lists
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
        assert_eq!(remembered(30), 2, "b is abandoned; how often `once` comes is not known");
        assert_eq!(remembered(200), 2, "the node as a whole may come again");
        assert_eq!(remembered(400), 0);
    }

    /// Polls of nodes from addresses, until one is refused.
    fn refusal(limits: PollLimits, polls: impl Iterator<Item = (String, SocketAddr, Vec<String>)>) -> (usize, String) {
        let books = Polls::new(
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
            match books.enter(&node, &"g".into(), &poll, peer, &given, Instant::now()) {
                Ok(_) => taken += 1,
                Err(failure) => {
                    assert_eq!(failure.status, StatusCode::TOO_MANY_REQUESTS);
                    return (taken, format!("{failure:?}"));
                }
            }
        }
        panic!("{taken} polls, and none is refused");
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn one_address_cannot_take_what_all_are_remembered_in() {
        let limits = PollLimits {
            polls: 100,
            ..PollLimits::default()
        };
        let invented = |address: u8| (0..).map(move |id| (format!("{address}-{id}"), from(address), Vec::new()));
        let (taken, text) = refusal(limits, invented(1));
        assert_eq!(taken, 50);
        assert!(text.contains("more than 50 polls of one address"), "{text}");
        let (taken, _) = refusal(limits, invented(1).take(50).chain(invented(2)));
        assert_eq!(taken, 100, "the other half is left to others");
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
        assert_eq!(taken, 100, "half of it is one address's");
        assert!(text.contains("bytes of names of one address"), "{text}");
        let one = (0..).map(|list: usize| ("n".to_owned(), from(1), vec![list.to_string()]));
        let (taken, text) = refusal(limits, one);
        assert_eq!(taken, 100);
        assert!(text.contains("more than 100 names of one type"), "{text}");
    }
}
