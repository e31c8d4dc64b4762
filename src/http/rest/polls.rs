//! The nodes that poll: where their state is kept, how many of them, and how long. What a poll means is decided in
//! [`Polling`]. In the books of the fleet a node has one stream for each type it polls.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::time::Instant;

use super::{Failure, answer::Answer, request::Poll};
use crate::{
    fleet::{Fleet, Protocol, StreamGuard, StreamInfo},
    node::{Node, NodeGroup, NodeId},
    protocol::{self, PollAnswer, PollOutcome, Polling, Reply},
    resource::ResourceType,
    snapshot::Snapshot,
};

/// The memory of polls.
#[derive(Debug)]
pub(super) struct Polls {
    fleet: Arc<Fleet>,
    /// [`RestSettings::polls`](super::RestSettings::polls).
    most: usize,
    timeout: Duration,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    nodes: HashMap<(NodeId, ResourceType), Book>,
    /// Lists of names over all nodes.
    subscriptions: usize,
}

/// What one node polls of one type.
#[derive(Debug)]
struct Book {
    group: NodeGroup,
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
    pub(super) fn new(fleet: Arc<Fleet>, most: usize, timeout: Duration) -> Self {
        Self {
            fleet,
            most,
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
        let is_known = books
            .nodes
            .get(&key)
            .is_some_and(|book| book.polling.knows(&poll.names));
        if !is_known {
            if books.subscriptions >= self.most {
                let message = format!("more than {} polls are remembered already", self.most);
                return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
            }
            books.subscriptions += 1;
        }
        let book = books.nodes.entry(key).or_insert_with(|| Book {
            group: group.clone(),
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
            book.record_outcomes();
            !book.polling.is_empty()
        });
        books.subscriptions = books.nodes.values().map(|book| book.polling.len()).sum();
    }
}

fn info(peer: SocketAddr) -> StreamInfo {
    StreamInfo {
        protocol: Protocol::Rest,
        aggregated: false,
        peer: peer.to_string(),
    }
}

// === impl Books ===

impl Books {
    fn forget(&mut self, key: &(NodeId, ResourceType)) {
        if let Some(book) = self.nodes.remove(key) {
            self.subscriptions -= book.polling.len();
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
        self.record_outcomes();
        reply
    }

    fn record_outcomes(&mut self) {
        while let Some(outcome) = self.polling.poll_outcome() {
            match outcome {
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
            10,
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
            polls.books.lock().unwrap().subscriptions
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
}
