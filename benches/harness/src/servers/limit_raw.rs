//! The limit: tonic's server, a body that hands out one shared `Bytes` per push, and nothing else. Requests are framed, counted
//! and dropped undecoded; the first opens the stream.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use tokio::sync::watch;
use tokio_stream::{Stream as _, wrappers::WatchStream};
use tonic::{
    Status, Streaming,
    body::Body,
    codec::{DecodeBuf, Decoder},
    codegen::{BoxFuture, Service},
    server::NamedService,
};

use super::{Stock, variant_of};
use crate::load::Variant;

#[derive(Clone, Debug)]
pub(super) struct Ads(watch::Receiver<Arc<Stock>>);

struct Push {
    variant: Variant,
    requests: Streaming<()>,
    stock: WatchStream<Arc<Stock>>,
    /// The resources to send, until the first request has arrived.
    waiting: Option<Arc<Stock>>,
    opened: bool,
    /// The number of the last sent response; 0 before the first.
    sent: u64,
    ended: bool,
}

/// Counts requests as bytes, without decoding.
struct Counting;

// === impl Ads ===

impl Ads {
    pub(super) fn new(stock: watch::Receiver<Arc<Stock>>) -> Self {
        Self(stock)
    }
}

impl NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<Request<Body>> for Ads {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = match variant_of(request.uri().path()) {
            None => Status::unimplemented("ADS streams only").into_http(),
            Some(variant) => {
                let push = Push {
                    variant,
                    requests: Streaming::new_request(Counting, request.into_body(), None, None),
                    stock: WatchStream::new(self.0.clone()),
                    waiting: None,
                    opened: false,
                    sent: 0,
                    ended: false,
                };
                let mut response = Response::new(Body::new(push));
                let grpc = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(header::CONTENT_TYPE, grpc);
                response
            }
        };
        Box::pin(std::future::ready(Ok(response)))
    }
}

// === impl Push ===

impl http_body::Body for Push {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.requests).poll_next(cx) {
                Poll::Ready(Some(Ok(()))) => self.opened = true,
                Poll::Ready(Some(Err(_)) | None) => {
                    self.ended = true;
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Poll::Pending => break,
            }
        }
        while let Poll::Ready(Some(stock)) = Pin::new(&mut self.stock).poll_next(cx) {
            self.waiting = Some(stock);
        }
        let stock = ready!(self.due());
        let fresh = self.sent == 0;
        self.sent = stock.number;
        Poll::Ready(Some(Ok(Frame::data(stock.frame(self.variant, fresh)))))
    }
}

impl Push {
    fn due(&mut self) -> Poll<Arc<Stock>> {
        match self.waiting.take_if(|stock| self.opened && stock.number > 0) {
            Some(stock) => Poll::Ready(stock),
            None => Poll::Pending,
        }
    }
}

impl Decoder for Counting {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        src.advance(src.remaining());
        Ok(Some(()))
    }
}
