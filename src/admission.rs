//! Admission: turns documents and encoded resources into [`Resource`](crate::resource::Resource)s that may be served,
//! or returns every reason why not.
//!
//! Pure: no clock, no I/O, no runtime. The publisher calls [`admit_over`] and [`GroupChecks`]; the admin API and the
//! CLI show resources with [`to_json`] and [`redact`]. No other module uses protobuf reflection.

mod admitted;
mod any;
mod candidate;
mod canonical;
mod checks;
mod claim;
pub mod codes;
mod compare;
mod document;
mod finding;
mod group;
mod inspect;
mod intake;
mod json;
mod located;
mod message;
mod path;
mod place;
mod reference;
mod rules;
mod sensitive;
mod suggest;
mod tree;
mod warming;

use std::time::SystemTime;

pub use self::{
    admitted::Admitted,
    candidate::{Candidate, Document, Format, Limits, RawResource},
    compare::{Bounds, Differences, FieldChange, compare},
    finding::{Finding, Place, Rejection, Severity},
    group::{GroupChecks, check_group},
    intake::Known,
    json::{Secrets, to_json},
    located::Places,
    reference::is_missed,
    sensitive::redact,
};

/// Decodes and checks everything in `candidate`, except the validity period of certificates.
///
/// # Errors
///
/// [`Rejection`] with all errors and warnings, up to `Limits::findings`, if there is at least one error.
pub fn admit(candidate: &Candidate, limits: &Limits) -> Result<Admitted, Rejection> {
    admit_over(candidate, limits, None, None)
}

/// Like [`admit`], but takes over encoded resources that equal a `known` one byte for byte without decoding them, and
/// warns of certificates that are not valid at `now`.
///
/// # Errors
///
/// As for [`admit`].
pub fn admit_over(
    candidate: &Candidate,
    limits: &Limits,
    known: Option<&dyn Known>,
    now: Option<SystemTime>,
) -> Result<Admitted, Rejection> {
    let mut intake = intake::Intake::new(limits, known, now);
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
