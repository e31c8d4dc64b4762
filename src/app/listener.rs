//! Listeners of the servers. A listener accepts connections, does TLS handshakes, and passes on connections to serve. It
//! limits connections in all and per peer. Silent connections are closed; idle ones make room for new ones.
//!
//! When the process is out of descriptors, the listener waits instead of spinning.

mod connection;
mod crowd;
mod handshake;
mod tenure;
mod terms;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::yield_now,
    time::sleep,
};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

pub(super) use self::{
    connection::Accepted,
    crowd::Crowd,
    tenure::Followed,
    terms::{Patience, Terms},
};
use crate::{
    connection::Connection,
    metrics::{Label as _, Silence},
};

/// Connections that may wait to be accepted, if the system allows so many: a fleet reconnects all at once, and further
/// connections are dropped or reset. The standard library's default is 128.
const BACKLOG: u32 = 4096;

/// The first wait after a failed accept; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Connections that are accepted and wait for their server.
const READY: usize = 64;

/// A bound port, not accepting yet.
#[derive(Debug)]
pub(super) struct Bound {
    tcp: TcpListener,
    terms: Terms,
}

/// Accepted connections of a port. Dropping this stops accepting.
#[derive(Debug)]
pub(super) struct Incoming(mpsc::Receiver<Accepted>);

// === impl Bound ===

impl Bound {
    /// Binds a port. Call this within the runtime that accepts.
    pub(super) fn bind(addr: SocketAddr, terms: Terms) -> io::Result<Self> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for connections of the last process to time out.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self { tcp, terms })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections until the returned value is dropped, or the port stops listening.
    pub(super) fn accept(self, tracker: &TaskTracker) -> Incoming {
        let (ready, incoming) = mpsc::channel(READY);
        let handshakes = tracker.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = self.accept_all(&ready, &handshakes) => {}
                () = ready.closed() => {}
            }
        });
        Incoming(incoming)
    }

    async fn accept_all(&self, ready: &mpsc::Sender<Accepted>, handshakes: &TaskTracker) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    wait = FIRST_WAIT;
                    self.take_in(stream, peer, ready, handshakes).await;
                }
                // The peer has gone: the next connection is not affected.
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
                // Waiting does not help: the server of the port sees that its connections end, and fails.
                Err(error) if is_of_listener(&error) => {
                    error!(listener = self.terms.port.text(), %error, "the port listens no longer");
                    return;
                }
                Err(error) => {
                    warn!(listener = self.terms.port.text(), %error, ?wait, "cannot accept connections");
                    self.terms.metrics.accept_failed(self.terms.port);
                    // Without a free descriptor the next accept would fail at once, again and again.
                    sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        }
    }

    async fn take_in(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        ready: &mpsc::Sender<Accepted>,
        handshakes: &TaskTracker,
    ) {
        let terms = &self.terms;
        let place = match terms.crowd.enter(peer) {
            Ok(place) => place,
            Err(reason) => {
                debug!(%peer, listener = terms.port.text(), ?reason, "connection refused");
                return terms.metrics.refused(terms.port, reason);
            }
        };
        if place.displaces() {
            debug!(
                listener = terms.port.text(),
                "idle connection closed to make room for another"
            );
            terms.metrics.silent(terms.port, Silence::Displaced);
            // Lets earlier connections read their requests before the next accept displaces one of them.
            yield_now().await;
        }
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, %peer, "cannot set TCP_NODELAY");
        }
        let Some(mut followed) = terms.tls.clone() else {
            let connection = Connection {
                peer,
                certificate: None,
                seat: Arc::clone(place.seat()),
            };
            let accepted = Accepted::plain(stream, connection, place, terms);
            ready.send(accepted).await.ok();
            return;
        };
        // Only later changes count: the files are the current ones or newer.
        followed.changed.mark_unchanged();
        let handshake = handshake::shake_hands(stream, peer, followed, place, terms.clone());
        let ready = ready.clone();
        handshakes.spawn(async move {
            if let Some(accepted) = handshake.await {
                ready.send(accepted).await.ok();
            }
        });
    }
}

impl Incoming {
    /// The next connection; `None` once the port accepts none any more.
    pub(super) async fn next(&mut self) -> Option<Accepted> {
        self.0.recv().await
    }
}

/// Returns true for an error of the listening socket itself: it was shut down, or is no socket any more.
fn is_of_listener(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::BADF | Errno::NOTSOCK | Errno::OPNOTSUPP)
    )
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
