//! The guard over removals: a publish that empties a type, or removes much of a group, is usually a mistake. The guard
//! refuses it unless it is confirmed.

use crate::{
    admission::{Finding, codes},
    node::NodeGroup,
    resource::{Resource, ResourceName, ResourceType},
    revision::Owner,
    snapshot::Types,
};

use super::change::{TypeChange, error};

/// Groups with fewer resources are tiny: there a resource that is replaced by another one of its type does not count as
/// removed, since one cluster with its endpoints is half of the group.
const TINY: usize = 10;

/// Bounds of what a publish may remove without confirmation.
#[derive(Clone, Copy, Debug)]
pub struct RemovalGuard {
    /// The largest share of a group's resources that may be removed at once; more than this must be confirmed.
    pub max_share: f64,
    /// Lets files remove anything: nobody is there to confirm.
    pub trusts_files: bool,
    /// Returns true for resources that their owner will register again: their absence is no removal.
    pub returns: Option<fn(&NodeGroup, &ResourceType, &Resource) -> bool>,
}

/// The removals of a publish, as the guard sees them.
pub(super) struct Removal<'a> {
    pub(super) group: &'a NodeGroup,
    pub(super) owner: Owner,
    pub(super) before: &'a Types,
    pub(super) after: &'a Types,
    pub(super) changes: &'a [TypeChange],
}

// === impl RemovalGuard ===

impl Default for RemovalGuard {
    fn default() -> Self {
        Self {
            max_share: 0.5,
            trusts_files: false,
            returns: None,
        }
    }
}

impl RemovalGuard {
    /// Returns an error for each removal that must be confirmed.
    pub(super) fn check(&self, removal: &Removal<'_>) -> Vec<Finding> {
        if self.trusts_files && removal.owner == Owner::Files {
            return Vec::new();
        }
        let total: usize = removal.before.values().map(|resources| resources.len()).sum();
        let mut gone = 0;
        let mut findings = Vec::new();
        for change in removal.changes {
            let removed = self.removed(removal, change);
            let size = |types: &Types| types.get(&change.resource_type).map_or(0, |resources| resources.len());
            if removed > 0 && size(removal.after) == 0 {
                findings.push(removal.empties(&change.resource_type, size(removal.before)));
            }
            gone += if total < TINY {
                removed.saturating_sub(change.added.len())
            } else {
                removed
            };
        }
        // The margin lets a share pass that is met exactly, in spite of rounding.
        if gone as f64 > self.max_share * total as f64 + 1e-9 {
            findings.push(removal.exceeds(gone, total, self.max_share));
        }
        findings
    }

    /// The number of resources of a type that are removed for good.
    fn removed(&self, removal: &Removal<'_>, change: &TypeChange) -> usize {
        let Some(returns) = self.returns else {
            return change.removed.len();
        };
        let before = removal.before.get(&change.resource_type);
        let goes = |name: &&ResourceName| {
            let resource = before.and_then(|before| before.named(name.as_str()));
            !resource.is_some_and(|resource| returns(removal.group, &change.resource_type, resource))
        };
        change.removed.iter().filter(goes).count()
    }
}

// === impl Removal ===

impl Removal<'_> {
    fn empties(&self, resource_type: &ResourceType, resources: usize) -> Finding {
        let plural = if resources == 1 { "" } else { "s" };
        let message = format!(
            "would empty type {resource_type} ({resources} resource{plural}){}",
            self.remedy()
        );
        Finding {
            type_url: Some(resource_type.type_url().to_owned()),
            ..error(codes::EMPTIES_TYPE, message)
        }
    }

    fn exceeds(&self, gone: usize, total: usize, limit: f64) -> Finding {
        let percent = (limit * 1000.0).round() / 10.0;
        let message = format!(
            "would remove {gone} of {total} resources (limit {percent} %){}",
            self.remedy()
        );
        error(codes::REMOVES_MANY, message)
    }

    /// The hint how to confirm the removals.
    fn remedy(&self) -> String {
        match self.owner {
            Owner::AdminApi => ": confirm with --allow-removals (allow_removals in the API)".to_owned(),
            Owner::Files => format!(
                ": confirm with `chancery delete-snapshot -g '{}' --yes`, after which the folder is published anew, or set \
                 admission.files_allow_removals",
                self.group
            ),
        }
    }
}

#[cfg(test)]
mod tests;
