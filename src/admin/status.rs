//! Converts errors to gRPC statuses; no other module of the admin API does.
//!
//! A status travels in a header, and clients commonly accept 8 KiB of headers, so its size is bounded.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::Any;
use tokio::task::JoinError;
use tonic::{Code, Status};
use tonic_types::{
    ErrorDetails, StatusExt as _,
    pb::{BadRequest, bad_request::FieldViolation},
};
use tracing::error;

use super::convert;
use crate::{
    admission::{Finding, Rejection},
    proto::admin as api,
    publisher::PublishError,
    resource::UnknownType,
    revision::StoreError,
    text,
};

/// The largest encoded `google.rpc.Status` in bytes; base64 adds a third.
const STATUS_BYTES: usize = 4096;
/// The part of these bytes for the `Rejection`; the field violations are shorter and get the rest.
const REJECTION_BYTES: usize = 3000;
/// The largest text of a finding, and of the status message, in bytes.
const TEXT_BYTES: usize = 512;
/// The bytes that `google.rpc.Status` and its `Any`s add to their content.
const ENVELOPE_BYTES: usize = 200;

const REJECTION_URL: &str = "type.googleapis.com/chancery.admin.v1.Rejection";
const BAD_REQUEST_URL: &str = "type.googleapis.com/google.rpc.BadRequest";

/// The status of a failed publish, or of a failed query about one.
pub(super) fn of_publish(failure: &PublishError) -> Status {
    match failure {
        PublishError::Rejected(rejection) => of_rejection(Code::InvalidArgument, rejection),
        // The request itself is valid; the current state of the group forbids it.
        PublishError::Unconfirmed(rejection) => of_rejection(Code::FailedPrecondition, rejection),
        PublishError::Conflict { expected, current } => {
            let revisions = HashMap::from([
                ("expected".to_owned(), expected.to_string()),
                ("current".to_owned(), current.to_string()),
            ]);
            let details = ErrorDetails::with_error_info("REVISION_CONFLICT", "chancery", revisions);
            Status::with_error_details(Code::Aborted, failure.to_string(), details)
        }
        PublishError::Owned { group, owner } => {
            let owned = HashMap::from([
                ("group".to_owned(), group.to_string()),
                ("owner".to_owned(), owner.as_str().to_owned()),
            ]);
            let details = ErrorDetails::with_error_info("GROUP_OWNED", "chancery", owned);
            Status::with_error_details(Code::AlreadyExists, failure.to_string(), details)
        }
        PublishError::KeyReused { group, key, revision } => {
            let used = HashMap::from([
                ("group".to_owned(), group.to_string()),
                ("key".to_owned(), key.clone()),
                ("revision".to_owned(), revision.to_string()),
            ]);
            let details = ErrorDetails::with_error_info("IDEMPOTENCY_KEY_REUSED", "chancery", used);
            Status::with_error_details(Code::AlreadyExists, failure.to_string(), details)
        }
        PublishError::NotFound(missing) => not_found(&missing.to_string()),
        PublishError::InvalidGroup(_)
        | PublishError::InvalidVersion(_)
        | PublishError::InvalidKey(_)
        | PublishError::InvalidText { .. } => Status::invalid_argument(cut(&failure.to_string())),
        PublishError::Store(cause) => of_store(cause),
    }
}

