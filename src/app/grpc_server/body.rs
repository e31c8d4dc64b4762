//! The body of a response: it notes if the client reads, and ends with INTERNAL if the handler panics.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::open;
use crate::transport::panicked;

/// Bytes handed out at once, so that a client that reads a large response slowly is seen to read. No fewer, since with a full
/// client window each part begins with frames of one byte.
const SLICE: usize = 1024 * 1024;

/// Frames of at least this size have their last bytes, the tail, handed out apart. HTTP/2 takes a part as soon as the client
/// has room for one byte of it, but asks for the next part only once there is room for all of the last one. So a request for
/// the tail shows that the client reads the rest. Smaller frames fit the first window of HTTP/2 and have no tail: a client
/// that does not read is found at the next response.
const WITH_TAIL: usize = 64 * 1024;
const TAIL: usize = 1024;

/// The body of a response.
#[derive(Debug)]
pub(super) struct Watched<B> {
    /// `None` after the end.
    body: Option<B>,
    response: Arc<open::Response>,
    /// The rest of the last frame.
    rest: Bytes,
    /// A part was handed out, and no further one was requested.
    given: bool,
}

// === impl Watched ===

impl Watched<Body> {
    /// Returns the response, or INTERNAL if its handler panics.
    pub(super) async fn answer(
        answering: impl Future<Output = Result<http::Response<Body>, Infallible>>,
        response: Arc<open::Response>,
    ) -> http::Response<Self> {
        let mut answering = pin!(answering);
        let answer = std::future::poll_fn(|cx| match guarded(|| answering.as_mut().poll(cx)) {
            Ok(poll) => poll.map(|answer| match answer {
                Ok(answer) => answer,
            }),
            Err(_) => {
                response.note_panic();
                Poll::Ready(panicked().map(Body::new))
            }
        });
        let answer = answer.await;
        answer.map(|body| Self {
            body: Some(body),
            response,
            rest: Bytes::new(),
            given: false,
        })
    }
}

impl<B> Watched<B> {
    /// The next part of the last frame.
    fn slice(&mut self) -> Frame<Bytes> {
        self.given = true;
        self.response.pace().note_given();
        let left = self.rest.len();
        let bytes = if left >= WITH_TAIL { left - TAIL } else { left };
        Frame::data(self.rest.split_to(bytes.min(SLICE)))
    }
}

/// Catches a panic. A value that panicked must not be used afterwards.
fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(work))
}

impl http_body::Body for Watched<Body> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if std::mem::take(&mut this.given) {
            this.response.pace().note_taken();
        }
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.slice())));
        }
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let Ok(polled) = guarded(|| Pin::new(body).poll_frame(cx)) else {
            this.response.note_panic();
            // Dropping the body may panic again, so that is caught too.
            let broken = this.body.take();
            guarded(|| drop(broken)).ok();
            let (parts, _) = panicked().into_parts();
            return Poll::Ready(Some(Ok(Frame::trailers(parts.headers))));
        };
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled;
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                this.rest = data;
                this.slice()
            }
            Err(other) => other,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let of_body = self.body.as_ref().map(Body::size_hint);
        let mut hint = of_body.unwrap_or_else(|| SizeHint::with_exact(0));
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
