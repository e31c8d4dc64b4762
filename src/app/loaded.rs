//! The access rules and the snapshots, read before anything is served.

use std::sync::Arc;

use anyhow::Context as _;
use tracing::{info, warn};

use super::{access::Source, base::Base};
use crate::{
    authority::Authority,
    cache::SnapshotCache,
    publisher::{Publisher, PublisherSettings, RemovalGuard},
    revision::{MemoryStore, RedbStore, RevisionStore, StoreKeys},
    settings::{Settings, StoreSettings},
    source::is_registered,
};

/// The access rules and the snapshots.
pub(super) struct Loaded {
    /// The source of the rules.
    pub(super) rules: Source,
    pub(super) authority: Authority,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) publisher: Arc<Publisher>,
}

// === impl Loaded ===

impl Loaded {
    /// Reads the access rules and opens the store, on threads that may block.
    pub(super) async fn load(settings: &Arc<Settings>, base: &Base) -> anyhow::Result<Self> {
        let rules = Source::new(settings);
        let tracker = &base.vital.tracker;
        let authority = rules.open(settings.parts.audit.clone(), tracker).await?;
        base.metrics.register(|exposed| authority.metrics().register(exposed));
        let cache = Arc::new(SnapshotCache::with_sufficed(settings.parts.sufficed.clone()));
        let (settings, shared) = (Arc::clone(settings), Arc::clone(&cache));
        let opening = tracker.spawn_blocking(move || open(&settings, shared));
        let publisher = opening.await.context("loading did not come to its end")??;
        Ok(Self {
            rules,
            authority,
            cache,
            publisher: Arc::new(publisher),
        })
    }
}

/// Opens the store and loads the published snapshots.
fn open(settings: &Settings, cache: Arc<SnapshotCache>) -> anyhow::Result<Publisher> {
    let retention = settings.values.keep_revisions();
    let store: Arc<dyn RevisionStore> = match &settings.store {
        StoreSettings::Ephemeral => {
            warn!("snapshots are kept in memory only: a restart forgets them; --data-dir DIR keeps them");
            Arc::new(MemoryStore::new(retention))
        }
        StoreSettings::DataDir(dir) => {
            let keys = settings.values.store.key_file.as_deref();
            let keys = keys.map(StoreKeys::read).transpose()?;
            let opened = RedbStore::open(dir, retention, keys.as_ref());
            Arc::new(opened.with_context(|| format!("cannot open the data directory {}", dir.display()))?)
        }
    };
    let settings = PublisherSettings {
        limits: settings.parts.admission.clone(),
        deny_warnings: settings.values.admission.deny_warnings(),
        removals: RemovalGuard {
            returns: Some(is_registered),
            ..settings.parts.removals
        },
    };
    let publisher = Publisher::open(store, cache, settings).context("cannot load the published snapshots")?;
    info!(groups = publisher.list().len(), "loaded");
    Ok(publisher)
}
