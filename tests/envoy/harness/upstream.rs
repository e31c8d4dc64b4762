//! A small HTTP server that answers every request with its name.

use std::net::SocketAddr;

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

use super::RUNTIME;

/// Serves until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Upstream {
    pub(crate) fn named(name: &'static str) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(move || async move { name });
        let server = RUNTIME.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, server }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}
