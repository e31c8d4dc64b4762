//! What polling nodes were given, so that their status can be told: polls have no memory, and no word for a refusal.
//!
//! A poll that presents the version of the last answer is its ACK; one that presents an earlier version means "rejected or
//! not yet applied"; `error_detail` is a NACK (H-4). In the books of the fleet a node has one stream for each type it polls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::time::Instant;

use super::{Failure, Peer, answer::Answer, request::Poll};
use crate::{
    fleet::{Fleet, Protocol, StreamGuard, StreamInfo},
    node::{Node, NodeId},
    protocol::{self, Delivery, Nonce, Outcome, Unshared},
    resource::{ResourceName, ResourceType},
    snapshot::{NodeGroup, Revision, Snapshot},
};

/// A list of names counts as abandoned no sooner than this.
const ABANDONED: Duration = Duration::from_secs(10);
/// How often a list must have been polled for before it is known how often it is.
const KNOWN_AFTER: u32 = 3;

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
    /// Over all nodes.
    subscriptions: usize,
    /// Numbers deliveries: over REST there are no nonces, but the books tell deliveries apart by them.
    deliveries: u64,
}

/// What one node polls of one type.
#[derive(Debug)]
struct Book {
    group: NodeGroup,
    stream: StreamGuard,
    /// An Envoy polls for the endpoints of each cluster apart, and for each route configuration.
    subscriptions: HashMap<Option<Vec<ResourceName>>, Subscription>,
    /// What was sent last, of any subscription.
    last: Option<Delivery>,
    synced: Option<Revision>,
}

/// One list of names, or all.
#[derive(Debug)]
struct Subscription {
    sent: Option<Delivery>,
    acked: bool,
    /// Whether the node polled again since, accepting it or not.
    answered: bool,
    /// The newest revision that it was found to lack nothing of.
    current: Option<Revision>,
    heard: Instant,
    polls: u32,
    /// The longest time between two polls.
    gap: Duration,
}

/// What there is to answer a poll with.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) snapshot: Option<&'a Snapshot>,
    /// What the poll is answered from the snapshot.
    pub(super) answer: Option<&'a Answer>,
}

/// How a poll is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The node has it already, or refused just this in so many words.
    NotModified,
    /// With the answer.
    Send,
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
        peer: Peer,
        given: &Given<'_>,
        now: Instant,
    ) -> Result<Verdict, Failure> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let books = &mut *books;
        let key = (node.id.clone(), poll.resource_type.clone());
        if books.nodes.get(&key).is_some_and(|book| book.group != *group) {
            // Another group is another node: what it was sent means nothing any more.
            books.forget(&key);
        }
        let known = books
            .nodes
            .get(&key)
            .map(|book| book.subscriptions.contains_key(&poll.names));
        if known != Some(true) {
            if books.subscriptions >= self.most {
                let message = format!("more than {} polls are remembered already", self.most);
                return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
            }
            books.subscriptions += 1;
        }
        let book = books.nodes.entry(key).or_insert_with(|| Book {
            group: group.clone(),
            stream: self.fleet.open_stream(node, group, info(peer)),
            subscriptions: HashMap::new(),
            last: None,
            synced: None,
        });
        if known != Some(true) {
            let subscription = Subscription::new(now);
            book.subscriptions.insert(poll.names.clone(), subscription);
            book.tell_subscribed(&poll.resource_type);
        }
        let verdict = book.enter(poll, given.answer, &mut books.deliveries, now);
        if let Some(snapshot) = given.snapshot {
            book.tell_synced(&poll.resource_type, snapshot);
        }
        Ok(verdict)
    }

    /// Forgets the polls that did not come again for the timeout, and nodes without any. What a node polls for no more while it
    /// polls for other names of the type is forgotten earlier: nobody is to wait for it.
    pub(super) fn expire(&self, now: Instant) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.nodes.retain(|(_, kind), book| {
            let before = book.subscriptions.len();
            let polls = book.subscriptions.values().any(|one| one.is_regular(now) == Some(true));
            book.subscriptions.retain(|_, subscription| {
                let fresh = now.duration_since(subscription.heard) < self.timeout;
                let abandoned = polls && subscription.is_regular(now) == Some(false);
                let kept = fresh && !abandoned;
                if !kept {
                    subscription.settle(&book.stream);
                }
                kept
            });
            let left = book.subscriptions.len();
            if left > 0 && left < before {
                book.tell_subscribed(kind);
            }
            left > 0
        });
        books.subscriptions = books.nodes.values().map(|book| book.subscriptions.len()).sum();
    }
}

fn info(peer: Peer) -> StreamInfo {
    StreamInfo {
        protocol: Protocol::Rest,
        aggregated: false,
        peer: peer.0.to_string(),
    }
}

// === impl Books ===

impl Books {
    fn forget(&mut self, key: &(NodeId, ResourceType)) {
        if let Some(book) = self.nodes.remove(key) {
            self.subscriptions -= book.subscriptions.len();
        }
    }
}

// === impl Book ===

