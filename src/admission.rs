//! Admission: documents and resources as they were given → [`Resource`]s that may be served, or every reason why not.
//!
//! Pure: no clock, no I/O, no runtime. The publisher calls [`admit`] and [`check_references`]; the admin API and the CLI
//! show resources with [`to_json`] and [`redact`]. Protobuf is reflected here and nowhere else.

mod any;
mod candidate;
mod canonical;
pub mod codes;
mod compare;
mod document;
mod finding;
mod inspect;
mod intake;
mod json;
mod message;
mod path;
mod reference;
mod sensitive;
mod suggest;
mod tree;

use std::{collections::BTreeMap, sync::Arc};

use crate::resource::{Resource, ResourceType};

pub use self::{
    candidate::{Candidate, Document, Format, Limits, RawResource},
    compare::{Bounds, Differences, FieldChange, compare},
    finding::{Finding, Place, Rejection, Severity},
    intake::Known,
    json::{Secrets, to_json},
    reference::{check_references, dangling_references, is_missed},
    sensitive::redact,
};

/// What a candidate became.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// The resources of each type that has some, sorted by name; names and aliases of a type differ.
    pub resources: BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    /// What is worth knowing about them: warnings only.
    pub findings: Vec<Finding>,
}

/// Decodes and checks everything in `candidate`.
///
/// # Errors
///
/// A [`Rejection`] with every error and warning found, not only the first, when there is at least one error.
pub fn admit(candidate: &Candidate, limits: &Limits) -> Result<Admitted, Rejection> {
    admit_over(candidate, limits, None)
}

/// [`admit`], but that encoded resources which are byte for byte `known` ones are taken over and not decoded.
///
/// # Errors
///
/// As [`admit`] has.
pub fn admit_over(candidate: &Candidate, limits: &Limits, known: Option<&dyn Known>) -> Result<Admitted, Rejection> {
    let mut intake = intake::Intake::new(limits, known);
    for document in &candidate.documents {
        intake.document(document);
    }
    for (index, resource) in candidate.resources.iter().enumerate() {
        intake.raw(index, resource);
    }
    intake.finish()
}

#[cfg(test)]
mod tests;
