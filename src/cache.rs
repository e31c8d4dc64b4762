//! Group → the snapshot that its nodes are served now, and the wake-up of the streams that wait for the next one.
//!
//! The publisher sets snapshots, streams watch them. Methods return owned values: no guard of the map leaves a method.

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

/// The snapshots that are served, one per group.
#[derive(Clone, Default)]
pub struct SnapshotCache {
    shared: Arc<Shared>,
}

/// One stream's view of its group: the newest snapshot for the stream, and a wake-up when there is a newer one.
///
/// The deletion of a group takes nothing back: a watch keeps its snapshot until the group is published again.
pub struct SnapshotWatch {
    shared: Arc<Shared>,
    group: Arc<Group>,
    slot: WakerSlot,
    held: Offer,
    /// [`Group::changes`] at the last look.
    taken_in: u64,
    /// [`SnapshotWatch::current`] has not returned the held snapshot yet.
    unseen: bool,
}

#[derive(Default)]
struct Shared {
    /// Groups that are published or watched.
    groups: DashMap<NodeGroup, Arc<Group>>,
    /// The snapshot of groups that have none of their own.
    defaults: RwLock<Defaults>,
    /// Groups that are served the shared group alone as full state if they have no snapshot of their own (S-20).
    sufficed: GroupSet,
    moments: Moments,
}

/// The compositions of the shared group alone; `None` if groups without a snapshot are met with silence.
#[derive(Clone, Default)]
struct Defaults {
    /// For groups that need a snapshot of their own before they have full state.
    partial: Option<Arc<Snapshot>>,
    /// For groups for which the shared group alone is full state.
    whole: Option<Arc<Snapshot>>,
}

struct Group {
    name: NodeGroup,
    offer: RwLock<Offer>,
    /// The number of changes that watches must see. A wake-up reads this number and takes the lock only if it changed.
    changes: AtomicU64,
    watches: Wakers,
}

/// The snapshot that a group offers to its watches.
#[derive(Clone)]
enum Offer {
    /// The group's own snapshot.
    Published(Arc<Snapshot>),
    /// The default, since the group has no snapshot of its own.
    Default(Option<Arc<Snapshot>>),
}

// === impl SnapshotCache ===

impl SnapshotCache {
    /// An empty cache: every group is met with silence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty cache in which the shared group alone is full state for some groups, as if published empty themselves.
    #[must_use]
    pub fn with_sufficed(groups: GroupSet) -> Self {
        Self {
            shared: Arc::new(Shared {
                sufficed: groups,
                ..Shared::default()
            }),
        }
    }

    /// Returns true if the shared group alone is full state for a group.
    #[must_use]
    pub fn is_sufficed(&self, group: &NodeGroup) -> bool {
        self.shared.sufficed.contains(group)
    }

    /// Watches a group, published or not.
    #[must_use]
    pub fn subscribe(&self, group: &NodeGroup) -> SnapshotWatch {
        let make = || {
            Arc::new(Group::new(
                group.clone(),
                Offer::Default(self.shared.unpublished(group)),
            ))
        };
        // The watch joins while the map entry is locked, so that `remove_unused` cannot take the group for unused.
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

    /// The snapshot that nodes of the group are served now; `None` is silence (S-9).
    #[must_use]
    pub fn get(&self, group: &NodeGroup) -> Option<Arc<Snapshot>> {
        let offer = self.shared.groups.get(group).map(|group| group.offer());
        offer.map_or_else(|| self.shared.unpublished(group), |offer| offer.snapshot().cloned())
    }

    /// Sets the composed snapshot of a published group. Wakes its watches unless they have this snapshot already.
    pub fn set(&self, group: NodeGroup, snapshot: Arc<Snapshot>) {
        let name = group.clone();
        let make = || Arc::new(Group::new(name, Offer::Default(None)));
        let entry = self.shared.groups.entry(group).or_insert_with(make);
        let changed = entry.edit(|offer| {
            let changed = !matches!(offer, Offer::Published(before) if Arc::ptr_eq(before, &snapshot));
            *offer = Offer::Published(snapshot);
            changed
        });
        // Edited while the map entry is locked, so that `remove_unused` cannot take the group for unused. Woken after
        // that.
        let group = Arc::clone(&entry);
        drop(entry);
        if changed {
            group.watches.wake_all();
        }
    }

    /// Sets the snapshot of all groups that have none of their own: the composition of the shared group, or `None` if
    /// there is none. All such groups share one snapshot; those for which it is full state share another. Watches keep
    /// their snapshot when the default becomes `None`.
    pub fn set_default(&self, snapshot: Option<&Arc<Snapshot>>) {
        let defaults = Defaults {
            partial: snapshot.cloned(),
            whole: snapshot.map(|snapshot| Arc::new(snapshot.sufficing())),
        };
        // Set first: a group added from here on starts with the new default, and the loop finds all others.
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

    /// The last argument of [`SnapshotCache::set_default`].
    #[must_use]
    pub fn default_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.shared.defaults().partial
    }

    /// Records the start of a publish, before its snapshot is set. Publishes are recorded one after the other.
    pub fn note_publish(&self, revision: Revision, began: Instant) {
        self.shared.moments.note(revision, began);
    }

    /// The start of a publish; `None` if the publish is long ago or was before the start of the process.
    #[must_use]
    pub fn began(&self, revision: Revision) -> Option<Instant> {
        self.shared.moments.of(revision)
    }

    /// Deletes a group: its watches keep their snapshot, new watches get the default.
    pub fn forget(&self, group: &NodeGroup) {
        if let Some(published) = self.shared.groups.get(group) {
            published.edit(|offer| {
                *offer = Offer::Default(self.shared.unpublished(group));
                false
            });
        }
        self.shared.remove_unused(group);
    }

    /// The number of groups that are published or watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.groups.len()
    }

    /// Returns true if no group is published or watched.
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

    /// The snapshot of a group that has none of its own.
    fn unpublished(&self, group: &NodeGroup) -> Option<Arc<Snapshot>> {
        let defaults = self.defaults();
        if self.sufficed.contains(group) {
            defaults.whole
        } else {
            defaults.partial
        }
    }

    /// Removes a group that is neither published nor watched: nodes choose group names, which must not outlive them.
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

    /// Edits the offer. Returns the result of `edit`: true if the caller must wake the watches.
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
    /// The watched group.
    #[must_use]
    pub fn group(&self) -> &NodeGroup {
        &self.group.name
    }

    /// The newest snapshot, which counts as seen from now on; `None` if there never was one.
    #[must_use]
    pub fn current(&mut self) -> Option<Arc<Snapshot>> {
        self.take_in();
        self.unseen = false;
        self.held.snapshot().cloned()
    }

    /// Waits until [`SnapshotWatch::current`] would return another snapshot than at its last call. Cancel-safe.
    pub async fn changed(&mut self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    /// [`SnapshotWatch::changed`] for bodies and streams: ready until [`SnapshotWatch::current`] is called, then
    /// pending until the next change, which wakes the task.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the look at the state, so that no change in between is missed.
        self.slot.register(cx.waker());
        self.take_in();
        if self.unseen { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes the group's newest offer, unless that would take back the held snapshot.
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
