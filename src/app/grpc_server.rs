//! The server of HTTP/2: its limits, and the end of responses that panic or that their client does not read.
//!
//! Each response runs in its own task, which the server can abort: a body is not polled while its client has no room.

mod body;
mod open;
mod terms;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::{Instrument as _, debug, info_span};

pub(super) use self::terms::Terms;
use self::{body::Watched, open::Open};
use super::{
    listener::{Accepted, Bound},
    tasks::Vital,
};
use crate::{connection::Connection, metrics::Label as _};

/// Serves the routes until `stop`, then finishes the open responses.
pub(super) fn spawn(vital: &Vital, bound: Bound, routes: Router, terms: Terms) -> JoinHandle<()> {
    let mut incoming = bound.accept(&vital.tracker);
    let name = terms.port.text();
    let open = Open::spawn(vital, &terms);
    let (vital_to_it, connections) = (vital.clone(), vital.tracker.clone());
    let serve = async move {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = incoming.next() => accepted,
                () = terms.stop.cancelled() => break,
            };
            let Some(accepted) = accepted else {
                vital_to_it.fail("accepting");
                break;
            };
            let served = graceful.watch(serve(accepted, &routes, &terms, &open, &connections));
            connections.spawn(async move {
                if let Err(error) = served.await {
                    debug!(%error, "HTTP/2 connection");
                }
            });
        }
        drop(incoming);
        graceful.shutdown().await;
    };
    vital.spawn(name, serve.instrument(info_span!("server", name)))
}

fn serve(
    accepted: Accepted,
    routes: &Router,
    terms: &Terms,
    open: &Open,
    tracker: &TaskTracker,
) -> http2::Connection<TokioIo<Accepted>, Served, Tasks> {
    let limits = &terms.limits;
    let begun = Begun::default();
    let tasks = Tasks {
        tracker: tracker.clone(),
        begun: begun.clone(),
    };
    let served = Served {
        routes: routes.clone(),
        connection: accepted.connection().clone(),
        open: open.clone(),
        begun,
    };
    http2::Builder::new(tasks)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(limits.send_buffer)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.reset_streams)
        .max_local_error_reset_streams(limits.failed_streams)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .serve_connection(TokioIo::new(accepted), served)
}

/// The newest response of a connection, on its way to its task: a connection begins a response and spawns its task in one
/// step.
#[derive(Clone, Debug, Default)]
struct Begun(Arc<Mutex<Option<Arc<open::Response>>>>);

/// Answers the requests of one connection.
struct Served {
    routes: Router,
    connection: Connection,
    open: Open,
    begun: Begun,
}

/// Spawns the tasks of one connection.
#[derive(Clone, Debug)]
struct Tasks {
    tracker: TaskTracker,
    begun: Begun,
}

// === impl Begun ===

impl Begun {
    fn replace(&self, response: Option<Arc<open::Response>>) -> Option<Arc<open::Response>> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), response)
    }
}

// === impl Served ===

impl Service<Request<Incoming>> for Served {
    type Response = Response<Watched<Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        let response = self.open.begin(request.uri().path(), &self.connection);
        request.extensions_mut().insert(self.connection.clone());
        request.extensions_mut().insert(Arc::clone(response.pace()));
        self.begun.replace(Some(Arc::clone(&response)));
        let answering = self.routes.clone().call(request);
        Box::pin(async move { Ok(Watched::answer(answering, response).await) })
    }
}

// === impl Tasks ===

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let response = self.begun.replace(None);
        let task = self.tracker.spawn(task);
        if let Some(response) = response {
            response.runs_as(task.abort_handle());
        }
    }
}

#[cfg(test)]
mod tests;
