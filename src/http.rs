//! The HTTP port: `/livez` and `/readyz`, `/metrics`, xDS over REST-JSON, and the endpoint registry. Everything else is 404,
//! another method 405.
//!
//! Probes and metrics answer from the start; what needs a loaded store answers 503 until [`Port::open`].

mod access;
mod endpoints;
mod failure;
mod guard;
mod metrics;
mod port;
mod rest;
mod visitor;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};

use self::failure::Failure;
pub use self::{
    guard::Guard,
    port::{Port, Services},
    rest::{Rest, RestSettings},
};
// === impl Port ===

impl Port {
    /// All routes but those of [`Port::probes`]. The server that runs them puts the
    /// [`Connection`](crate::connection::Connection) of each request into its extensions.
    pub fn routes(&self) -> Router {
        self.finish(
            Router::new()
                .merge(rest::routes::routes())
                .merge(endpoints::routes(self)),
        )
    }

    /// Probes and metrics: what shows nothing of any configuration.
    pub fn probes(&self) -> Router {
        self.finish(probes())
    }

    /// Both on one port.
    pub fn all_routes(&self) -> Router {
        self.finish(probes().merge(rest::routes::routes()).merge(endpoints::routes(self)))
    }

    fn finish(&self, routes: Router<Self>) -> Router {
        routes
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(middleware::from_fn_with_state(self.clone(), guarded))
            .with_state(self.clone())
    }
}

fn probes() -> Router<Port> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::show))
}

/// Refuses what a browser sends for a page of another site, and what is not called JSON.
async fn guarded(State(port): State<Port>, request: Request, next: Next) -> Response {
    let checked = port.guard.check(request.method(), request.headers());
    match checked {
        Ok(()) => next.run(request).await,
        Err((reason, failure)) => {
            port.counters.refused(reason);
            failure.into_response()
        }
    }
}

/// The process answers: that is all that being alive means.
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when everything is loaded and bound, else 503 with what is awaited, one name a line.
async fn readyz(State(port): State<Port>) -> (StatusCode, String) {
    let awaited = port.readiness.awaited();
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

async fn unknown_path() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "no such path on this port")
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
}
