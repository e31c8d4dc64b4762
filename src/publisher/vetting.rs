//! Which resources of a head admission had nothing to say of, so that the same bytes need not be looked at again.

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

/// The time that an admission holds: what is wrong only by then, such as a certificate that expired, is found again.
const HOLDS_FOR: Duration = Duration::from_secs(3600);

/// Admission's word on heads. Without it everything is looked at again, which is always right.
#[derive(Debug, Default)]
pub(super) struct Vettings(Mutex<HashMap<NodeGroup, Arc<Vetting>>>);

/// Admission's word on all resources of one revision.
#[derive(Clone, Debug)]
struct Vetting {
    /// A head of another revision has resources that this says nothing of.
    revision: Revision,
    /// When the first of them was looked at.
    since: Instant,
    /// Those that it warned of.
    dubious: BTreeSet<(ResourceType, String)>,
}

/// The head's resources that nothing is to be said of.
#[derive(Debug)]
pub(super) struct Vetted {
    head: Arc<StoredRevision>,
    vetting: Arc<Vetting>,
}

// === impl Vettings ===

impl Vettings {
    /// The resources of the head that need not be looked at again in a candidate for the group.
    pub(super) fn of(&self, group: &NodeGroup, head: Option<Arc<StoredRevision>>) -> Option<Vetted> {
        let vetting = self.lock().get(group).cloned()?;
        let head = head.filter(|head| head.revision == vetting.revision)?;
        (vetting.since.elapsed() < HOLDS_FOR).then_some(Vetted { head, vetting })
    }

    /// Admission saw all resources of what is now the head, but for those that it took over.
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

    /// Admission saw the resources by which the head differs from what it was.
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

    /// The group is gone, or nothing is known of it any more.
    pub(super) fn forget(&self, group: &NodeGroup) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeGroup, Arc<Vetting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resources that findings are about; `None` where one does not say.
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
        // There are few, most of what depends on the time is in them, and their content hashes are the group's already.
        if *resource_type == ResourceType::Secret {
            return None;
        }
        let resource = self.head.types()?.get(resource_type)?.named(name)?;
        let dubious = &self.vetting.dubious;
        let is_dubious = !dubious.is_empty() && dubious.contains(&(resource_type.clone(), name.to_owned()));
        (!is_dubious).then(|| Arc::clone(resource))
    }
}
