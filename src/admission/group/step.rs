//! The transition between two states of a group, as all checks of the group use it, and the findings that they collect.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    admission::{
        Places, Severity,
        finding::{Findings, Position, Subject},
        path::Path,
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Types, of_type},
};

/// The states of the group and of the shared group, before and after.
pub(super) struct Step<'a> {
    pub(super) own_before: &'a Types,
    pub(super) own: &'a Types,
    pub(super) shared_before: &'a Types,
    pub(super) shared: &'a Types,
}

/// The findings of one state, as they are collected.
pub(super) struct Told<'a> {
    pub(super) findings: Findings,
    pub(super) places: &'a Places,
}

// === impl Step ===

impl<'a> Step<'a> {
    /// The names whose resource may have changed for nodes of the group, each with the resource that is served now.
    pub(super) fn turned(&self, resource_type: &ResourceType) -> BTreeMap<&'a ResourceName, Option<&'a Arc<Resource>>> {
        let (own, shared) = (of_type(self.own, resource_type), of_type(self.shared, resource_type));
        let name = |old: Option<&'a Arc<Resource>>, new: Option<&'a Arc<Resource>>| Some(&new.or(old)?.name);
        let of_shared = shared.differences(of_type(self.shared_before, resource_type));
        let of_shared = of_shared.filter_map(|(old, new)| {
            let name = name(old, new)?;
            Some((name, own.named(name.as_str()).or(new)))
        });
        let of_own = own.differences(of_type(self.own_before, resource_type));
        let of_own = of_own.filter_map(|(old, new)| {
            let name = name(old, new)?;
            Some((name, new.or_else(|| shared.named(name.as_str()))))
        });
        of_shared.chain(of_own).collect()
    }

    pub(super) fn is_own(&self, resource_type: &ResourceType, name: &ResourceName) -> bool {
        of_type(self.own, resource_type).named(name.as_str()).is_some()
    }
}

// === impl Told ===

impl Told<'_> {
    pub(super) fn is_full(&self, severity: Severity) -> bool {
        self.findings.is_full(severity)
    }

    /// Adds a finding about a resource, or about the whole type if there is no name.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        about: (&ResourceType, Option<&ResourceName>),
        field: Option<&str>,
        message: String,
    ) {
        let (resource_type, name) = about;
        let subject = Subject {
            document: None,
            type_url: Some(resource_type.type_url()),
            resource: name.map(ResourceName::as_str),
        };
        let mut finding = subject.finding(severity, code, Position::default(), &Path::ROOT, message);
        finding.place = name.and_then(|name| self.places.of_resource(resource_type, name));
        finding.field = field.map(str::to_owned);
        self.findings.push(finding);
    }
}
