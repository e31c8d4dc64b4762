//! The state machine of one node that polls one type (H). A poll has no memory, no nonce and no word for a refusal. So
//! [`Polling`] keeps the last answers, and reads the outcome of an answer off the next poll.
//!
//! A poll that presents the version of the last answer is its ACK. A poll that presents an earlier version means
//! "rejected or not yet applied". A poll with `error_detail` is a NACK (H-4).

mod limits;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

pub use self::limits::PollLimits;
use super::{
    delivery::Delivery,
    nonce::Nonce,
    outcome::Outcome,
    subscription::{Subscription, Unshared},
};
use crate::{
    resource::{ResourceName, ResourceType, Version},
    snapshot::Revision,
};

/// A list of names does not count as abandoned before this time has passed.
const ABANDONED: Duration = Duration::from_secs(10);
/// The number of polls for a list after which the usual time between its polls is known.
const KNOWN_AFTER: u32 = 3;

/// The names that a poll asks for, sorted, each once; `None` for all resources of the type.
pub type PolledNames = Option<Vec<ResourceName>>;

/// The parts of a poll that decide its answer.
#[derive(Clone, Copy, Debug)]
pub struct Poll<'a> {
    /// The names that the poll asks for.
    pub names: &'a PolledNames,
    /// The version that the node accepted last; empty before the first.
    pub presented: &'a Version,
    /// Code and message of `error_detail`, where the poll has one.
    pub refusal: Option<(i32, &'a str)>,
}

/// The answer to a poll: its version, and the publish that it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollAnswer {
    /// The version of the answer.
    pub version: Version,
    /// The publish that the answer is made from.
    pub revision: Revision,
}

/// The reply to a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No content: the node has the answer already, or its poll refuses this very answer.
    NotModified,
    /// The answer.
    Send,
}

/// The outcome of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// An outcome that streams have as well.
    Known(Outcome),
    /// The node polled again and has not accepted this answer: it rejected the answer, or has not applied it yet.
    Unconfirmed(Delivery),
}

/// One node that polls one type. Polls, snapshots and the passing of time go in; replies and outcomes come out.
#[derive(Debug)]
pub struct Polling {
    resource_type: ResourceType,
    /// An Envoy polls separately for the endpoints of each cluster, and for each route configuration.
    lists: BTreeMap<PolledNames, Polled>,
    /// The last answer, to any list.
    last: Option<Delivery>,
    synced: Option<Revision>,
    /// The number of answers so far: gives each answer a nonce of its own.
    answers: u64,
    outcomes: VecDeque<PollOutcome>,
}

/// The state of one list of names, or of the poll for all resources.
#[derive(Debug)]
struct Polled {
    sent: Option<Delivery>,
    acked: bool,
    /// The node has polled again since the answer, and accepted it or not.
    answered: bool,
    /// The newest revision of which the node lacks nothing on this list.
    current: Option<Revision>,
    last_poll: Instant,
    polls: u32,
    /// The longest time between two polls.
    gap: Duration,
}

// === impl Polling ===

impl Polling {
    /// Makes the state of a node that has not polled yet.
    #[must_use]
    pub const fn new(resource_type: ResourceType) -> Self {
        Self {
            resource_type,
            lists: BTreeMap::new(),
            last: None,
            synced: None,
            answers: 0,
            outcomes: VecDeque::new(),
        }
    }

    /// The number of lists that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// The number of names in all lists.
    #[must_use]
    pub fn names(&self) -> usize {
        self.lists().flatten().map(Vec::len).sum()
    }

    /// The lists that are remembered.
    pub fn lists(&self) -> impl Iterator<Item = &PolledNames> {
        self.lists.keys()
    }

    /// Returns true if no list is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Returns true if the node has polled for this list before.
    #[must_use]
    pub fn knows(&self, names: &PolledNames) -> bool {
        self.lists.contains_key(names)
    }

    /// Takes a poll and returns its reply. `answer` is `None` where the server has nothing to answer with.
    pub fn on_poll(&mut self, poll: Poll<'_>, answer: Option<&PollAnswer>, now: Instant) -> Reply {
        if !self.knows(poll.names) {
            self.lists.insert(poll.names.clone(), Polled::new(now));
            self.report_subscribed();
        }
        let list = self
            .lists
            .get_mut(poll.names)
            .expect("a list that was not known was just added");
        list.note_poll(now);
        self.outcomes.extend(list.settle_by(poll));
        let Some(answer) = answer else {
            return Reply::Send;
        };
        let is_same = list.sent.as_ref().is_some_and(|sent| sent.version == answer.version);
        if answer.version == *poll.presented {
            list.acked = true;
            if !is_same {
                // The server was restarted, or had forgotten the node.
                let delivery = self.deliver(poll.names, answer);
                self.outcomes.push_back(Outcome::Presented(delivery).into());
            }
            return Reply::NotModified;
        }
        if is_same && poll.refusal.is_some() {
            return Reply::NotModified;
        }
        if !is_same || list.acked {
            (list.acked, list.answered, list.current) = (false, false, None);
            self.synced = None;
            let delivery = self.deliver(poll.names, answer);
            self.outcomes.push_back(Outcome::Sent(delivery).into());
        }
        Reply::Send
    }

