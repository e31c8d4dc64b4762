//! HTTP responses of RPCs: their headers, and responses that are only a status.

use http::{HeaderMap, HeaderValue, Response, header};
use tonic::{Status, body::Body};

use super::status::trailers;

/// Refuses requests that cannot be served, before their first message is read.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Status> {
    let encoding = headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    match encoding {
        None | Some(b"identity" | b"") => Ok(()),
        Some(_) => Err(Status::unimplemented(
            "compressed requests are not accepted: use identity",
        )),
    }
}

/// A response that is only a status.
pub(super) fn refuse(status: &Status) -> Response<Body> {
    let mut response = respond(Body::empty());
    response.headers_mut().extend(trailers(status));
    response
        .headers_mut()
        .insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    response
}

pub(super) fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
