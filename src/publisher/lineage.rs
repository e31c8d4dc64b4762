//! The past of a group, as far as kept revisions use it up: contents that went away and versions of types.
//!
//! Content that returns gets another version than it had, so that a node which half-applied what came between is told
//! again. Bounded by the kept revisions, and derived from them after a restart.

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
    /// Oldest first.
    traces: VecDeque<Trace>,
    /// The number of those that do not pass.
    lasting: usize,
    /// Contents that a kept revision took away, with how many did. A content belongs to one type and name.
    replaced: HashMap<ContentHash, usize>,
    /// Versions that types had, with in how many kept revisions.
    versions: HashMap<(ResourceType, Version), usize>,
}

// === impl Lineage ===

impl Lineage {
    /// The past as the kept revisions tell it.
    pub(super) fn new(traces: Vec<Trace>, retention: NonZeroUsize) -> Self {
        let mut lineage = Self::default();
        for trace in traces {
            lineage.record(trace, retention);
        }
        lineage
    }

    /// The newest revision that is known.
    pub(super) fn newest(&self) -> Revision {
        self.traces
            .back()
            .map_or_else(Revision::default, |trace| trace.revision)
    }

    /// Adds the newest revision and forgets those that the store no longer keeps.
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

    /// As many are kept as may be: what passed before the oldest of them is not kept either.
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

    /// A resource that is new in `revision`, in the version it gets.
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

    /// A type's resources that are new in `revision`, under the version they get: the named one or that of the content, either
    /// with the revision behind it where it already meant another state (S-3).
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
