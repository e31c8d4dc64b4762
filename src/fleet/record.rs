//! The fleet's own records. A stream's record has a lock of its own, so that an ACK touches nothing shared.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::{
    ClusterLoad, DeliveryStatus, Limits, LoadReport, NackStatus, NodeStatus, Refusal, StreamInfo, StreamStatus,
    TypeStatus, Unanswered, Verdict,
    refusals::Refusals,
    verdict::{self, StreamVerdicts, Verdicts},
};
use crate::{
    metrics,
    node::{Node, NodeId},
    protocol::{Delivery, Outcome, Standing, Subscription},
    resource::{ResourceName, ResourceType},
    snapshot::{NodeGroup, Revision},
};

/// Names shown of a subscription.
const SAMPLE: usize = 16;

/// Bytes kept of the names in a load report: real ones are shorter.
const LOAD_NAME_BYTES: usize = 256;

/// One node.
#[derive(Debug)]
pub(super) struct NodeRecord {
    cluster: String,
    group: NodeGroup,
    user_agent: String,
    last_seen: SystemTime,
    streams: Vec<Arc<StreamRecord>>,
    /// What the last stream left when it ended.
    left: Vec<TypeStatus>,
    /// What its ended streams left of the newest revisions.
    verdicts: Verdicts,
    load: Option<Arc<LoadReport>>,
    changed: u64,
}

/// Differs before and after any change of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeMark {
    /// The number of the node's own last change: a stream that comes or goes is one.
    node: u64,
    /// Changes of all its streams.
    streams: u64,
}

/// What is wrong with a connected node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// It refuses something of some type.
    pub(super) refuses: bool,
    /// Its answer is due for too long.
    pub(super) owes: bool,
    /// Over REST: it came back with an earlier version than it was sent.
    pub(super) unconfirmed: bool,
}

/// One stream.
#[derive(Debug)]
pub(super) struct StreamRecord {
    id: u64,
    info: StreamInfo,
    opened: SystemTime,
    limits: Limits,
    /// Counts its changes.
    changes: AtomicU64,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// In send order. Thousands of streams have these: nothing is kept in reserve.
    types: Vec<TypeRecord>,
    /// Responses that await an answer, oldest first; as few as the protocol lets be in flight (D-16).
    awaiting: VecDeque<(ResourceType, DeliveryStatus)>,
    synced: Option<Revision>,
    blocked: Option<Revision>,
    heard: Option<SystemTime>,
    standing: Standing,
    verdicts: Verdicts,
}

/// One type on a stream: a [`TypeStatus`] that takes little room while all is well.
#[derive(Debug)]
struct TypeRecord {
    resource_type: ResourceType,
    subscription: Subscription,
    sent: Option<DeliveryStatus>,
    acked: Option<DeliveryStatus>,
    unconfirmed: Option<DeliveryStatus>,
    /// `None` where nothing was ever refused.
    refusals: Option<Box<Refusals>>,
    missing: usize,
    missing_sample: Box<[ResourceName]>,
    large: Option<usize>,
    sent_total: u64,
    nack_total: u64,
}

// === impl NodeRecord ===

impl NodeRecord {
    pub(super) fn new(node: &Node, group: &NodeGroup, now: SystemTime) -> Self {
        Self {
            cluster: node.cluster.clone(),
            group: group.clone(),
            user_agent: node.user_agent.clone(),
            last_seen: now,
            streams: Vec::new(),
            left: Vec::new(),
            verdicts: Verdicts::default(),
            load: None,
            changed: 0,
        }
    }

    /// A reconnect overlaps the old stream (L-9): both are kept, and the newer one says who the node is.
    pub(super) fn open(&mut self, node: &Node, group: &NodeGroup, stream: Arc<StreamRecord>, change: u64) {
        self.cluster.clone_from(&node.cluster);
        self.group = group.clone();
        self.user_agent.clone_from(&node.user_agent);
        self.last_seen = stream.opened;
        self.changed = change;
        self.streams.push(stream);
    }

    pub(super) fn close(&mut self, stream: &Arc<StreamRecord>, now: SystemTime, change: u64) {
        self.streams.retain(|open| open.id != stream.id);
        self.last_seen = now;
        self.changed = change;
        self.verdicts.merge(stream.verdicts().verdicts);
        if self.streams.is_empty() {
            self.left = stream.status().types;
            for row in &mut self.left {
                // Nobody is there to answer, and nobody to keep a list of names for.
                row.unanswered = None;
                row.subscription = Subscription::default();
            }
        }
    }

