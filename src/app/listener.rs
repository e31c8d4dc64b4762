//! A TCP listener for the servers: no delay on small writes, and no spinning when the process is out of descriptors.

use std::{
    future::{Future as _, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tracing::{debug, warn};

use crate::http::Peer;

/// Connections that may wait to be accepted, where the system lets so many: a fleet reconnects all at once, and what does
/// not fit is dropped or reset. Without it the standard library's 128 holds.
const BACKLOG: u32 = 4096;

/// The first wait after an accept that failed; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Accepts for ever: as a stream for tonic, as a listener for axum.
pub(super) struct Listener {
    name: &'static str,
    tcp: TcpListener,
    wait: Duration,
    /// While it sleeps nothing is accepted: with no descriptor left the next accept would fail at once, for ever.
    sleeping: Option<Pin<Box<Sleep>>>,
    /// Counts the accepts that failed for want of something.
    failures: Counter,
}

// === impl Listener ===

impl Listener {
    /// Must be called within the runtime that accepts.
    pub(super) fn bind(name: &'static str, addr: SocketAddr, failures: Counter) -> io::Result<Self> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for the connections of the process before it to time out.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(Self {
            name,
            tcp: socket.listen(BACKLOG)?,
            wait: FIRST_WAIT,
            sleeping: None,
            failures,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        loop {
            if let Some(sleeping) = &mut self.sleeping {
                ready!(sleeping.as_mut().poll(cx));
                self.sleeping = None;
            }
            match ready!(self.tcp.poll_accept(cx)) {
                Ok((stream, peer)) => {
                    self.wait = FIRST_WAIT;
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%error, %peer, "cannot set TCP_NODELAY");
                    }
                    return Poll::Ready((stream, peer));
                }
                // The peer was gone before it was accepted: the next one is not affected.
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
                Err(error) => {
                    warn!(listener = self.name, %error, wait = ?self.wait, "cannot accept connections");
                    self.failures.inc();
                    self.sleeping = Some(Box::pin(sleep(self.wait)));
                    self.wait = (self.wait * 2).min(LAST_WAIT);
                }
            }
        }
    }
}

impl Stream for Listener {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(|(stream, _)| Some(Ok(stream)))
    }
}

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}
