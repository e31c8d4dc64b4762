//! Findings of admission in the heads, so that equal bytes need not be checked again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    admission::{Finding, Known},
    node::NodeGroup,
    resource::{Resource, ResourceName, ResourceType},
    revision::StoredRevision,
    snapshot::Revision,
};

/// The time that findings hold: after it all is checked again, since a certificate may have expired.
const HOLDS_FOR: Duration = Duration::from_secs(3600);

/// The findings of admission in the heads. Without them every resource is checked again, which is always correct.
#[derive(Debug, Default)]
pub(super) struct Vettings(Mutex<HashMap<NodeGroup, Arc<Vetting>>>);

/// The findings of admission in all resources of one revision.
#[derive(Clone, Debug)]
struct Vetting {
    /// The revision; the findings are void for a head of another revision.
    revision: Revision,
    /// The time of the oldest check.
    since: Instant,
    /// Resources with warnings.
    dubious: BTreeSet<(ResourceType, String)>,
}

/// The head, with the findings that hold for it.
#[derive(Debug)]
pub(super) struct Vetted {
    head: Arc<StoredRevision>,
    vetting: Arc<Vetting>,
}

// === impl Vettings ===

impl Vettings {
    /// The findings that hold for the head, for a candidate of the group.
    pub(super) fn of(&self, group: &NodeGroup, head: Option<Arc<StoredRevision>>) -> Option<Vetted> {
        let vetting = self.lock().get(group).cloned()?;
        let head = head.filter(|head| head.revision == vetting.revision)?;
        (vetting.since.elapsed() < HOLDS_FOR).then_some(Vetted { head, vetting })
    }

    /// Notes that admission checked all resources of the new head, except those that it took over.
    pub(super) fn replaced(
        &self,
        group: &NodeGroup,
        revision: Revision,
        findings: &[Finding],
        taken_over: Option<&Vetted>,
    ) {
        let Some(dubious) = subjects(findings) else {
            return self.forget(group);
        };
        let vetting = Vetting {
            revision,
            since: taken_over.map_or_else(Instant::now, |vetted| vetted.vetting.since),
            dubious,
        };
        self.lock().insert(group.clone(), Arc::new(vetting));
    }

    /// Notes that admission checked the resources by which the new head differs from the one before.
    pub(super) fn patched<'a>(
        &self,
        group: &NodeGroup,
        from: Revision,
        to: Revision,
        differing: impl Iterator<Item = (&'a ResourceType, &'a ResourceName)>,
        findings: &[Finding],
    ) {
        let vetting = self.lock().remove(group);
        let vetting = vetting.filter(|vetting| vetting.revision == from);
        let (Some(mut vetting), Some(mut dubious)) = (vetting, subjects(findings)) else {
            return;
        };
        let patched = Arc::make_mut(&mut vetting);
        for (resource_type, name) in differing {
            patched.dubious.remove(&(resource_type.clone(), name.to_string()));
        }
        patched.dubious.append(&mut dubious);
        patched.revision = to;
        self.lock().insert(group.clone(), vetting);
    }

    /// Drops the findings of a group.
    pub(super) fn forget(&self, group: &NodeGroup) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeGroup, Arc<Vetting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resources that the findings name; `None` if a finding names none.
fn subjects(findings: &[Finding]) -> Option<BTreeSet<(ResourceType, String)>> {
    let subject = |finding: &Finding| {
        let resource_type = ResourceType::from_type_url(finding.type_url.as_deref()?)?;
        Some((resource_type, finding.resource.clone()?))
    };
    findings.iter().map(subject).collect()
}

// === impl Vetted ===

impl Known for Vetted {
    fn find(&self, resource_type: &ResourceType, name: &str) -> Option<Arc<Resource>> {
        // Secrets are few, most findings that depend on time are theirs, and their content hashes are already keyed.
        if *resource_type == ResourceType::Secret {
            return None;
        }
        let resource = self.head.types()?.get(resource_type)?.named(name)?;
        let dubious = &self.vetting.dubious;
        let is_dubious = !dubious.is_empty() && dubious.contains(&(resource_type.clone(), name.to_owned()));
        (!is_dubious).then(|| Arc::clone(resource))
    }
}
