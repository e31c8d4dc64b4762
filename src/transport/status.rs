//! The only place that turns our errors into gRPC statuses.

use http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

use super::request::RequestError;
use crate::{
    access::Denial,
    authority::{Dismissal, Unverified},
    protocol::{ErrorKind, ProtocolError},
};

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Malformed(_) | RequestError::Node(_) => Self::internal(error.to_string()),
            RequestError::Refused(error) => error.into(),
            RequestError::Denied(denial) => denial.into(),
        }
    }
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let code = match &denial {
            Denial::Anonymous | Denial::Expired => Code::Unauthenticated,
            Denial::Stranger(_)
            | Denial::Node { .. }
            | Denial::Group { .. }
            | Denial::Role { .. }
            | Denial::RoleInGroup { .. } => Code::PermissionDenied,
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

impl From<ProtocolError> for Status {
    fn from(error: ProtocolError) -> Self {
        let code = match error.kind() {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::Exhausted => Code::ResourceExhausted,
        };
        Self::new(code, error.to_string())
    }
}

/// What a status is to the client, at the end of a stream.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    if status.add_header(&mut trailers).is_err() {
        // The message cannot be a header, though tonic escapes it; the code still tells.
        trailers.clear();
        trailers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    trailers
}