    /// Keeps the `most` busiest clusters of a report.
    pub(super) fn load(&mut self, mut clusters: Vec<ClusterLoad>, most: usize, now: SystemTime, change: u64) {
        clusters.sort_by(|a, b| b.issued.cmp(&a.issued).then_with(|| a.cluster.cmp(&b.cluster)));
        let omitted = clusters.len().saturating_sub(most);
        clusters.truncate(most);
        for cluster in &mut clusters {
            cluster.cluster = cut(&cluster.cluster, LOAD_NAME_BYTES);
            cluster.service = cut(&cluster.service, LOAD_NAME_BYTES);
        }
        self.load = Some(Arc::new(LoadReport {
            time: now,
            clusters,
            omitted,
            total: self.load.as_ref().map_or(0, |last| last.total) + 1,
        }));
        self.changed = change;
    }

    pub(super) const fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// When the last stream ended; `None` while one is open.
    pub(super) fn gone_since(&self) -> Option<SystemTime> {
        self.streams.is_empty().then_some(self.last_seen)
    }

    /// What it made of each revision. `current` is the one of them that everybody is brought to.
    pub(super) fn verdicts(&self, revisions: &[Revision], current: Option<Revision>) -> Vec<Option<Verdict>> {
        let streams: Vec<StreamVerdicts> = self.streams.iter().map(|stream| stream.verdicts()).collect();
        let of =
            |revision: &Revision| verdict::of_node(&self.verdicts, &streams, *revision, current == Some(*revision));
        revisions.iter().map(of).collect()
    }

    /// What is wrong with the node on any of its streams.
    pub(super) fn trouble(&self, now: SystemTime) -> Trouble {
        let mut all = Trouble::default();
        for stream in &self.streams {
            let Trouble {
                refuses,
                owes,
                unconfirmed,
            } = stream.trouble(now);
            all.refuses |= refuses;
            all.owes |= owes;
            all.unconfirmed |= unconfirmed;
        }
        all
    }

    /// The last change.
    pub(super) fn changed_at(&self) -> ChangeMark {
        let streams = self.streams.iter().map(|stream| stream.changes.load(Ordering::Acquire));
        ChangeMark {
            node: self.changed,
            streams: streams.sum(),
        }
    }

    pub(super) fn status(&self, id: &NodeId) -> NodeStatus {
        let streams: Vec<StreamStatus> = self.streams.iter().map(|stream| stream.status()).collect();
        let heard = self.streams.iter().filter_map(|stream| stream.heard()).max();
        NodeStatus {
            id: id.clone(),
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            user_agent: self.user_agent.clone(),
            last_seen: heard.unwrap_or(self.last_seen).max(self.last_seen),
            types: if streams.is_empty() {
                self.left.clone()
            } else {
                over_all(&streams)
            },
            load: self.load.clone(),
            streams,
        }
    }
}

/// One row per type: that of the stream that was sent something last.
fn over_all(streams: &[StreamStatus]) -> Vec<TypeStatus> {
    let mut rows: BTreeMap<&ResourceType, &TypeStatus> = BTreeMap::new();
    let sent_at = |row: &TypeStatus| row.sent.as_ref().map(|sent| sent.time);
    for row in streams.iter().flat_map(|stream| &stream.types) {
        let best = rows.entry(&row.resource_type).or_insert(row);
        if sent_at(row) >= sent_at(best) {
            *best = row;
        }
    }
    let mut rows: Vec<TypeStatus> = rows.into_values().cloned().collect();
    for row in &mut rows {
        let same = streams.iter().flat_map(|stream| &stream.types);
        let unanswered = same.filter(|other| other.resource_type == row.resource_type);
        let oldest = unanswered
            .filter_map(|other| other.unanswered.as_ref())
            .max_by_key(|late| late.age);
        row.unanswered = oldest.cloned();
    }
    rows
}

// === impl StreamRecord ===

