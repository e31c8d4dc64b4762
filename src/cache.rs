//! Group → the snapshot its nodes are served now, and the wake-up of those who wait for the next.
//!
//! The publisher sets, streams watch. Methods are sync and give owned values out: no guard of the map leaves a method.

mod moments;
mod wakers;

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use dashmap::DashMap;

use self::moments::Moments;
pub use self::wakers::{WakerSlot, Wakers};
use crate::{
    node::{GroupSet, NodeGroup},
    snapshot::{Revision, Snapshot},
};

/// The snapshots that are served.
#[derive(Clone, Default)]
pub struct SnapshotCache {
    shared: Arc<Shared>,
}

/// One stream's view of its group: the newest snapshot it may be given, and a wake-up when there is a newer one.
///
/// A deleted group takes nothing back: a watch keeps what it holds until the group is published again.
pub struct SnapshotWatch {
    shared: Arc<Shared>,
    group: Arc<Group>,
    slot: WakerSlot,
    held: Offer,
    /// The group's changes up to here were taken in.
    taken_in: u64,
    /// What is held was not yet given out by [`SnapshotWatch::current`].
    unseen: bool,
}

#[derive(Default)]
struct Shared {
    /// Groups that are published, and groups that a watch asks for.
    groups: DashMap<NodeGroup, Arc<Group>>,
    /// What groups without a snapshot of their own are served.
    defaults: RwLock<Defaults>,
    /// Groups to which the shared one is enough: without a snapshot of their own they are served it as full state (S-20).
    sufficed: GroupSet,
    moments: Moments,
}

/// What the shared group composes to; `None` where that is silence.
#[derive(Clone, Default)]
struct Defaults {
    /// For groups of which more is to come.
    partial: Option<Arc<Snapshot>>,
    /// For groups to which the shared one is enough.
    whole: Option<Arc<Snapshot>>,
}

struct Group {
    name: NodeGroup,
    offer: RwLock<Offer>,
    /// Counts the offers that watches are to hear of: one number is read per wake-up, and no lock taken for nothing.
    changes: AtomicU64,
    watches: Wakers,
}

/// What a group has to offer.
#[derive(Clone)]
enum Offer {
    /// Its own snapshot.
    Published(Arc<Snapshot>),
    /// It has none; this is what groups without one are served.
    Default(Option<Arc<Snapshot>>),
}

// === impl SnapshotCache ===

impl SnapshotCache {
    /// An empty cache: every group is met with silence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty cache in which the shared group alone is full state for some groups, as if each had been published empty.
    #[must_use]
    pub fn with_sufficed(groups: GroupSet) -> Self {
        Self {
            shared: Arc::new(Shared {
                sufficed: groups,
                ..Shared::default()
            }),
        }
    }

    /// Whether the shared group alone is full state for a group.
    #[must_use]
    pub fn is_sufficed(&self, group: &NodeGroup) -> bool {
        self.shared.sufficed.contains(group)
    }

    /// Watches a group, whether it was published or not.
    #[must_use]
    pub fn subscribe(&self, group: &NodeGroup) -> SnapshotWatch {
        let make = || {
            Arc::new(Group::new(
                group.clone(),
                Offer::Default(self.shared.unpublished(group)),
            ))
        };
        // Joined while the map is held: nobody takes the group for unused meanwhile.
        let entry = self.shared.groups.entry(group.clone()).or_insert_with(make);
        let (group, slot) = (Arc::clone(&entry), entry.watches.join());
        drop(entry);
        let taken_in = group.changes.load(Ordering::Acquire);
        SnapshotWatch {
            shared: Arc::clone(&self.shared),
            slot,
            held: group.offer(),
            taken_in,
            unseen: false,
            group,
        }
    }

    /// What a node of the group is served now; `None` is silence (S-9).
    #[must_use]
    pub fn get(&self, group: &NodeGroup) -> Option<Arc<Snapshot>> {
        let offer = self.shared.groups.get(group).map(|group| group.offer());
        offer.map_or_else(|| self.shared.unpublished(group), |offer| offer.snapshot().cloned())
    }

