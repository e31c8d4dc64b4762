//! The server of HTTP/1.1: every request must be read and answered in time, and silent connections are closed.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{
    listener::{Accepted, Bound},
    tasks::Vital,
};
use crate::{
    connection::Connection,
    metrics::{Label as _, PanicMetrics, PortLabel},
};

/// Bytes buffered per connection and direction: the head of a request must fit.
const MOST_BUFFERED: usize = 64 * 1024;

/// Serves the routes until `stop`, then finishes the open requests.
pub(super) fn spawn(
    vital: &Vital,
    bound: Bound,
    routes: Router,
    port: PortLabel,
    request: Duration,
    stop: CancellationToken,
) {
    let mut incoming = bound.accept(&vital.tracker);
    let panics = vital.panics.clone();
    let routes = routes.layer(axum::middleware::from_fn(move |asked: Request, next| {
        let panics = panics.clone();
        // Until the answer is complete, the connection does not make room for another.
        let busy = asked
            .extensions()
            .get()
            .map(|connection: &Connection| connection.seat.busy());
        async move {
            let answer = guarded(port, &panics, within(request, asked, next)).await;
            drop(busy);
            answer
        }
    }));
    let (vital_to_it, connections) = (vital.clone(), vital.tracker.clone());
    vital.spawn(port.text(), async move {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = incoming.next() => accepted,
                () = stop.cancelled() => break,
            };
            let Some(accepted) = accepted else {
                vital_to_it.fail("accepting");
                break;
            };
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
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(accepted), TowerToHyperService::new(routes))
}

/// Answers a request, with an error if its handler panics, and counts the panic.
async fn guarded(port: PortLabel, panics: &PanicMetrics, answer: impl Future<Output = Response>) -> Response {
    if let Some(answer) = panics.caught(port.into(), answer).await {
        return answer;
    }
    error!(listener = port.text(), "a request panicked");
    let text = "the server failed at this request: its log says how\n";
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

/// Ends a request that takes too long, also while its client is still sending it.
async fn within(time: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::PanicPart;

    fn dies() {
        panic!("of nothing in particular");
    }

    #[tokio::test]
    async fn request_that_panics_is_answered_and_counted() {
        let panics = PanicMetrics::default();
        let answer = async {
            dies();
            StatusCode::OK.into_response()
        };
        let answer = guarded(PortLabel::Http, &panics, answer).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(panics.of(PanicPart::Http), 1);
        let sound = guarded(PortLabel::Http, &panics, async { StatusCode::OK.into_response() }).await;
        assert_eq!((sound.status(), panics.of(PanicPart::Http)), (StatusCode::OK, 1));
    }
}
