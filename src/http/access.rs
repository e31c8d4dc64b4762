//! Access control of the endpoint registry: the layer in front of its routes. `rest` checks polls itself.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::warn;

use super::{Failure, Port, visitor::identify};
use crate::{access::Right, audit::Event, authority::Purpose};

/// Passes a request on to the registry or refuses it. Changes are audited.
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
