//! Input of the HTTP port: polls over REST and the endpoint registry. The first byte selects a request, the second the headers
//! of its body; then lines with the last part of the path and the value of a header, then the body.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use axum::body::Body;
use chancery::{
    admission,
    authority::Authority,
    cache::SnapshotCache,
    connection::Connection,
    fleet::{self, Fleet},
    http::{Guard, Port, Rest, RestSettings, Services},
    memory::MemoryBudget,
    metrics::{Metrics, ServingMetrics},
    protocol::{PollLimits, StreamLimits},
    publisher::{Publisher, PublisherSettings, RemovalGuard},
    readiness::Readiness,
    revision::MemoryStore,
    snapshot::Snapshot,
    source::Registry,
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

use super::{input::Input, world};

/// Longer than any request may take.
const PATIENCE: Duration = Duration::from_secs(20);

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| world::snapshot(255));

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// Method, path, and the header with the fuzzed value.
const REQUESTS: [(Method, &str, &str); 10] = [
    (Method::POST, "/v3/discovery:clusters", "authorization"),
    (Method::POST, "/v3/discovery:listeners", "host"),
    (Method::POST, "/v3/discovery:secrets", "origin"),
    (Method::POST, "/v3/discovery:routes", "content-encoding"),
    (Method::POST, "/endpoints", "authorization"),
    (Method::PUT, "/endpoints/", "host"),
    (Method::DELETE, "/endpoints/", "origin"),
    (Method::GET, "/endpoints/", "sec-fetch-site"),
    (Method::GET, "/endpoints", "content-length"),
    (Method::POST, "/v3/discovery:", "content-type"),
];

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (method, path, named) = input.pick(&REQUESTS).clone();
    let content_type = *input.pick(&["application/json", "application/json; charset=utf-8", "text/plain", ""]);
    let (last, value, body) = (input.part(), input.part(), input.rest());
    let path = if path.ends_with(['/', ':']) {
        format!("{path}{}", String::from_utf8_lossy(last))
    } else {
        path.to_owned()
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost");
    if !content_type.is_empty() {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    if let Ok(value) = HeaderValue::from_bytes(value)
        && !value.is_empty()
    {
        request = request.header(named, value);
    }
    let connection = Connection {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        certificate: None,
        seat: Arc::default(),
    };
    // An invalid path or value cannot be sent.
    let Ok(request) = request.extension(connection).body(Body::from(body.to_vec())) else {
        return;
    };
    RUNTIME.with(|runtime| {
        let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, call(request)).await });
        let (status, length) = answered.expect("a request is answered");
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "nobody can make it fail");
        assert!(length < 1 << 20, "an answer of {length} bytes");
    });
}

/// Sends a request to a new server, so that no state of an earlier request is left.
async fn call(request: Request<Body>) -> (StatusCode, usize) {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let ended = stop.clone().drop_guard();
    let cache = Arc::new(SnapshotCache::default());
    let settings = PublisherSettings {
        limits: admission::Limits::default(),
        deny_warnings: false,
        removals: RemovalGuard::default(),
    };
    let store = Arc::new(MemoryStore::new(NonZeroUsize::MIN));
    let publisher = Arc::new(Publisher::open(store, Arc::clone(&cache), settings).unwrap());
    cache.set("demo".into(), Arc::clone(&SNAPSHOT));
    let served = Arc::new(ServingMetrics::default());
    let fleet = Fleet::new(fleet::Limits::default(), Arc::clone(&served));
    let limits = RestSettings {
        grouping: chancery::node::Grouping::default(),
        limits: StreamLimits::default(),
        polls: PollLimits::default(),
        poll_timeout: Duration::from_secs(60),
    };
    let rest = Rest::new(
        SnapshotCache::clone(&cache),
        fleet,
        served,
        Authority::open(),
        limits,
        MemoryBudget::new(None),
        tracker.clone(),
    );
    let (registry, task) = Registry::new(publisher, tracker.clone(), stop.clone()).unwrap();
    let running = tracker.spawn(task.without_restoring().run());
    let bound = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let metrics = Arc::new(Metrics::new("0", SystemTime::UNIX_EPOCH));
    let port = Port::new(Readiness::default(), metrics, Guard::new(bound, &[]), tracker);
    port.open(Services {
        rest: Some(rest),
        registry: Some(registry),
        authority: Authority::open(),
    });
    let mut routes = port.all_routes();
    let response = routes.call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    drop(ended);
    running.await.unwrap();
    (status, body.to_bytes().len())
}
