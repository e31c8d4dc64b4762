//! The server of HTTP/1.1: every request has a time to be told whole and answered, and no connection is kept for one that
//! says nothing.

use std::time::Duration;

use axum::{Router, extract::Request, http::StatusCode, middleware::Next, response::IntoResponse as _};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::listener::{Accepted, Bound};

/// Serves the routes until `stop`; what is being answered then is answered.
pub(super) fn spawn(tracker: &TaskTracker, bound: Bound, routes: Router, request: Duration, stop: CancellationToken) {
    let mut incoming = bound.accept(tracker);
    let routes = routes.layer(axum::middleware::from_fn(move |asked, next| {
        within(request, asked, next)
    }));
    let connections = tracker.clone();
    tracker.spawn(async move {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = incoming.next() => accepted,
                () = stop.cancelled() => None,
            };
            let Some(accepted) = accepted else { break };
            let served = graceful.watch(serve(accepted, &routes, request));
            connections.spawn(async move {
                if let Err(error) = served.await {
                    debug!(%error, "HTTP connection");
                }
            });
        }
        drop(incoming);
        graceful.shutdown().await;
    });
}

type Served = http1::Connection<TokioIo<Accepted>, TowerToHyperService<Router>>;

fn serve(accepted: Accepted, routes: &Router, request: Duration) -> Served {
    let connection = accepted.connection().clone();
    let routes = routes.clone().layer(axum::Extension(connection));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(request)
        .serve_connection(TokioIo::new(accepted), TowerToHyperService::new(routes))
}

/// Gives a request up that takes too long, be it the client that does not tell the rest of it.
async fn within(time: Duration, request: Request, next: Next) -> axum::response::Response {
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}
