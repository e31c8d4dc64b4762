//! Identifies the sender of a request to the HTTP port, and answers senders that may not call.

use axum::http::{Extensions, HeaderMap, StatusCode, header};

use super::Failure;
use crate::{
    access::Denial,
    authority::{Authority, Purpose, Unverified, Visitor},
    connection::Connection,
    metrics::PortLabel,
};

/// Identifies the sender of a request from its certificate or its bearer token.
pub(super) async fn identify(
    authority: &Authority,
    purpose: Purpose,
    extensions: &Extensions,
    headers: &HeaderMap,
    action: &str,
) -> Result<Visitor, Failure> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    let connection = extensions.get::<Connection>();
    let from = connection.map_or_else(|| "unknown".to_owned(), |connection| connection.peer.to_string());
    let identified = authority.identify(PortLabel::Http, purpose, &from, connection, authorization, action);
    Ok(identified.await?)
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        let status = if denial.is_of_credentials() {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::FORBIDDEN
        };
        Self::new(status, denial.to_string())
    }
}

impl From<Unverified> for Failure {
    fn from(unverified: Unverified) -> Self {
        let status = match unverified {
            Unverified::Busy => StatusCode::TOO_MANY_REQUESTS,
            Unverified::Bearer(_)
            | Unverified::Token
            | Unverified::Jwt(_)
            | Unverified::Kind
            | Unverified::Certificate => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, unverified.to_string())
    }
}
