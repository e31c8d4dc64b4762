//! What was published, and how states of a group differ. Nothing here changes anything.

use std::{io, sync::Arc};

use tokio::sync::broadcast;

use super::{
    Publisher,
    change::{replacement, restoration, type_changes},
    outlook::Outlook,
    request::{Comparison, DiffTarget, NotFound, PublishError, PublishOptions, SnapshotEvent, Totals, check_group},
    types_of,
};
use crate::{
    admission::{Admitted, Places, Rejection, Severity},
    node::NodeGroup,
    revision::{RevisionInfo, StoredRevision},
    snapshot::{Revision, Snapshot},
};

/// What a head is compared with.
enum Wanted {
    /// What was published before.
    Stored(Arc<StoredRevision>),
    /// What would replace it.
    Admitted(Box<Admitted>),
}

impl Publisher {
    /// One group's own resources, of a kept revision or as they are. Blocks on the store for an earlier revision only.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotFound`], or [`PublishError::Store`].
    pub fn get(&self, group: &NodeGroup, revision: Option<Revision>) -> Result<(RevisionInfo, Snapshot), PublishError> {
        let missing = || NotFound::Group(group.clone());
        let stored = match revision {
            Some(revision) => self.stored(group, revision)?,
            None => self.head(group).ok_or_else(missing)?,
        };
        let snapshot = stored.snapshot().ok_or_else(missing)?;
        Ok((stored.info(), snapshot))
    }

    /// Every published group, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<RevisionInfo> {
        self.heads().values().map(|head| head.info()).collect()
    }

    /// The first published groups behind a name, sorted; whether there are more.
    #[must_use]
    pub fn page(&self, after: Option<&str>, most: usize) -> (Vec<RevisionInfo>, bool) {
        let heads = self.heads();
        let behind = heads
            .iter()
            .filter(|(group, _)| after.is_none_or(|after| group.as_str() > after));
        let mut behind = behind.map(|(_, head)| head);
        let page = behind.by_ref().take(most).map(|head| head.info()).collect();
        (page, behind.next().is_some())
    }

    /// How much is published.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for head in self.heads().values() {
            totals.groups += 1;
            totals.revision = totals.revision.max(head.revision);
            for (kind, resources) in head.types().into_iter().flatten() {
                *totals.resources.entry(kind.clone()).or_default() += resources.len();
            }
        }
        totals
    }

    /// A group's kept revisions, newest first, at most `limit`; also of a deleted group. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`NotFound::Group`] where there are none, or [`PublishError::Store`].
    pub fn history(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, PublishError> {
        let revisions = self.heard(self.store.list(group, limit.max(1)))?;
        if revisions.is_empty() {
            return Err(NotFound::Group(group.clone()).into());
        }
        Ok(revisions)
    }

    /// Compares a kept revision, or what is current, with another or with a candidate. A group without a snapshot compares as
    /// an empty one. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotFound`], [`PublishError::Rejected`] for a candidate, or [`PublishError::Store`].
    pub fn diff(&self, group: &NodeGroup, from: Option<Revision>, to: &DiffTarget) -> Result<Comparison, PublishError> {
        let wanted = match to {
            DiffTarget::Revision(to) => {
                let to = match to {
                    Some(revision) => self.stored(group, *revision)?,
                    None => self.head(group).ok_or_else(|| NotFound::Group(group.clone()))?,
                };
                Wanted::Stored(to)
            }
            DiffTarget::Candidate(candidate) => {
                check_group(group)?;
                Wanted::Admitted(Box::new(self.admit(group, candidate, None)?))
            }
        };
        let from = from.map(|revision| self.stored(group, revision)).transpose()?;
        self.compare(group, from, &wanted)
    }

    /// Compares a state, or the head, with what the head would become.
    fn compare(
        &self,
        group: &NodeGroup,
        from: Option<Arc<StoredRevision>>,
        wanted: &Wanted,
    ) -> Result<Comparison, PublishError> {
        let mut writer = self.writer();
        let head = self.head(group);
        let from = from.or_else(|| head.clone());
        let is_next = from.as_ref().map(|from| from.revision) == head.as_ref().map(|head| head.revision);
        let (head, before) = (types_of(head.as_deref()), types_of(from.as_deref()));
        let nowhere = Places::default();
        let (edits, places) = match wanted {
            Wanted::Stored(to) => (restoration(&head, &types_of(Some(to))), &nowhere),
            Wanted::Admitted(admitted) => (replacement(&head, &admitted.resources), &admitted.places),
        };
        let proposal = self.propose(&mut writer, group, &head, edits, None, places)?;
        let (mut after, mut findings) = (proposal.next.types, Vec::new());
        match wanted {
            // Both were published as they are: nothing is made anew.
            Wanted::Stored(to) if !is_next => after = types_of(Some(to)),
            Wanted::Stored(_) => {}
            Wanted::Admitted(admitted) => {
                findings = [admitted.findings.clone(), proposal.findings].concat();
                if findings.iter().any(|finding| finding.severity == Severity::Error) {
                    return Err(PublishError::Rejected(Rejection { findings }));
                }
                if is_next {
                    let options = PublishOptions::default();
                    let asked = self.unconfirmed(group, &options, &head, &after, &proposal.next.changes);
                    findings.splice(..0, asked);
                }
            }
        }
        Ok(Comparison {
            changes: type_changes(&before, &after),
            findings,
            outlook: Outlook {
                group: group.clone(),
                revision: proposal.revision,
                before,
                after,
                is_next,
            },
        })
    }

    /// Writes everything that is kept, as it is at one moment, while publishes go on. Blocks on the store and on `to`.
    ///
    /// # Errors
    ///
    /// [`PublishError::Store`].
    pub fn backup(&self, to: &mut dyn io::Write) -> Result<(), PublishError> {
        Ok(self.store.backup(to)?)
    }

    /// Every publish and deletion from here on. Subscribe first, then [`Publisher::list`]: nothing is lost, and what comes twice
    /// has the same revision. A subscriber that lags lists again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<SnapshotEvent> {
        self.events.subscribe()
    }

    /// A kept revision that holds a snapshot.
    pub(super) fn stored(&self, group: &NodeGroup, revision: Revision) -> Result<Arc<StoredRevision>, PublishError> {
        if let Some(head) = self.head(group).filter(|head| head.revision == revision) {
            return Ok(head);
        }
        let stored = self.heard(self.store.get(group, revision))?;
        if let Some(stored) = stored.filter(|stored| stored.types().is_some()) {
            return Ok(Arc::new(stored));
        }
        let kept = self.heard(self.store.list(group, usize::MAX))?;
        Err(PublishError::NotFound(NotFound::Revision {
            group: group.clone(),
            revision,
            oldest: kept.last().map(|info| info.revision),
        }))
    }
}
