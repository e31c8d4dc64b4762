//! The obvious server: tonic's own streaming with prost, a task and a channel per stream, and a response built and encoded
//! for each of them.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service},
    server::{Grpc, NamedService, StreamingService},
};
use tonic_prost::ProstCodec;

use super::{Stock, variant_of};
use crate::{
    load::Variant,
    wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse},
};

type Watched = watch::Receiver<Arc<Stock>>;

#[derive(Clone, Debug)]
pub(super) struct Ads(Watched);

struct Sotw(Watched);
struct Delta(Watched);

// === impl Ads ===

impl Ads {
    pub(super) fn new(stock: Watched) -> Self {
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
        let stock = self.0.clone();
        Box::pin(async move {
            Ok(match variant_of(request.uri().path()) {
                Some(Variant::Sotw) => Grpc::new(ProstCodec::default()).streaming(Sotw(stock), request).await,
                Some(Variant::Delta) => Grpc::new(ProstCodec::default()).streaming(Delta(stock), request).await,
                None => Status::unimplemented("ADS streams only").into_http(),
            })
        })
    }
}

impl StreamingService<DiscoveryRequest> for Sotw {
    type Response = DiscoveryResponse;
    type ResponseStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: tonic::Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        let responses = respond(request.into_inner(), self.0.clone(), |stock, _, nonce| {
            stock.sotw(nonce)
        });
        Box::pin(std::future::ready(Ok(tonic::Response::new(responses))))
    }
}

impl StreamingService<DeltaDiscoveryRequest> for Delta {
    type Response = DeltaDiscoveryResponse;
    type ResponseStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: tonic::Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        let responses = respond(request.into_inner(), self.0.clone(), |stock, fresh, nonce| {
            stock.delta(nonce, fresh)
        });
        Box::pin(std::future::ready(Ok(tonic::Response::new(responses))))
    }
}

/// Sends the current resources at the first request, and again at every change.
fn respond<Req: Send + 'static, Resp: Send + 'static>(
    mut requests: Streaming<Req>,
    mut stock: Watched,
    response: impl Fn(&Stock, bool, &str) -> Resp + Send + 'static,
) -> ReceiverStream<Result<Resp, Status>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let (mut asked, mut sent) = (false, 0_u64);
        loop {
            let current = Arc::clone(&stock.borrow_and_update());
            if asked && current.number > sent {
                let fresh = sent == 0;
                let message = response(&current, fresh, &format!("nonce-{}", current.number));
                sent = current.number;
                if sender.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(_)) => asked = true,
                    Ok(None) | Err(_) => return,
                },
                changed = stock.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    });
    ReceiverStream::new(receiver)
}
