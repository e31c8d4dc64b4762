//! Input of the xDS port: the body of a call, through the services, the bounded readers and the driver as in production. The
//! first byte selects the call, the second cuts the body; then messages, each after its length, or arbitrary bytes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use chancery::{
    authority::Authority,
    cache::SnapshotCache,
    fleet::Fleet,
    memory::MemoryBudget,
    metrics::ServingMetrics,
    proto::{
        discovery::{DeltaDiscoveryResponse, DiscoveryResponse},
        envoy::service::load_stats::v3::LoadStatsResponse,
    },
    settings::{Layer, Settings},
    snapshot::Snapshot,
    transport::{Xds, XdsSettings},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::{input::Input, world};

/// The kind of a call, and so the decoding of its answers.
#[derive(Clone, Copy)]
enum Form {
    Sotw,
    Delta,
    Load,
}

const CALLS: [(&str, Form); 8] = [
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        Form::Sotw,
    ),
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        Form::Delta,
    ),
    (
        "envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
        Form::Sotw,
    ),
    (
        "envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
        Form::Delta,
    ),
    (
        "envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
        Form::Sotw,
    ),
    (
        "envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
        Form::Sotw,
    ),
    (
        "envoy.service.route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts",
        Form::Delta,
    ),
    (
        "envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        Form::Load,
    ),
];

/// Longer than any call without further requests may take.
const PATIENCE: Duration = Duration::from_secs(20);

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| world::snapshot(255));

/// As in production, except that nobody waits for a load report.
static SETTINGS: LazyLock<XdsSettings> = LazyLock::new(|| {
    let layer = Layer {
        ephemeral: Some(true),
        ..Layer::default()
    };
    let mut settings = Settings::resolve(layer).unwrap().parts.xds;
    settings.lrs.interval = Duration::from_millis(1);
    settings
});

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let (path, form) = CALLS[usize::from(choice % 8)];
    let cut = usize::from(input.byte());
    let body = if choice & 0x80 == 0 {
        framed(input)
    } else {
        Bytes::copy_from_slice(input.rest())
    };
    RUNTIME.with(|runtime| {
        let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, call(path, body, cut)).await });
        let answered = answered.expect("a call whose body has ended comes to its end");
        check(form, &answered);
    });
}

/// Messages with gRPC's prefix.
fn framed(mut input: Input<'_>) -> Bytes {
    let mut body = BytesMut::new();
    while !input.is_empty() {
        let message = input.long_part();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put_slice(message);
    }
    body.freeze()
}

/// The messages of the answer. Each call has a new server, so that no state of an earlier call is left.
async fn call(path: &str, body: Bytes, cut: usize) -> Vec<Bytes> {
    let metrics = Arc::new(ServingMetrics::default());
    let cache = SnapshotCache::default();
    cache.set("demo".into(), Arc::clone(&SNAPSHOT));
    let xds = Xds::new(
        cache,
        Fleet::new(chancery::fleet::Limits::default(), Arc::clone(&metrics)),
        metrics,
        Authority::open(),
        SETTINGS.clone(),
        MemoryBudget::new(None),
        CancellationToken::new(),
    );
    let pieces: Vec<Bytes> = match cut {
        0 => vec![body],
        cut => body.chunks(cut).map(Bytes::copy_from_slice).collect(),
    };
    let frames = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(http_body::Frame::data(piece)));
    let request = Request::post(format!("/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(StreamBody::new(tokio_stream::iter(frames))))
        .unwrap();
    let mut routes = xds.routes().into_axum_router();
    let response: Response<Body> = routes.call(request).await.unwrap();
    assert_eq!(response.status(), 200, "gRPC has statuses of its own");
    let said = response.headers().contains_key("grpc-status");
    let collected = response.into_body().collect().await.expect("the body ends well");
    let ended = collected
        .trailers()
        .is_some_and(|trailers| trailers.contains_key("grpc-status"));
    assert!(said || ended, "a call ends with a status");
    messages(collected.to_bytes())
}

fn messages(mut body: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let prefix = body.split_to(5);
        assert_eq!(prefix[0], 0, "nothing is compressed");
        let len = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        messages.push(body.split_to(len.try_into().unwrap()));
    }
    messages
}

/// Checks the answers of a call: sorted, each name once, and no name both sent and removed.
fn check(form: Form, answers: &[Bytes]) {
    for answer in answers {
        match form {
            Form::Sotw => {
                let response = DiscoveryResponse::decode(answer.clone()).expect("a response");
                assert!(!response.nonce.is_empty() || answers.len() == 1);
            }
            Form::Delta => {
                let response = DeltaDiscoveryResponse::decode(answer.clone()).expect("a response");
                let mut names = BTreeMap::new();
                let there = response.resources.iter().map(|resource| &resource.name);
                for name in there.chain(&response.removed_resources) {
                    assert!(names.insert(name, ()).is_none(), "{name:?} twice in {response:?}");
                }
            }
            Form::Load => {
                LoadStatsResponse::decode(answer.clone()).expect("a response");
            }
        }
    }
}