impl Book {
    fn enter(&mut self, poll: &Poll, answer: Option<&Answer>, deliveries: &mut u64, now: Instant) -> Verdict {
        let Some(subscription) = self.subscriptions.get_mut(&poll.names) else {
            return Verdict::Send;
        };
        subscription.hear(now);
        self.stream.record_heard();
        // What the poll says of the last answer.
        let mut refused = false;
        if let Some(sent) = &subscription.sent {
            if let Some((code, message)) = &poll.refusal {
                refused = true;
                self.stream.record(&Outcome::Nack {
                    delivery: sent.clone(),
                    code: *code,
                    message: message.clone(),
                });
            } else if sent.version == poll.presented {
                subscription.acked = true;
            } else if !subscription.acked {
                self.stream.record_unconfirmed(sent);
            }
            // Whatever it says, it says something.
            subscription.settle(&self.stream);
        }
        let Some(answer) = answer else {
            return Verdict::Send;
        };
        // What the answer makes of it.
        let same = subscription
            .sent
            .as_ref()
            .is_some_and(|sent| sent.version == answer.version);
        if answer.version == poll.presented {
            if !same {
                // We were restarted, or had forgotten the node.
                let delivery = delivery(answer, deliveries);
                self.stream.record(&Outcome::Presented(delivery.clone()));
                subscription.sent = Some(delivery.clone());
                self.last = Some(delivery);
            }
            subscription.acked = true;
            return Verdict::NotModified;
        }
        if same && refused {
            return Verdict::NotModified;
        }
        if !same || subscription.acked {
            let delivery = delivery(answer, deliveries);
            self.stream.record(&Outcome::Sent(delivery.clone()));
            subscription.sent = Some(delivery.clone());
            subscription.acked = false;
            subscription.answered = false;
            subscription.current = None;
            self.synced = None;
            self.last = Some(delivery);
        }
        Verdict::Send
    }

    /// Once no subscription lacks anything of the snapshot, the type is ACKed and synced. A list of names that has no answer
    /// lacks nothing: an Envoy stops polling for a cluster that is gone, and nobody says so.
    fn tell_synced(&mut self, kind: &ResourceType, snapshot: &Snapshot) {
        let revision = snapshot.revision();
        if self.synced == Some(revision) {
            return;
        }
        let lacks_nothing = |(names, subscription): (&Option<Vec<ResourceName>>, &mut Subscription)| {
            if subscription.current != Some(revision) && subscription.holds(kind, names.as_deref(), snapshot) {
                subscription.current = Some(revision);
            }
            subscription.current == Some(revision)
        };
        if !self.subscriptions.iter_mut().all(lacks_nothing) {
            return;
        }
        self.synced = Some(revision);
        if let Some(last) = &self.last {
            self.stream.record(&Outcome::Ack(last.clone()));
        }
        self.stream.record(&Outcome::Synced(revision));
    }

    fn tell_subscribed(&self, kind: &ResourceType) {
        let lists = self.subscriptions.keys();
        let all = lists.clone().any(Option::is_none).then_some("*");
        let named = lists.flatten().flatten().map(ResourceName::as_str);
        let mut subscription = protocol::Subscription::default();
        subscription.replace(&all.into_iter().chain(named).collect::<Vec<_>>(), false, &Unshared);
        self.stream.record(&Outcome::Subscribed {
            resource_type: kind.clone(),
            subscription,
        });
    }
}

// === impl Subscription ===

impl Subscription {
    const fn new(now: Instant) -> Self {
        Self {
            sent: None,
            acked: false,
            answered: false,
            current: None,
            heard: now,
            polls: 0,
            gap: Duration::ZERO,
        }
    }

    fn hear(&mut self, now: Instant) {
        if self.polls > 0 {
            self.gap = self.gap.max(now.duration_since(self.heard));
        }
        self.polls = self.polls.saturating_add(1);
        self.heard = now;
    }

    /// Whether the node polls for these names as often as it is used to: an Envoy waits once to twice its `refresh_delay`
    /// between two polls. `None` where that is not known yet.
    fn is_regular(&self, now: Instant) -> Option<bool> {
        let patience = (self.gap * 4).max(ABANDONED);
        (self.polls >= KNOWN_AFTER).then(|| now.duration_since(self.heard) <= patience)
    }

    /// No answer is due any more.
    fn settle(&mut self, stream: &StreamGuard) {
        if let Some(sent) = self.sent.as_ref().filter(|_| !self.answered) {
            stream.record(&Outcome::Ignored(sent.clone()));
        }
        self.answered = true;
    }

    /// Whether what was ACKed is what the snapshot has for these names.
    fn holds(&self, kind: &ResourceType, names: Option<&[ResourceName]>, snapshot: &Snapshot) -> bool {
        match (Answer::choose(snapshot, kind, names), &self.sent) {
            (Ok(answer), Some(sent)) => self.acked && sent.version == answer.version,
            (Ok(_), None) => false,
            (Err(_), _) => true,
        }
    }
}

fn delivery(answer: &Answer, deliveries: &mut u64) -> Delivery {
    *deliveries += 1;
    Delivery {
        resource_type: answer.resource_type.clone(),
        version: answer.version.clone(),
        nonce: Nonce::from(format!("rest-{deliveries}")),
        revision: answer.revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fleet, proto::envoy::config::core::v3 as core};

    #[test]
    fn names_that_are_polled_for_no_more_are_forgotten_before_the_node_is() {
        let polls = Polls::new(Fleet::new(fleet::Limits::default()), 10, Duration::from_secs(300));
        let node = Node::from(core::Node {
            id: "n".to_owned(),
            cluster: "g".to_owned(),
            ..core::Node::default()
        });
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let peer = Peer(([127, 0, 0, 1], 1).into());
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