impl StreamRecord {
    pub(super) fn new(id: u64, info: StreamInfo, opened: SystemTime, limits: Limits) -> Self {
        Self {
            id,
            info,
            opened,
            limits,
            changes: AtomicU64::new(0),
            books: Mutex::default(),
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn protocol(&self) -> metrics::Protocol {
        self.info.protocol.into()
    }

    fn trouble(&self, now: SystemTime) -> Trouble {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        Trouble {
            refuses: books.types.iter().any(TypeRecord::refuses),
            owes: books.awaiting.iter().any(|(_, sent)| is_late(sent, self.limits, now)),
            unconfirmed: books.types.iter().any(|row| row.is_last(row.unconfirmed.as_ref())),
        }
    }

    fn heard(&self) -> Option<SystemTime> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).heard
    }

    fn status(&self) -> StreamStatus {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        StreamStatus {
            id: self.id,
            info: self.info.clone(),
            opened: self.opened,
            types: books.rows(self.limits, SystemTime::now()),
            synced: books.synced,
            blocked: books.blocked,
            standing: books.standing.clone(),
        }
    }

    fn verdicts(&self) -> StreamVerdicts {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        StreamVerdicts {
            verdicts: books.verdicts.clone(),
            synced: books.synced,
            awaiting: books.awaiting.iter().map(|(_, sent)| sent.revision).collect(),
        }
    }

    pub(super) fn enter(&self, outcome: &Outcome, now: SystemTime) {
        self.books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter(outcome, now, self.limits.nack_message_bytes);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn enter_large(&self, delivery: &Delivery, bytes: usize) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.row(&delivery.resource_type).large = Some(bytes);
        drop(books);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn enter_unconfirmed(&self, delivery: &Delivery, now: SystemTime) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.row(&delivery.resource_type).unconfirmed = Some(at(delivery, now));
        books.heard = Some(now);
        drop(books);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn enter_heard(&self, now: SystemTime) {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(now);
    }
}

// === impl Books ===

impl Books {
    fn enter(&mut self, outcome: &Outcome, now: SystemTime, message_bytes: usize) {
        match outcome {
            Outcome::Subscribed {
                resource_type,
                subscription,
            } => self.row(resource_type).subscription.clone_from(subscription),
            Outcome::Sent(delivery) => {
                let sent = at(delivery, now);
                self.awaiting.reserve_exact(1);
                self.awaiting.push_back((delivery.resource_type.clone(), sent.clone()));
                let row = self.row(&delivery.resource_type);
                row.sent = Some(sent);
                row.large = None;
                row.sent_total += 1;
            }
            Outcome::Ack(delivery) => {
                self.answered(delivery);
                let row = self.row(&delivery.resource_type);
                row.acked = Some(at(delivery, now));
                if let Some(refusals) = &mut row.refusals {
                    refusals.on_ack();
                }
                self.heard = Some(now);
            }
            Outcome::Nack {
                delivery,
                code,
                message,
            } => {
                self.answered(delivery);
                let nack = NackStatus {
                    delivery: at(delivery, now),
                    code: *code,
                    message: cut(message, message_bytes),
                };
                let row = self.row(&delivery.resource_type);
                row.nack_total += 1;
                row.refusals.get_or_insert_default().on_nack(nack.clone());
                let resource_type = delivery.resource_type.clone();
                self.verdicts.refuse(delivery.revision, Refusal { resource_type, nack });
                self.heard = Some(now);
            }
            Outcome::StaleNonce { .. } => self.heard = Some(now),
            Outcome::Ignored(delivery) => {
                self.answered(delivery);
                self.heard = Some(now);
            }
            Outcome::Missing {
                resource_type,
                names,
                sample,
            } => {
                let row = self.row(resource_type);
                row.missing = *names;
                row.missing_sample = sample.as_slice().into();
            }
            Outcome::Refused {
                resource_type,
                names,
                sample,
            } => {
                let row = self.row(resource_type);
                row.refusals.get_or_insert_default().on_refused(*names, sample);
            }
            Outcome::Presented(delivery) => {
                let row = self.row(&delivery.resource_type);
                row.sent = Some(at(delivery, now));
                row.acked.clone_from(&row.sent);
                self.heard = Some(now);
            }
            Outcome::Synced(revision) => {
                self.synced = Some(*revision);
                self.blocked = None;
                self.verdicts.accept(*revision, now);
            }
            Outcome::Blocked(revision) => {
                self.blocked = Some(*revision);
                self.refuse_standing(*revision);
            }
            Outcome::Standing(standing) => self.standing.clone_from(standing),
        }
    }