    /// A published group's composed snapshot. Its watches are woken, unless it is the one they have.
    pub fn set(&self, group: NodeGroup, snapshot: Arc<Snapshot>) {
        let name = group.clone();
        let make = || Arc::new(Group::new(name, Offer::Default(None)));
        let entry = self.shared.groups.entry(group).or_insert_with(make);
        let changed = entry.edit(|offer| {
            let changed = !matches!(offer, Offer::Published(before) if Arc::ptr_eq(before, &snapshot));
            *offer = Offer::Published(snapshot);
            changed
        });
        // Edited while the map is held, so that nobody takes the group for unused; woken when it is not.
        let group = Arc::clone(&entry);
        drop(entry);
        if changed {
            group.watches.wake_all();
        }
    }

    /// What groups without a snapshot of their own are served: what the shared group composes to, `None` where it has none.
    /// One snapshot for all of them, under the shared group's name, and one more for those to which it is enough. Taking it
    /// away takes nothing back from watches.
    pub fn set_default(&self, snapshot: Option<&Arc<Snapshot>>) {
        let defaults = Defaults {
            partial: snapshot.cloned(),
            whole: snapshot.map(|snapshot| Arc::new(snapshot.sufficing())),
        };
        // Before the groups: an entry made from here on starts with it, one made before is found below.
        *self.shared.defaults.write().unwrap_or_else(PoisonError::into_inner) = defaults;
        let groups: Vec<Arc<Group>> = self.shared.groups.iter().map(|group| Arc::clone(&group)).collect();
        for group in groups {
            let newest = self.shared.unpublished(&group.name);
            let changed = group.edit(|offer| match offer {
                Offer::Published(_) => false,
                Offer::Default(default) => {
                    *default = newest;
                    true
                }
            });
            if changed {
                group.watches.wake_all();
            }
        }
    }

    /// What [`SnapshotCache::set_default`] was given last.
    #[must_use]
    pub fn default_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.shared.defaults().partial
    }

    /// Notes when a publish began, before its snapshot is set. One publish after the other.
    pub fn note_publish(&self, revision: Revision, began: Instant) {
        self.shared.moments.note(revision, began);
    }

    /// When a publish began; `None` where that is long ago, or was before the start.
    #[must_use]
    pub fn began(&self, revision: Revision) -> Option<Instant> {
        self.shared.moments.of(revision)
    }

    /// The group was deleted: its watches keep what they hold, new ones get what unpublished groups get.
    pub fn forget(&self, group: &NodeGroup) {
        if let Some(published) = self.shared.groups.get(group) {
            published.edit(|offer| {
                *offer = Offer::Default(self.shared.unpublished(group));
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
    fn defaults(&self) -> Defaults {
        self.defaults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a group without a snapshot of its own is served.
    fn unpublished(&self, group: &NodeGroup) -> Option<Arc<Snapshot>> {
        let defaults = self.defaults();
        if self.sufficed.contains(group) {
            defaults.whole
        } else {
            defaults.partial
        }
    }

    /// Nodes name groups: those that nobody published must not outlive the nodes.
    fn remove_unused(&self, group: &NodeGroup) {
        self.groups.remove_if(group, |_, group| {
            group.watches.is_empty() && matches!(group.offer(), Offer::Default(_))
        });
    }
}

// === impl Group ===

impl Group {
    fn new(name: NodeGroup, offer: Offer) -> Self {
        Self {
            name,
            offer: RwLock::new(offer),
            changes: AtomicU64::new(0),
            watches: Wakers::default(),
        }
    }

    fn offer(&self) -> Offer {
        self.offer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Edits the offer. Where `edit` says that the watches are to hear of it, so does this, and the caller wakes them.
    fn edit(&self, edit: impl FnOnce(&mut Offer) -> bool) -> bool {
        let changed = edit(&mut self.offer.write().unwrap_or_else(PoisonError::into_inner));
        if changed {
            self.changes.fetch_add(1, Ordering::Release);
        }
        changed
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
    pub fn group(&self) -> &NodeGroup {
        &self.group.name
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
    /// then on until the next change, of which the task is told in any case.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // First: what changes after the look below wakes the task.
        self.slot.register(cx.waker());
        self.take_in();
        if self.unseen { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes in what was offered since, unless it would take back what is held.
    fn take_in(&mut self) {
        let changes = self.group.changes.load(Ordering::Acquire);
        if changes == self.taken_in {
            return;
        }
        self.taken_in = changes;
        let newest = self.group.offer();
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
        self.group.watches.leave(&self.slot);
        self.shared.remove_unused(&self.group.name);
    }
}

impl fmt::Debug for SnapshotWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWatch")
            .field("group", &self.group.name)
            .field("revision", &self.held.snapshot().map(|snapshot| snapshot.revision()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
