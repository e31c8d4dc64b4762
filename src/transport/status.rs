//! The only place that turns our errors into gRPC statuses.

use http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

use super::request::RequestError;
use crate::protocol::{ErrorKind, ProtocolError};

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Malformed(_) | RequestError::Node(_) => Self::internal(error.to_string()),
            RequestError::Refused(error) => error.into(),
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
