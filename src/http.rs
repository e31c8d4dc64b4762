//! The HTTP port: `/livez`, `/readyz`, `/metrics`, xDS over REST-JSON, the endpoint registry. Others are 404 or 405.
//!
//! Probes and metrics answer from the start. Routes that need a loaded store answer 503 until [`Port::open`].

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
    /// All routes except [`Port::probes`]. The server must put each [`Connection`](crate::connection::Connection) into
    /// the extensions of its requests.
    pub fn routes(&self) -> Router {
        self.finish(
            Router::new()
                .merge(rest::routes::routes())
                .merge(endpoints::routes(self)),
        )
    }

    /// The routes of probes and metrics, which show no configuration.
    pub fn probes(&self) -> Router {
        self.finish(probes())
    }

    /// The routes of [`Port::routes`] and [`Port::probes`], for one port.
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

/// Refuses requests that a browser sends for a page of another site, and bodies that are not declared as JSON.
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

/// Answers "ok": a process that answers is alive.
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 if everything is loaded and bound; otherwise 503 with the awaited components, one per line.
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
