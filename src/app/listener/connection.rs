//! One connection for the server to read and write. It ends if its peer stays silent or does not read, and if its place is
//! given to another connection.

use std::{
    fmt,
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tracing::info;

use super::{
    crowd::Place,
    tenure::Tenure,
    terms::{Patience, Terms},
};
use crate::{
    connection::Connection,
    metrics::{ConnectionMetrics, Label as _, PortLabel, Silence, WithdrawnLabel},
    tls::Withdrawn,
};

/// Bytes read before the connection yields to others: room for thousands of frames without effect.
const STRETCH: usize = 32 * 1024;

/// The preface of HTTP/2: a peer that begins otherwise speaks another protocol.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An accepted connection, ready to be served.
pub(crate) struct Accepted {
    io: Io,
    connection: Connection,
    /// `Some` for a client with a certificate.
    tenure: Option<Tenure>,
    patience: Patience,
    /// Bytes that the peer must still send to open the connection.
    missing: usize,
    /// Bytes read since the connection last yielded.
    stretch: usize,
    /// The time by which the peer must send something.
    reading: Option<Pin<Box<Sleep>>>,
    /// The time by which the peer must read the written bytes.
    writing: Option<Pin<Box<Sleep>>>,
    port: PortLabel,
    metrics: ConnectionMetrics,
    /// The task that the seat wakes: stored so that the seat is not set at each read.
    waker: Option<Waker>,
    _place: Place,
}

enum Io {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

// === impl Accepted ===

impl Accepted {
    pub(super) fn plain(stream: TcpStream, connection: Connection, place: Place, terms: &Terms) -> Self {
        Self::new(Io::Plain(stream), connection, None, place, terms)
    }

    pub(super) fn secure(
        stream: TlsStream<TcpStream>,
        connection: Connection,
        tenure: Option<Tenure>,
        place: Place,
        terms: &Terms,
    ) -> Self {
        Self::new(Io::Secure(Box::new(stream)), connection, tenure, place, terms)
    }

    fn new(io: Io, connection: Connection, tenure: Option<Tenure>, place: Place, terms: &Terms) -> Self {
        terms.metrics.opened(terms.port);
        Self {
            io,
            connection,
            tenure,
            patience: terms.patience,
            missing: terms.patience.opening_bytes,
            stretch: 0,
            reading: Some(Box::pin(sleep(terms.patience.opening))),
            writing: None,
            port: terms.port,
            metrics: terms.metrics.clone(),
            waker: None,
            _place: place,
        }
    }

    /// The peer of the connection.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ready once the certificate of the client is no longer valid.
    fn outlived(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (Some(tenure), Io::Secure(stream)) = (&mut self.tenure, &self.io) else {
            return Poll::Pending;
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let withdrawn = ready!(tenure.poll(cx, chain));
        let reason = match withdrawn {
            Withdrawn::Expired => WithdrawnLabel::Expired,
            Withdrawn::Revoked => WithdrawnLabel::Revoked,
            Withdrawn::Untrusted => WithdrawnLabel::Untrusted,
        };
        self.metrics.withdrawn(self.port, reason);
        info!(
            listener = self.port.text(),
            peer = %self.connection.peer,
            reason = reason.text(),
            "connection closed: the certificate of its client is no longer valid"
        );
        Poll::Ready(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the certificate of the client is no longer valid",
        ))
    }

    /// Ready once another connection has the place. Reads and writes both check, since either may be blocked.
    fn displaced(&mut self, cx: &Context<'_>) -> Poll<io::Error> {
        let seat = &self.connection.seat;
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            seat.wakes(cx.waker());
        }
        if seat.is_given_up() {
            let reason = "another connection has its place";
            return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
        }
        Poll::Pending
    }

    /// Returns false if the peer still has to send the preface of HTTP/2 and these next bytes differ from it.
    fn opens(&self, read: &[u8]) -> bool {
        let opening = self.patience.opening_bytes;
        if opening < PREFACE.len() {
            return true;
        }
        let due = PREFACE.get(opening - self.missing..).unwrap_or_default();
        let common = due.len().min(read.len());
        due[..common] == read[..common]
    }

    /// Notes read or written bytes as a sign of life.
    fn note(&mut self, read: usize) {
        self.missing = self.missing.saturating_sub(read);
        if self.missing > 0 {
            return;
        }
        match (self.patience.idle, &mut self.reading) {
            (None, reading) => *reading = None,
            (Some(idle), Some(reading)) => reading.as_mut().reset(Instant::now() + idle),
            (Some(idle), reading @ None) => *reading = Some(Box::pin(sleep(idle))),
        }
    }

    /// Notes the result of a write, and fails if the peer did not read for too long.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            if self.patience.idle.is_some() {
                self.note(0);
            }
            return outcome;
        }
        let unread = self.patience.unread;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(unread)));
        if writing.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.metrics.silent(self.port, Silence::Unread);
        Poll::Ready(Err(timed_out("the peer does not read")))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.metrics.closed(self.port);
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.displaced(cx) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(error) = this.outlived(cx) {
            return Poll::Ready(Err(error));
        }
        if this.stretch >= STRETCH {
            this.stretch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if outcome.is_ready() {
            let read = buf.filled().len() - before;
            if !this.opens(&buf.filled()[before..]) {
                this.metrics.silent(this.port, Silence::Protocol);
                let reason = "the peer does not speak HTTP/2";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            this.stretch += read;
            this.note(read);
            return outcome;
        }
        this.stretch = 0;
        let Some(reading) = &mut this.reading else {
            return Poll::Pending;
        };
        if reading.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let silence = if this.missing > 0 {
            Silence::Opening
        } else {
            Silence::Idle
        };
        this.metrics.silent(this.port, silence);
        Poll::Ready(Err(timed_out("the peer is silent")))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.displaced(cx) {
            return Poll::Ready(Err(error));
        }
        let outcome = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        this.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.displaced(cx) {
            return Poll::Ready(Err(error));
        }
        let outcome = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Io::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        };
        this.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.displaced(cx) {
            return Poll::Ready(Err(error));
        }
        let outcome = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Secure(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.wrote(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.displaced(cx) {
            return Poll::Ready(Err(error));
        }
        let outcome = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        this.wrote(cx, outcome)
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::io::AsyncWriteExt as _;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::app::listener::{Bound, Crowd};

    #[tokio::test]
    async fn connection_gives_way_however_much_there_is_to_read() {
        const ALL: usize = 32 * STRETCH;
        let long = Duration::from_secs(30);
        let terms = Terms {
            port: PortLabel::Xds,
            tls: None,
            crowd: Crowd::new(10, 10),
            patience: Patience {
                opening: long,
                opening_bytes: 1,
                idle: None,
                unread: long,
            },
            metrics: ConnectionMetrics::default(),
        };
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), terms).unwrap();
        let mut peer = TcpStream::connect(bound.local_addr().unwrap()).await.unwrap();
        let mut incoming = bound.accept(&TaskTracker::new());
        let mut accepted = incoming.next().await.unwrap();
        let mut room = vec![0; STRETCH / 4];
        let (mut all, mut stretch, mut longest) = (0, 0, 0);
        let reading = poll_fn(|cx| {
            while all < ALL {
                let mut buf = ReadBuf::new(&mut room);
                if Pin::new(&mut accepted).poll_read(cx, &mut buf).is_pending() {
                    stretch = 0;
                    return Poll::Pending;
                }
                let read = buf.filled().len();
                (all, stretch) = (all + read, stretch + read);
                longest = longest.max(stretch);
            }
            Poll::Ready(())
        });
        let said = vec![0; ALL];
        let (written, ()) = tokio::join!(peer.write_all(&said), reading);
        written.unwrap();
        assert!(longest > STRETCH / 2, "{longest}: much was there at once");
        assert!(longest <= STRETCH + STRETCH / 4, "{longest}");
    }
}
