//! A small HTTP server that answers every request with its name.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use super::RUNTIME;

/// Serves until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Upstream {
    pub(crate) fn named(name: &'static str) -> Self {
        Self::slow(name, Duration::ZERO)
    }

    /// An upstream that answers each health check (`/health`) after this wait.
    pub(crate) fn slow(name: &'static str, wait: Duration) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let health = get(move || async move { sleep(wait).await });
        let routes = Router::new()
            .route("/health", health)
            .fallback(move || async move { name });
        let server = RUNTIME.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, server }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}
