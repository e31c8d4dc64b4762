//! Who may use the endpoint registry: the layer in front of its routes. Polls are looked at by `rest`, which knows their node.

use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::warn;

use super::{Failure, Port};
use crate::{
    access::{Denial, Right},
    audit::Event,
    authority::{Authority, Purpose, Unverified, Visitor},
    connection::Connection,
    metrics::PortLabel,
};

/// Lets a request through to the registry, or refuses it; what it changes is audited.
pub(super) async fn check(State(port): State<Port>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let checked = async {
        let authority = port.services()?.authority.clone();
        let action = format!("{} {}", parts.method, parts.uri.path());
        let visitor = identify(&authority, Purpose::Call, &parts.extensions, &parts.headers, &action).await?;
        let right = if parts.method == Method::GET || parts.method == Method::HEAD {
            Right::Read
        } else {
            Right::Register
        };
        match authority.caller(&visitor, right) {
            Ok(_) => Ok((authority, visitor, right, action)),
            Err(denial) => {
                warn!(peer = %visitor.from, action, %denial, "request refused");
                let event = Event {
                    action: &action,
                    ..Event::default()
                };
                authority.refused(&visitor, (&denial).into(), &denial, event);
                Err(Failure::from(denial))
            }
        }
    };
    match checked.await {
        Ok((authority, visitor, right, action)) => {
            let response = next.run(Request::from_parts(parts, body)).await;
            let status = response.status();
            if right == Right::Register {
                let event = Event {
                    action: &action,
                    allowed: true,
                    reason: status.as_str(),
                    ..Event::default()
                };
                authority.audit(&visitor, event);
            }
            response
        }
        Err(failure) => failure.into_response(),
    }
}

/// Who sends a request, as far as it was verified.
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