fn of_store(cause: &StoreError) -> Status {
    error!(error = %cause, "the store failed");
    let message = format!("the store failed, nothing was published: {}", cut(&cause.to_string()));
    match cause {
        StoreError::Io { .. }
        | StoreError::Database { .. }
        | StoreError::Locked { .. }
        | StoreError::Replaced { .. }
        | StoreError::Interrupted(_) => Status::unavailable(message),
        StoreError::Full { .. } => Status::resource_exhausted(message),
        StoreError::NoBackup => Status::failed_precondition(cause.to_string()),
        StoreError::Damaged { .. }
        | StoreError::NotNewer { .. }
        | StoreError::OlderFormat { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::KeyNeeded { .. }
        | StoreError::KeyMissing { .. }
        | StoreError::NotSealed { .. }
        | StoreError::BadBackup { .. }
        | StoreError::NotEmpty { .. } => Status::internal(message),
    }
}

/// The status of a task that panicked or was cancelled.
pub(super) fn of_join(failure: &JoinError) -> Status {
    error!(error = %failure, "a call did not come to its end");
    Status::internal("the call did not come to its end")
}

/// The status of an unknown resource type.
pub(super) fn of_type(failure: &UnknownType) -> Status {
    Status::invalid_argument(cut(&failure.to_string()))
}

/// A status with as many findings as fit a header, for programs, and the first one as its message, for people.
fn of_rejection(code: Code, rejection: &Rejection) -> Status {
    let (findings, left_off) = fitting(&rejection.findings, REJECTION_BYTES, |finding| {
        shortened(convert::finding(finding))
    });
    let fits = api::Rejection { findings, left_off };
    let rest = STATUS_BYTES.saturating_sub(fits.encoded_len() + TEXT_BYTES + ENVELOPE_BYTES);
    let (field_violations, _) = fitting(&rejection.findings, rest, violation);
    let message = cut(&message(&rejection.findings));
    let status = tonic_types::Status {
        code: code.into(),
        message: message.clone(),
        details: vec![
            packed(REJECTION_URL, &fits),
            packed(BAD_REQUEST_URL, &BadRequest { field_violations }),
        ],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The first finding, and the number of further ones.
fn message(findings: &[Finding]) -> String {
    match findings {
        [] => "refused".to_owned(),
        [only] => only.to_string(),
        [first, more @ ..] => format!(
            "{} and {} more",
            cut_to(&first.to_string(), TEXT_BYTES - 32),
            more.len()
        ),
    }
}

/// The first messages that fit, and the number of those that do not.
fn fitting<M: prost::Message>(findings: &[Finding], bytes: usize, make: impl Fn(&Finding) -> M) -> (Vec<M>, u32) {
    let mut room = bytes;
    let mut fits = Vec::new();
    for finding in findings {
        let message = make(finding);
        // Each message takes a key and a length of at most three bytes more.
        let Some(left) = room.checked_sub(message.encoded_len() + 4) else {
            break;
        };
        room = left;
        fits.push(message);
    }
    let left_off = u32::try_from(findings.len() - fits.len()).unwrap_or(u32::MAX);
    (fits, left_off)
}

fn shortened(finding: api::Finding) -> api::Finding {
    api::Finding {
        message: cut(&finding.message),
        document: cut(&finding.document),
        type_url: cut_to(&finding.type_url, 128),
        resource: cut_to(&finding.resource, 256),
        field: cut_to(&finding.field, 256),
        ..finding
    }
}

fn violation(finding: &Finding) -> FieldViolation {
    FieldViolation {
        field: cut_to(finding.field.as_deref().unwrap_or_default(), 256),
        description: cut(&finding.to_string()),
        ..FieldViolation::default()
    }
}

fn packed(type_url: &str, message: &impl prost::Message) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: message.encode_to_vec(),
    }
}

/// A NOT_FOUND status; the message is cut to fit.
pub(super) fn not_found(message: &str) -> Status {
    Status::not_found(cut(message))
}

fn cut(text: &str) -> String {
    cut_to(text, TEXT_BYTES)
}

/// The text within this many bytes, with a mark if it was cut.
fn cut_to(text: &str, bytes: usize) -> String {
    let room = if text.len() <= bytes {
        bytes
    } else {
        bytes - '…'.len_utf8()
    };
    text::cut(text, room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admission::Severity, publisher::NotFound};

    fn finding(size: usize) -> Finding {
        Finding {
            severity: Severity::Error,
            code: "XDS0001",
            message: "ü".repeat(size),
            place: None,
            type_url: Some("type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned()),
            resource: Some("a".repeat(size)),
            field: Some("b".repeat(size)),
        }
    }

    fn rejection(status: &Status) -> api::Rejection {
        let details = tonic_types::Status::decode(status.details()).unwrap().details;
        assert_eq!(details[1].type_url, BAD_REQUEST_URL);
        api::Rejection::decode(details[0].value.as_slice()).unwrap()
    }

    #[test]
    fn a_status_fits_a_header_with_any_findings() {
        for (findings, size) in [(1, 10), (3, 100), (1000, 30), (1000, 3000), (1, 100_000)] {
            let refused = Rejection {
                findings: vec![finding(size); findings],
            };
            let status = of_rejection(Code::InvalidArgument, &refused);
            let header = status.details().len() * 4 / 3 + status.message().len();
            assert!(header <= 6144, "{findings} findings of {size}: {header}");
            let told = rejection(&status);
            assert!(!told.findings.is_empty());
            assert_eq!(told.findings.len() + told.left_off as usize, findings);
        }
    }

    #[test]
    fn a_long_missing_name_is_cut() {
        let huge = "x".repeat(60 << 20);
        let missing = NotFound::Resource {
            group: "g".into(),
            resource_type: crate::resource::ResourceType::Cluster,
            name: huge.as_str().into(),
        };
        let status = of_publish(&missing.into());
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().len() <= TEXT_BYTES, "{}", status.message().len());
        assert!(status.message().starts_with("group \"g\" has no cluster \"xxx"));
    }

    #[test]
    fn the_message_is_the_first_finding_and_the_number_of_others() {
        let status = of_rejection(
            Code::InvalidArgument,
            &Rejection {
                findings: vec![finding(1), finding(2), finding(3)],
            },
        );
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("XDS0001"), "{}", status.message());
        assert!(status.message().ends_with(" and 2 more"), "{}", status.message());
    }
}
