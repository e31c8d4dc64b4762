//! A response as the server writes it: it notes whether its client makes room, and ends with INTERNAL where what makes it panics.

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

/// Bytes handed out at once: a client that takes in a large response slowly is seen to take it in. No fewer, since where the
/// client's window is used up each part begins with frames of a byte.
const SLICE: usize = 1024 * 1024;

/// From how many bytes on the last of a frame are handed out apart, and how many these are. HTTP/2 takes in at once what is handed
/// out, be there room at the client for a byte of it; what comes behind it is asked for once there is room for all of it. So the
/// tail says whether the client takes in the rest. What fits the window that HTTP/2 begins with is not worth a frame more: a client
/// that does not read is found at the next response.
const WITH_TAIL: usize = 64 * 1024;
const TAIL: usize = 1024;

/// The body of a response.
#[derive(Debug)]
pub(super) struct Watched<B> {
    /// `None` once it is over.
    body: Option<B>,
    response: Arc<open::Response>,
    /// What is left of the last frame.
    rest: Bytes,
    /// Something was handed out, and nothing asked for since.
    given: bool,
}

// === impl Watched ===

impl Watched<Body> {
    /// The answer, be it that a panic keeps it from coming.
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
    /// The next part of the frame that came last.
    fn slice(&mut self) -> Frame<Bytes> {
        self.given = true;
        self.response.pace().note_given();
        let left = self.rest.len();
        let bytes = if left >= WITH_TAIL { left - TAIL } else { left };
        Frame::data(self.rest.split_to(bytes.min(SLICE)))
    }
}

/// What comes of it, unless it panics. Whatever was worked on is not looked at again after that.
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
            // What is left of it is given up under guard as well: it may panic again.
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
