//! The endpoint registry over HTTP: `POST /endpoints` registers, `GET` shows, `PUT` renews, `DELETE` removes.

mod body;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{HeaderValue, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{error, info};

use super::{Failure, Port, access, failure};
use crate::{
    publisher::PublishError,
    source::{EndpointId, Registered, Registry, RegistryError},
};

/// The largest request, which holds one endpoint.
const REQUEST_BYTES: usize = 64 * 1024;

/// The routes of the registry.
pub(super) fn routes(port: &Port) -> Router<Port> {
    Router::new()
        .route("/endpoints", get(list).post(register))
        .route("/endpoints/{id}", get(show).put(renew).delete(deregister))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .layer(from_fn_with_state(port.clone(), access::check))
}

/// Registers an endpoint: 201 with the id of a new one. 200 if the cluster has an endpoint at this address and port,
/// which is renewed: the request must carry its id or be equal to its registration.
async fn register(State(port): State<Port>, body: Result<Bytes, BytesRejection>) -> Result<Response, Failure> {
    let registry = registry(&port)?;
    let (registration, id) = body::registration(&body?)?;
    let place = format!("{} in {}", registration.address, registration.cluster_name);
    let Registered { id, digest, created } = registry.register(registration, id).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    info!(%digest, endpoint = place, created, "endpoint registered");
    let mut answer = json!({ "digest": digest.to_string() });
    let Some(id) = id else {
        return Ok(failure::json(status, &answer));
    };
    answer["id"] = id.to_string().into();
    let mut response = failure::json(status, &answer);
    if let Ok(location) = HeaderValue::from_str(&format!("/endpoints/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Shows every endpoint, without the id that allows its removal.
async fn list(State(port): State<Port>) -> Result<Response, Failure> {
    let endpoints = registry(&port)?.endpoints();
    let now = Instant::now();
    let shown: Vec<Value> = endpoints.iter().map(|lease| body::shown(lease, now)).collect();
    Ok(failure::json(StatusCode::OK, &json!({ "endpoints": shown })))
}

/// Shows one endpoint.
async fn show(State(port): State<Port>, Path(id): Path<String>) -> Result<Response, Failure> {
    let endpoints = registry(&port)?.endpoints();
    let lease = known(&id)
        .and_then(|id| endpoints.get(id))
        .ok_or_else(|| unknown(&id))?;
    Ok(failure::json(StatusCode::OK, &body::shown(lease, Instant::now())))
}

/// Renews a lease. The body may be empty, may change weight, health and TTL, and may repeat the endpoint's place.
async fn renew(
    State(port): State<Port>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let registry = registry(&port)?;
    let renewal = body::renewal(&body?)?;
    let known = known(&id).ok_or_else(|| unknown(&id))?;
    if let Some(lease) = registry.endpoints().get(known) {
        renewal.check(&lease.endpoint.registration)?;
    }
    registry.renew(known, renewal.change).await?;
    show(State(port), Path(id)).await
}

/// Removes an endpoint: 204.
async fn deregister(State(port): State<Port>, Path(id): Path<String>) -> Result<Response, Failure> {
    let registry = registry(&port)?;
    let id = known(&id).ok_or_else(|| unknown(&id))?;
    registry.deregister(id).await?;
    info!(digest = %id.digest(), "endpoint removed");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn registry(port: &Port) -> Result<Registry, Failure> {
    port.registry().cloned()
}

fn known(id: &str) -> Option<EndpointId> {
    id.parse().ok()
}

fn unknown(id: &str) -> Failure {
    let shown: String = id.chars().take(64).collect();
    Failure::new(StatusCode::NOT_FOUND, format!("no endpoint {shown:?} is registered"))
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let status = match &error {
            RegistryError::NotFound(_) => StatusCode::NOT_FOUND,
            RegistryError::Taken(_) => return Self::of(StatusCode::CONFLICT, "cluster_name", error.to_string()),
            RegistryError::Occupied(..) => return Self::of(StatusCode::CONFLICT, "address", error.to_string()),
            RegistryError::Full => StatusCode::TOO_MANY_REQUESTS,
            RegistryError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            RegistryError::Publish(cause) => match &**cause {
                PublishError::Rejected(_)
                | PublishError::Unconfirmed(_)
                | PublishError::InvalidGroup(_)
                | PublishError::InvalidVersion(_)
                | PublishError::InvalidKey(_)
                | PublishError::InvalidText { .. } => StatusCode::BAD_REQUEST,
                PublishError::Conflict { .. } | PublishError::Owned { .. } | PublishError::KeyReused { .. } => {
                    StatusCode::CONFLICT
                }
                PublishError::NotFound(_) => StatusCode::NOT_FOUND,
                PublishError::Store(cause) => {
                    error!(error = %cause, "the store failed");
                    StatusCode::SERVICE_UNAVAILABLE
                }
            },
        };
        Self::new(status, error.to_string())
    }
}
