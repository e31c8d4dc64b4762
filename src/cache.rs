//! Group → the snapshot its nodes are served now, and the wake-up of those who wait for the next.
//!
//! The publisher sets, streams watch. Methods are sync and give owned values out: no guard of the map leaves a method.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use dashmap::DashMap;
use tokio::sync::watch;
use tokio_stream::{Stream as _, wrappers::WatchStream};

use crate::snapshot::{NodeGroup, Snapshot};

/// The snapshots that are served.
#[derive(Clone, Default)]
pub struct SnapshotCache {
    shared: Arc<Shared>,
}

/// One stream's view of its group: the newest snapshot it may be given, and a wake-up when there is a newer one.
///
/// A deleted group takes nothing back: a watch keeps what it holds until the group is published again.
pub struct SnapshotWatch {
    group: NodeGroup,
    shared: Arc<Shared>,
    held: Offer,
    /// What is held was not yet given out by [`SnapshotWatch::current`].
    unseen: bool,
    /// `None` only while dropping: the receivers go before the map is asked whether anyone is left.
    receivers: Option<Receivers>,
}

#[derive(Default)]
struct Shared {
    /// Groups that are published, and groups that a watch asks for.
    groups: DashMap<NodeGroup, watch::Sender<Offer>>,
    /// What every group without a snapshot of its own is served; `None` where that is silence.
    default: RwLock<Option<Arc<Snapshot>>>,
}

/// What a group has to offer.
#[derive(Clone)]
enum Offer {
    /// Its own snapshot.
    Published(Arc<Snapshot>),
    /// It has none; this is what groups without one are served.
    Default(Option<Arc<Snapshot>>),
}

struct Receivers {
    value: watch::Receiver<Offer>,
    /// The same channel as something to poll; made when first polled.
    wake: Option<WatchStream<Offer>>,
}

// === impl SnapshotCache ===

impl SnapshotCache {
    /// An empty cache: every group is met with silence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches a group, whether it was published or not.
    #[must_use]
    pub fn subscribe(&self, group: &NodeGroup) -> SnapshotWatch {
        let value = self
            .shared
            .groups
            .entry(group.clone())
            .or_insert_with(|| watch::Sender::new(Offer::Default(self.shared.default())))
            .subscribe();
        let held = value.borrow().clone();
        SnapshotWatch {
            group: group.clone(),
            shared: Arc::clone(&self.shared),
            held,
            unseen: false,
            receivers: Some(Receivers { value, wake: None }),
        }
    }

    /// What a node of the group is served now; `None` is silence (S-9).
    #[must_use]
    pub fn get(&self, group: &NodeGroup) -> Option<Arc<Snapshot>> {
        let offer = self.shared.groups.get(group).map(|sender| sender.borrow().clone());
        offer.map_or_else(|| self.shared.default(), |offer| offer.snapshot().cloned())
    }

    /// A published group's composed snapshot. Its watches are woken, unless it is the one they have.
    pub fn set(&self, group: NodeGroup, snapshot: Arc<Snapshot>) {
        let sender = self
            .shared
            .groups
            .entry(group)
            .or_insert_with(|| watch::Sender::new(Offer::Default(None)));
        sender.send_if_modified(|offer| {
            let changed = !matches!(offer, Offer::Published(before) if Arc::ptr_eq(before, &snapshot));
            *offer = Offer::Published(snapshot);
            changed
        });
    }

    /// What groups without a snapshot of their own are served: what the shared group composes to, `None` where it has none.
    /// One snapshot for all of them, under the shared group's name. Taking it away takes nothing back from watches.
    pub fn set_default(&self, snapshot: Option<&Arc<Snapshot>>) {
        // Before the groups: an entry made from here on starts with it, one made before is found below.
        *self.shared.default.write().unwrap_or_else(PoisonError::into_inner) = snapshot.cloned();
        for sender in &self.shared.groups {
            sender.send_if_modified(|offer| match offer {
                Offer::Published(_) => false,
                Offer::Default(default) => {
                    *default = snapshot.cloned();
                    true
                }
            });
        }
    }

