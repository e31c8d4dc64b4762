//! The past of a group within the kept revisions: contents that were removed, and versions of types.
//!
//! Content that returns gets another version than before, so that it is sent again to a node that applied half of what
//! came between. The past is bounded by the kept revisions, and is read from them after a restart.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    num::NonZeroUsize,
    sync::Arc,
};

use crate::{
    resource::{ContentHash, Resource, ResourceType, Version},
    revision::Trace,
    snapshot::{Revision, TypeResources},
};

/// The past of one group.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// The oldest is first.
    traces: VecDeque<Trace>,
    /// The number of traces that are not passing.
    lasting: usize,
    /// Contents that kept revisions removed, with the number of those revisions. A content belongs to one type and name.
    replaced: HashMap<ContentHash, usize>,
    /// Versions of types, with the number of kept revisions that had them.
    versions: HashMap<(ResourceType, Version), usize>,
}

// === impl Lineage ===

impl Lineage {
    /// The past in the traces of the kept revisions.
    pub(super) fn new(traces: Vec<Trace>, retention: NonZeroUsize) -> Self {
        let mut lineage = Self::default();
        for trace in traces {
            lineage.record(trace, retention);
        }
        lineage
    }

    /// The newest recorded revision.
    pub(super) fn newest(&self) -> Revision {
        self.traces
            .back()
            .map_or_else(Revision::default, |trace| trace.revision)
    }

    /// Adds the newest revision and drops those that the store no longer keeps.
    pub(super) fn record(&mut self, trace: Trace, retention: NonZeroUsize) {
        for content in &trace.replaced {
            *self.replaced.entry(*content).or_default() += 1;
        }
        for version in &trace.versions {
            *self.versions.entry(version.clone()).or_default() += 1;
        }
        if trace.passing && self.traces.back().is_some_and(|before| before.passing) {
            let before = self.traces.pop_back();
            before.iter().for_each(|before| self.forget(before));
        }
        self.lasting += usize::from(!trace.passing);
        self.traces.push_back(trace);
        while self.lasting > retention.get()
            || self
                .traces
                .front()
                .is_some_and(|oldest| oldest.passing && self.is_full(retention))
        {
            let Some(oldest) = self.traces.pop_front() else {
                return;
            };
            self.lasting -= usize::from(!oldest.passing);
            self.forget(&oldest);
        }
    }

    /// Returns true if the retention is used up: then passing revisions before the oldest lasting one are not kept either.
    const fn is_full(&self, retention: NonZeroUsize) -> bool {
        self.lasting >= retention.get()
    }

    fn forget(&mut self, trace: &Trace) {
        for content in &trace.replaced {
            count_down(&mut self.replaced, content);
        }
        for version in &trace.versions {
            count_down(&mut self.versions, version);
        }
    }

    /// Gives a resource that is new in `revision` its version.
    pub(super) fn versioned(&self, resource: &Arc<Resource>, revision: Revision) -> Arc<Resource> {
        let mut version = Version::from(resource.content);
        if self.replaced.contains_key(&resource.content) {
            version = suffixed(&version, revision);
        }
        if resource.version == version {
            return Arc::clone(resource);
        }
        Arc::new(Resource {
            version,
            ..Resource::clone(resource)
        })
    }

    /// Gives a type that changed in `revision` its version: the named one or that of its content, with the revision as a suffix
    /// where that version already meant another state (S-3).
    pub(super) fn versioned_type(
        &self,
        resource_type: &ResourceType,
        resources: TypeResources,
        named: Option<&Version>,
        revision: Revision,
    ) -> TypeResources {
        let mut version = named.unwrap_or_else(|| resources.version()).clone();
        while self.versions.contains_key(&(resource_type.clone(), version.clone())) {
            version = suffixed(&version, revision);
        }
        resources.with_version(version)
    }
}

fn suffixed(version: &Version, revision: Revision) -> Version {
    Version::from(format!("{version}-r{revision}"))
}

fn count_down<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
