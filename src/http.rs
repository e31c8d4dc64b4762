//! The HTTP port: `/livez` and `/readyz`. Everything else is 404, another method 405.

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::readiness::Readiness;

/// The routes of the HTTP port.
pub fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

/// The process answers: that is all that being alive means.
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when everything is loaded and bound, else 503 with what is awaited, one name a line.
async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let awaited = readiness.awaited();
    if awaited.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let awaited = awaited.join("\n");
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready, awaited:\n{awaited}\n"),
        )
    }
}
