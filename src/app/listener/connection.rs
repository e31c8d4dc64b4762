//! One connection as its server reads and writes it. A peer that stays silent, or that does not read, is not waited for, and a
//! connection whose place is given to another ends.

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

/// Bytes that are read at a stretch before the connection gives way to others: thousands of frames that mean nothing.
const STRETCH: usize = 32 * 1024;

/// The preface of HTTP/2: a peer that begins otherwise speaks another protocol.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that may be served.
pub(crate) struct Accepted {
    io: Io,
    connection: Connection,
    /// Of a client that showed a certificate.
    tenure: Option<Tenure>,
    patience: Patience,
    /// Bytes that are missing until it counts as open.
    missing: usize,
    /// Bytes read since it last gave way.
    stretch: usize,
    /// When the peer must have said something.
    reading: Option<Pin<Box<Sleep>>>,
    /// When it must have taken in what waits to be written.
    writing: Option<Pin<Box<Sleep>>>,
    port: PortLabel,
    metrics: ConnectionMetrics,
    /// The task that its seat wakes: told the seat once, and not at each read.
    told: Option<Waker>,
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
            told: None,
            _place: place,
        }
    }

    /// Who is at the other end.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ready where the certificate of the client is good no longer.
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
            "connection closed: the certificate of its client is good no longer"
        );
        Poll::Ready(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the certificate of the client is good no longer",
        ))
    }

    /// Ready where another has its place. Reads and writes ask: one that is held up by the other must end as well.
    fn displaced(&mut self, cx: &Context<'_>) -> Poll<io::Error> {
        let seat = &self.connection.seat;
        if self.told.as_ref().is_none_or(|told| !told.will_wake(cx.waker())) {
            self.told = Some(cx.waker().clone());
            seat.wakes(cx.waker());
        }
        if seat.is_given_up() {
            let reason = "another connection has its place";
            return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
        }
        Poll::Pending
    }

    /// False where the preface of HTTP/2 is due and these bytes, the next ones of the connection, differ from it.
    fn opens(&self, read: &[u8]) -> bool {
        let opening = self.patience.opening_bytes;
        if opening < PREFACE.len() {
            return true;
        }
        let due = PREFACE.get(opening - self.missing..).unwrap_or_default();
        let common = due.len().min(read.len());
        due[..common] == read[..common]
    }

    /// Counts what was read, or written, as a sign of life.
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

    /// Settles what a write came to.
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
