//! Listeners of the servers. One accepts, shakes hands where there is TLS, and hands on connections that may be served: as
//! many as there is room for, of each peer no more than its share, none that stays silent. Who asks for nothing makes room.
//!
//! When the process is out of descriptors it waits instead of spinning.

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

/// Connections that may wait to be accepted, where the system lets so many: a fleet reconnects all at once, and what does
/// not fit is dropped or reset. Without it the standard library's 128 holds.
const BACKLOG: u32 = 4096;

/// The first wait after an accept that failed; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Connections that are accepted and not taken yet by their server.
const READY: usize = 64;

/// A bound port, not accepting yet.
#[derive(Debug)]
pub(super) struct Bound {
    tcp: TcpListener,
    terms: Terms,
}

/// Connections of a port, ready to be served. Dropping it ends the accepting.
#[derive(Debug)]
pub(super) struct Incoming(mpsc::Receiver<Accepted>);

// === impl Bound ===

impl Bound {
    /// Must be called within the runtime that accepts.
    pub(super) fn bind(addr: SocketAddr, terms: Terms) -> io::Result<Self> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for the connections of the process before it to time out.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self { tcp, terms })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts until what it gives is dropped, or the port listens no longer.
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
                // The peer was gone before it was accepted: the next one is not affected.
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
                // Waiting mends nothing here: the server of the port sees the end of its connections and fails.
                Err(error) if is_of_listener(&error) => {
                    error!(listener = self.terms.port.text(), %error, "the port listens no longer");
                    return;
                }
                Err(error) => {
                    warn!(listener = self.terms.port.text(), %error, ?wait, "cannot accept connections");
                    self.terms.metrics.accept_failed(self.terms.port);
                    // With no descriptor left the next accept would fail at once, for ever.
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
                "connection without a request closed: its place is needed"
            );
            terms.metrics.silent(terms.port, Silence::Displaced);
            // Who came before is to be heard before its place goes to who comes next.
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
        // Changes from here on are looked at; the files are those of now, or newer.
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
    /// The next connection; `None` once nothing is accepted any more.
    pub(super) async fn next(&mut self) -> Option<Accepted> {
        self.0.recv().await
    }
}

/// True for an error of the listening socket itself: it was shut down, or is none any more.
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
