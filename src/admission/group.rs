//! What only shows when all resources of a group are seen together: references that lead nowhere, what nobody asks for, listeners
//! on one address, aggregate clusters in a circle, types too large for one response.
//!
//! [`GroupChecks`] is kept from publish to publish and brought from one state to the next, so that a publish costs what it
//! changes. A check of everything is one from nothing.

mod addresses;
mod aggregates;
mod references;
mod size;
mod unasked;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use self::{addresses::Addresses, aggregates::Aggregates, references::References, unasked::Unasked};
use super::{
    Finding, Limits, Places, Severity,
    finding::{Findings, Position, Subject},
    path::Path,
};
use crate::{
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{TypeResources, Types},
};

/// What is known of one state of a group over one state of the shared group.
#[derive(Debug, Default)]
pub struct GroupChecks {
    own: Types,
    shared: Types,
    references: References,
    unasked: Unasked,
    addresses: Addresses,
    aggregates: Aggregates,
}

/// From one state to the next.
struct Step<'a> {
    own_before: &'a Types,
    own: &'a Types,
    shared_before: &'a Types,
    shared: &'a Types,
}

/// The findings of one state, as they are collected.
struct Told<'a> {
    findings: Findings,
    places: &'a Places,
}

static NONE: LazyLock<Arc<TypeResources>> = LazyLock::new(Arc::default);

// === impl GroupChecks ===

impl GroupChecks {
    /// Comes from the state it knows to another, and gives the findings of that: errors too. Costs what the two do not share.
    /// `places` says where those resources stand that were just admitted.
    pub fn advance(&mut self, own: &Types, shared: Option<&Types>, places: &Places) -> Vec<Finding> {
        let own_before = std::mem::replace(&mut self.own, own.clone());
        let shared_before = std::mem::replace(&mut self.shared, shared.cloned().unwrap_or_default());
        let step = Step {
            own_before: &own_before,
            own: &self.own,
            shared_before: &shared_before,
            shared: &self.shared,
        };
        let mut told = Told {
            findings: Findings::new(&Limits::default()),
            places,
        };
        self.addresses.advance(&step, &mut told);
        self.references.advance(&step, &mut told);
        self.unasked.advance(&step, &mut told);
        self.aggregates.advance(&step, &mut told);
        size::check(&step, &mut told);
        told.findings.finish().unwrap_or_else(|rejection| rejection.findings)
    }
}

/// [`GroupChecks`] of everything at once.
#[must_use]
pub fn check_group(
    resources: &BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    shared: Option<&Types>,
    places: &Places,
) -> Vec<Finding> {
    let types = resources.iter().filter_map(|(resource_type, resources)| {
        // Admission sees to it that names differ.
        let set = TypeResources::new(resources.clone()).ok()?;
        Some((resource_type.clone(), Arc::new(set)))
    });
    GroupChecks::default().advance(&types.collect(), shared, places)
}

// === impl Step ===

impl<'a> Step<'a> {
    /// Names of a type whose resource may be another one than before, for nodes of the group, and what they are served now.
    fn turned(&self, resource_type: &ResourceType) -> BTreeMap<&'a ResourceName, Option<&'a Arc<Resource>>> {
        let (own, shared) = (of(self.own, resource_type), of(self.shared, resource_type));
        let name = |old: Option<&'a Arc<Resource>>, new: Option<&'a Arc<Resource>>| Some(&new.or(old)?.name);
        let of_shared = shared.differences(of(self.shared_before, resource_type));
        let of_shared = of_shared.filter_map(|(old, new)| {
            let name = name(old, new)?;
            Some((name, own.named(name.as_str()).or(new)))
        });
        let of_own = own.differences(of(self.own_before, resource_type));
        let of_own = of_own.filter_map(|(old, new)| {
            let name = name(old, new)?;
            Some((name, new.or_else(|| shared.named(name.as_str()))))
        });
        of_shared.chain(of_own).collect()
    }

    fn is_own(&self, resource_type: &ResourceType, name: &ResourceName) -> bool {
        of(self.own, resource_type).named(name.as_str()).is_some()
    }
}

/// Where two states may differ: type by type, name by name.
fn differences<'a>(
    from: &'a Types,
    to: &'a Types,
) -> impl Iterator<Item = (&'a ResourceType, Option<&'a Arc<Resource>>, Option<&'a Arc<Resource>>)> {
    let all: BTreeSet<&ResourceType> = from.keys().chain(to.keys()).collect();
    all.into_iter().flat_map(|resource_type| {
        let differences = of(to, resource_type).differences(of(from, resource_type));
        differences.map(move |(old, new)| (resource_type, old, new))
    })
}

fn of<'a>(types: &'a Types, resource_type: &ResourceType) -> &'a Arc<TypeResources> {
    types.get(resource_type).unwrap_or(&NONE)
}

// === impl Told ===

impl Told<'_> {
    fn is_full(&self, severity: Severity) -> bool {
        self.findings.is_full(severity)
    }

    /// Adds a finding about a resource; without a name, about all of its type.
    fn add(
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