    fn deliver(&mut self, names: &PolledNames, answer: &PollAnswer) -> Delivery {
        self.answers += 1;
        let delivery = Delivery {
            resource_type: self.resource_type.clone(),
            version: answer.version.clone(),
            nonce: Nonce::from(format!("rest-{}", self.answers)),
            revision: answer.revision,
        };
        if let Some(list) = self.lists.get_mut(names) {
            list.sent = Some(delivery.clone());
        }
        self.last = Some(delivery.clone());
        delivery
    }

    /// Compares the state that the node accepted with a snapshot; `version_of` gives the version of the answer to a
    /// list. Once no list lacks anything, the type is ACKed and synced. A list without an answer lacks nothing: an
    /// Envoy silently stops polling for a cluster that is gone.
    pub fn on_snapshot(&mut self, revision: Revision, version_of: impl Fn(&PolledNames) -> Option<Version>) {
        if self.synced == Some(revision) {
            return;
        }
        let lacks_nothing = |(names, list): (&PolledNames, &mut Polled)| {
            if list.current != Some(revision) && list.holds(version_of(names).as_ref()) {
                list.current = Some(revision);
            }
            list.current == Some(revision)
        };
        if !self.lists.iter_mut().all(lacks_nothing) {
            return;
        }
        self.synced = Some(revision);
        let acked = self.last.clone().map(Outcome::Ack);
        self.outcomes.extend(acked.map(PollOutcome::from));
        self.outcomes.push_back(Outcome::Synced(revision).into());
    }

    /// Forgets the lists without a poll for `timeout`. A list that the node no longer polls for, while it polls for
    /// others, is forgotten earlier, so that nobody waits for it.
    pub fn on_time(&mut self, timeout: Duration, now: Instant) {
        let before = self.lists.len();
        let polls = self.lists.values().any(|list| list.is_regular(now) == Some(true));
        let outcomes = &mut self.outcomes;
        self.lists.retain(|_, list| {
            let fresh = now.saturating_duration_since(list.last_poll) < timeout;
            let abandoned = polls && list.is_regular(now) == Some(false);
            let kept = fresh && !abandoned;
            if !kept {
                outcomes.extend(list.settle());
            }
            kept
        });
        if !self.lists.is_empty() && self.lists.len() < before {
            self.report_subscribed();
        }
    }

    /// Takes the oldest outcome since the last call.
    pub fn poll_outcome(&mut self) -> Option<PollOutcome> {
        self.outcomes.pop_front()
    }

    fn report_subscribed(&mut self) {
        let lists = self.lists.keys();
        let all = lists.clone().any(Option::is_none).then_some("*");
        let named = lists.flatten().flatten().map(ResourceName::as_str);
        let mut subscription = Subscription::default();
        subscription.replace(&all.into_iter().chain(named).collect::<Vec<_>>(), false, &Unshared);
        let subscribed = Outcome::Subscribed {
            resource_type: self.resource_type.clone(),
            subscription,
        };
        self.outcomes.push_back(subscribed.into());
    }
}

// === impl PollOutcome ===

impl From<Outcome> for PollOutcome {
    fn from(outcome: Outcome) -> Self {
        Self::Known(outcome)
    }
}

// === impl Polled ===

impl Polled {
    const fn new(now: Instant) -> Self {
        Self {
            sent: None,
            acked: false,
            answered: false,
            current: None,
            last_poll: now,
            polls: 0,
            gap: Duration::ZERO,
        }
    }

    fn note_poll(&mut self, now: Instant) {
        if self.polls > 0 {
            self.gap = self.gap.max(now.saturating_duration_since(self.last_poll));
        }
        self.polls = self.polls.saturating_add(1);
        self.last_poll = now;
    }

    /// Returns true if the node polls for this list as often as it usually does; `None` until that is known. An Envoy
    /// waits once to twice its `refresh_delay` between two polls.
    fn is_regular(&self, now: Instant) -> Option<bool> {
        let patience = (self.gap * 4).max(ABANDONED);
        (self.polls >= KNOWN_AFTER).then(|| now.saturating_duration_since(self.last_poll) <= patience)
    }

    /// Reads the outcome of the last answer off the next poll.
    fn settle_by(&mut self, poll: Poll<'_>) -> Vec<PollOutcome> {
        let Some(sent) = &self.sent else {
            return Vec::new();
        };
        let mut outcomes = Vec::new();
        if let Some((code, message)) = poll.refusal {
            let nack = Outcome::Nack {
                delivery: sent.clone(),
                code,
                message: message.to_owned(),
            };
            outcomes.push(nack.into());
        } else if sent.version == *poll.presented {
            self.acked = true;
        } else if !self.acked {
            outcomes.push(PollOutcome::Unconfirmed(sent.clone()));
        }
        outcomes.extend(self.settle());
        outcomes
    }

    /// Ends the wait for the outcome of the last answer.
    fn settle(&mut self) -> Option<PollOutcome> {
        let unanswered = self.sent.as_ref().filter(|_| !self.answered);
        let ignored = unanswered.map(|sent| Outcome::Ignored(sent.clone()).into());
        self.answered = true;
        ignored
    }

    /// Returns true if the accepted answer has this version. Without a version to answer with, nothing is lacking.
    fn holds(&self, version: Option<&Version>) -> bool {
        match (version, &self.sent) {
            (Some(version), Some(sent)) => self.acked && sent.version == *version,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

#[cfg(test)]
mod tests;
