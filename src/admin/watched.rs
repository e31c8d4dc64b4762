//! A response that ends when its caller loses access: watches outlive tokens, certificates and rules.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// The interval between access checks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The body of a response; `may` returns an error once the caller has lost access.
pub(super) struct Watched<F> {
    inner: Body,
    may: F,
    look: Pin<Box<Sleep>>,
    ended: bool,
}

// === impl Watched ===

impl<F: FnMut() -> Result<(), Status> + Send + Unpin + 'static> Watched<F> {
    /// Wraps a body. Must be called within the runtime that serves it.
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

    /// A status without messages ends with its headers: clients take a response that does not for a broken stream.
    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_response_ends_when_its_caller_may_no_longer_have_it() {
        let may = || Err(Status::unauthenticated("no more"));
        let silent = Body::from_stream(tokio_stream::pending::<Result<Bytes, axum::Error>>());
        let mut watched = Watched::body(silent, may);
        let end = watched.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(end["grpc-status"], "16");
        assert!(watched.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_response_that_ends_with_its_headers_still_does() {
        let empty = Watched::body(Body::empty(), || Ok(()));
        assert!(empty.is_end_stream());
        let mut text = Watched::body(Body::from("text"), || Ok(()));
        assert!(!text.is_end_stream());
        assert_eq!(text.size_hint().exact(), Some(4));
        assert_eq!(text.frame().await.unwrap().unwrap().into_data().unwrap(), "text");
    }
}
