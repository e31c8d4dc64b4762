//! A stream that panics ends alone.

use std::{collections::BTreeSet, convert::Infallible, future::poll_fn};

use http_body::Body as _;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::*;
use crate::{
    authority::Authority,
    cache::SnapshotCache,
    fleet::{self, Fleet},
    memory::MemoryBudget,
    metrics::ServingMetrics,
    proto::discovery::DiscoveryRequest,
    transport::settings::XdsSettings,
};

/// A request body with these bytes that panics when polled again.
struct Panics(Option<Bytes>);

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let said = self.0.take().expect("there is more to say");
        Poll::Ready(Some(Ok(Frame::data(said))))
    }
}

fn first_request() -> Bytes {
    let request = DiscoveryRequest {
        node: Some(core::Node {
            id: "n".to_owned(),
            cluster: "g".to_owned(),
            ..core::Node::default()
        }),
        type_url: ResourceType::Cluster.type_url().to_owned(),
        ..DiscoveryRequest::default()
    };
    let message = request.encode_to_vec();
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &len, &message].concat().into()
}

#[tokio::test]
async fn stream_that_panics_ends_with_internal_and_leaves_nothing_behind() {
    let metrics = Arc::new(ServingMetrics::default());
    let fleet = Fleet::new(fleet::Limits::default(), Arc::clone(&metrics));
    let shared = Arc::new(Shared::new(
        SnapshotCache::default(),
        Arc::clone(&fleet),
        Arc::clone(&metrics),
        Authority::open(),
        XdsSettings::default(),
        MemoryBudget::default(),
        CancellationToken::new(),
    ));
    let request = Request::new(axum::body::Body::new(Panics(Some(first_request()))));
    let opened = open(
        Variant::Sotw,
        Arc::clone(&shared),
        Scope::Aggregated,
        "/s/M".into(),
        request,
    );
    let mut body = opened.await.into_body();
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    let trailers = frame.unwrap().unwrap().into_trailers().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert_eq!(metrics.panics().of(PanicPart::Xds), 1);
    assert_eq!(fleet.open_streams(), 0);
    assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none());
    drop(body);
    assert_eq!(shared.open_streams.load(Ordering::Relaxed), 0);
    let groups: BTreeSet<_> = fleet
        .nodes(None)
        .into_iter()
        .map(|node| node.group.to_string())
        .collect();
    assert_eq!(
        groups,
        ["g".to_owned()].into(),
        "the node was known when its stream panicked"
    );
}