    /// What [`SnapshotCache::set_default`] gave last.
    #[must_use]
    pub fn default_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.shared.default()
    }

    /// The group was deleted: its watches keep what they hold, new ones get what unpublished groups get.
    pub fn forget(&self, group: &NodeGroup) {
        if let Some(sender) = self.shared.groups.get(group) {
            sender.send_if_modified(|offer| {
                *offer = Offer::Default(self.shared.default());
                false
            });
        }
        self.shared.remove_unused(group);
    }

    /// Groups that are published or watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.groups.len()
    }

    /// Whether no group is published or watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.groups.is_empty()
    }
}

impl fmt::Debug for SnapshotCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotCache")
            .field("groups", &self.len())
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn default(&self) -> Option<Arc<Snapshot>> {
        self.default.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nodes name groups: those that nobody published must not outlive the nodes.
    fn remove_unused(&self, group: &NodeGroup) {
        self.groups.remove_if(group, |_, sender| {
            sender.receiver_count() == 0 && matches!(*sender.borrow(), Offer::Default(_))
        });
    }
}

// === impl Offer ===

impl Offer {
    const fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Published(snapshot) => Some(snapshot),
            Self::Default(snapshot) => snapshot.as_ref(),
        }
    }
}

// === impl SnapshotWatch ===

impl SnapshotWatch {
    /// The group it watches.
    #[must_use]
    pub const fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// The newest snapshot, which counts as seen from here on; `None` where there never was one.
    #[must_use]
    pub fn current(&mut self) -> Option<Arc<Snapshot>> {
        self.take_in();
        self.unseen = false;
        self.held.snapshot().cloned()
    }

    /// Waits until [`SnapshotWatch::current`] would give another snapshot than it last did. Cancel-safe.
    pub async fn changed(&mut self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    /// [`SnapshotWatch::changed`] for bodies and streams: ready until [`SnapshotWatch::current`] is called, and pending from
    /// then on until the next change.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.take_in();
            if self.unseen {
                return Poll::Ready(());
            }
            let Some(receivers) = &mut self.receivers else {
                return Poll::Pending;
            };
            let wake = receivers
                .wake
                .get_or_insert_with(|| WatchStream::from_changes(receivers.value.clone()));
            match Pin::new(wake).poll_next(cx) {
                // It may tell of what was taken in before: look again.
                Poll::Ready(Some(_)) => {}
                // The watch itself holds the map that holds the sender; were it gone, nothing would ever change again.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes in what was sent since, unless it would take back what is held.
    fn take_in(&mut self) {
        let Some(receivers) = &mut self.receivers else {
            return;
        };
        if !receivers.value.has_changed().unwrap_or(false) {
            return;
        }
        let newest = receivers.value.borrow_and_update().clone();
        let keeps = match (&self.held, &newest) {
            (Offer::Published(_) | Offer::Default(Some(_)), Offer::Default(None))
            | (Offer::Published(_), Offer::Default(Some(_))) => true,
            (Offer::Published(_) | Offer::Default(_), Offer::Published(_)) | (Offer::Default(_), Offer::Default(_)) => {
                false
            }
        };
        if keeps {
            return;
        }
        let same = match (self.held.snapshot(), newest.snapshot()) {
            (Some(held), Some(newest)) => Arc::ptr_eq(held, newest),
            (held, newest) => held.is_none() && newest.is_none(),
        };
        self.unseen |= !same;
        self.held = newest;
    }
}

impl Drop for SnapshotWatch {
    fn drop(&mut self) {
        self.receivers = None;
        self.shared.remove_unused(&self.group);
    }
}

impl fmt::Debug for SnapshotWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWatch")
            .field("group", &self.group)
            .field("revision", &self.held.snapshot().map(|snapshot| snapshot.revision()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
