//! The only place that converts errors to gRPC statuses.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{error::RequestError, messages::Broken, timer::jitter};
use crate::{
    access::Denial,
    authority::{Dismissal, Unverified},
    protocol::{ErrorKind, ProtocolError},
};

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Malformed(_) | RequestError::Node(_) => Self::internal(error.to_string()),
            RequestError::Excess(_) => Self::resource_exhausted(error.to_string()),
            RequestError::Full(_) => exhausted(&error.to_string(), Duration::from_secs(5)),
            RequestError::Refused(error) => error.into(),
            RequestError::Denied(denial) => denial.into(),
        }
    }
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let code = if denial.is_of_credentials() {
            Code::Unauthenticated
        } else {
            Code::PermissionDenied
        };
        Self::new(code, denial.to_string())
    }
}

impl From<Unverified> for Status {
    fn from(unverified: Unverified) -> Self {
        let code = match unverified {
            Unverified::Busy => Code::ResourceExhausted,
            Unverified::Bearer(_)
            | Unverified::Token
            | Unverified::Jwt(_)
            | Unverified::Kind
            | Unverified::Certificate => Code::Unauthenticated,
        };
        Self::new(code, unverified.to_string())
    }
}

impl From<Dismissal> for Status {
    fn from(dismissal: Dismissal) -> Self {
        match dismissal {
            Dismissal::Denied(denial) => denial.into(),
            Dismissal::Changed => Self::unavailable(dismissal.to_string()),
        }
    }
}

impl From<Broken> for Status {
    fn from(broken: Broken) -> Self {
        let text = broken.to_string();
        match broken {
            Broken::Prefix | Broken::End => Self::internal(text),
            Broken::Large(..) => Self::out_of_range(text),
            Broken::Slow(_) => Self::deadline_exceeded(text),
            Broken::Full(_) => exhausted(&text, Duration::from_secs(5)),
            Broken::Body(status) => status,
        }
    }
}

/// `RESOURCE_EXHAUSTED`, with the time after which to retry.
pub(super) fn exhausted(message: &str, after: Duration) -> Status {
    // Spreads the retries of clients that are refused at the same time.
    let after = after.max(Duration::from_secs(1));
    let details = ErrorDetails::with_retry_info(Some(after + jitter(after)));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

impl From<ProtocolError> for Status {
    fn from(error: ProtocolError) -> Self {
        let code = match error.kind() {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::Exhausted => Code::ResourceExhausted,
        };
        Self::new(code, error.to_string())
    }
}

/// The status as trailers, at the end of a stream.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    if status.add_header(&mut trailers).is_err() {
        // tonic cannot write the message as a header; the code remains.
        trailers.clear();
        trailers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    trailers
}