    /// What was refused before, and is refused still, is refused of this revision too.
    fn refuse_standing(&mut self, revision: Revision) {
        for row in self.types.iter().filter(|row| row.refuses()) {
            if let Some(nack) = row.nack() {
                let (resource_type, nack) = (row.resource_type.clone(), nack.clone());
                self.verdicts.refuse(revision, Refusal { resource_type, nack });
            }
        }
    }

    fn answered(&mut self, delivery: &Delivery) {
        self.awaiting.retain(|(_, sent)| sent.nonce != delivery.nonce);
    }

    /// The rows as of now: what is unanswered for too long is so by the passing of time alone.
    fn rows(&self, limits: Limits, now: SystemTime) -> Vec<TypeStatus> {
        let mut rows: Vec<TypeStatus> = self.types.iter().map(TypeRecord::status).collect();
        for row in &mut rows {
            let mut awaiting = self.awaiting.iter();
            let oldest = awaiting.find(|(kind, _)| *kind == row.resource_type);
            row.unanswered = oldest.and_then(|(_, sent)| {
                is_late(sent, limits, now).then(|| Unanswered {
                    delivery: sent.clone(),
                    age: age(sent, now),
                })
            });
        }
        rows
    }

    fn row(&mut self, resource_type: &ResourceType) -> &mut TypeRecord {
        let at = self.types.binary_search_by(|row| row.resource_type.cmp(resource_type));
        let at = at.unwrap_or_else(|at| {
            self.types.reserve_exact(1);
            self.types.insert(at, TypeRecord::new(resource_type.clone()));
            at
        });
        &mut self.types[at]
    }
}

fn at(delivery: &Delivery, time: SystemTime) -> DeliveryStatus {
    DeliveryStatus {
        version: delivery.version.clone(),
        nonce: delivery.nonce.clone(),
        revision: delivery.revision,
        time,
    }
}

fn age(sent: &DeliveryStatus, now: SystemTime) -> Duration {
    now.duration_since(sent.time).unwrap_or_default()
}

/// Whether it should have been answered by now.
fn is_late(sent: &DeliveryStatus, limits: Limits, now: SystemTime) -> bool {
    age(sent, now) >= limits.unanswered_after
}

/// The text, cut at a character's border.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

// === impl TypeRecord ===

impl TypeRecord {
    fn new(resource_type: ResourceType) -> Self {
        Self {
            resource_type,
            subscription: Subscription::default(),
            sent: None,
            acked: None,
            unconfirmed: None,
            refusals: None,
            missing: 0,
            missing_sample: Box::default(),
            large: None,
            sent_total: 0,
            nack_total: 0,
        }
    }

    /// The NACK that counts.
    fn nack(&self) -> Option<&NackStatus> {
        self.refusals.as_deref().and_then(Refusals::nack)
    }

    /// Whether something is refused; where it is not said what, whether the last response was.
    fn refuses(&self) -> bool {
        self.refusals.as_deref().is_some_and(|refusals| {
            let nacked = refusals.nack().map(|nack| &nack.delivery);
            refusals.names() > 0 || (!refusals.mended() && self.is_last(nacked))
        })
    }

    /// Whether this is the last response.
    fn is_last(&self, delivery: Option<&DeliveryStatus>) -> bool {
        let nonce = delivery.map(|delivery| &delivery.nonce);
        nonce.is_some() && nonce == self.sent.as_ref().map(|sent| &sent.nonce)
    }

    fn status(&self) -> TypeStatus {
        let names = self.subscription.names();
        let refusals = self.refusals.as_deref();
        TypeStatus {
            resource_type: self.resource_type.clone(),
            wildcard: self.subscription.is_wildcard(),
            names: names.len(),
            sample: names.iter().take(SAMPLE).cloned().collect(),
            subscription: self.subscription.clone(),
            sent: self.sent.clone(),
            acked: self.acked.clone(),
            unconfirmed: self.unconfirmed.clone(),
            nack: self.nack().cloned(),
            refused: refusals.map_or(0, Refusals::names),
            refused_sample: refusals.map_or_else(Vec::new, |refusals| refusals.sample().to_vec()),
            mended: refusals.is_none_or(Refusals::mended),
            unanswered: None,
            missing: self.missing,
            missing_sample: self.missing_sample.to_vec(),
            large: self.large,
            sent_total: self.sent_total,
            nack_total: self.nack_total,
        }
    }
}
