//! A response that ends when its caller may no longer have it: watches outlive tokens, certificates and rules.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// How often it is asked whether the caller may still have it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The body of a response. `may` says whether its caller may still have it.
pub(super) struct Watched<F> {
    inner: Body,
    may: F,
    look: Pin<Box<Sleep>>,
    ended: bool,
}

// === impl Watched ===

impl<F: FnMut() -> Result<(), Status> + Send + Unpin + 'static> Watched<F> {
    /// Must be called within the runtime that serves it.
    pub(super) fn body(inner: Body, may: F) -> Body {
        Body::new(Self {
            inner,
            may,
            look: Box::pin(sleep(LOOK_EVERY)),
            ended: false,
        })
    }
}

impl<F: FnMut() -> Result<(), Status> + Unpin> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let watched = self.get_mut();
        if watched.ended {
            return Poll::Ready(None);
        }
        while watched.look.as_mut().poll(cx).is_ready() {
            if let Err(status) = (watched.may)() {
                watched.ended = true;
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).map_err(axum::Error::new)?;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            watched.look = Box::pin(sleep(LOOK_EVERY));
        }
        Poll::Ready(ready!(Pin::new(&mut watched.inner).poll_frame(cx)))
    }
}
