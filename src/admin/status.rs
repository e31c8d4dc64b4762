//! The one place that makes a gRPC status of what went wrong.
//!
//! A status travels in a header: clients commonly take 8 KiB of headers, so what it holds is bounded.

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

/// Bytes of the encoded `google.rpc.Status`, before base64 makes four of three.
const STATUS_BYTES: usize = 4096;
/// Of these, for the `Rejection`; field violations say less and get the rest.
const REJECTION_BYTES: usize = 3000;
/// Bytes of one text in a finding, and of the status's message.
const TEXT_BYTES: usize = 512;
/// What `google.rpc.Status` and its `Any`s take around their content.
const ENVELOPE_BYTES: usize = 200;

const REJECTION_URL: &str = "type.googleapis.com/chancery.admin.v1.Rejection";
const BAD_REQUEST_URL: &str = "type.googleapis.com/google.rpc.BadRequest";

/// What a publish, or a question about one, came to.
pub(super) fn of_publish(failure: &PublishError) -> Status {
    match failure {
        PublishError::Rejected(rejection) => of_rejection(Code::InvalidArgument, rejection),
        // Nothing is wrong with what was sent: the group as it is stands against it.
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

/// A task that did not come to its end.
pub(super) fn of_join(failure: &JoinError) -> Status {
    error!(error = %failure, "a call did not come to its end");
    Status::internal("the call did not come to its end")
}

/// A type that is none.
pub(super) fn of_type(failure: &UnknownType) -> Status {
    Status::invalid_argument(cut(&failure.to_string()))
}

/// The findings, as many as fit a header, for programs; the first of them as the message, for people.
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

/// The first finding, and how many more.
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

/// The first messages that fit, and how many do not.
fn fitting<M: prost::Message>(findings: &[Finding], bytes: usize, make: impl Fn(&Finding) -> M) -> (Vec<M>, u32) {
    let mut room = bytes;
    let mut fits = Vec::new();
    for finding in findings {
        let message = make(finding);
        // A key and a length of at most three bytes go before each.
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

/// What is not there, as far as its name fits.
pub(super) fn not_found(message: &str) -> Status {
    Status::not_found(cut(message))
}

fn cut(text: &str) -> String {
    cut_to(text, TEXT_BYTES)
}

/// The text, or its beginning with a mark: no more than these bytes together.
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
    fn a_status_fits_a_header_whatever_was_found() {
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
    fn a_name_that_is_not_there_is_told_as_far_as_it_fits() {
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
    fn the_message_is_the_first_finding_and_how_many_more() {
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
