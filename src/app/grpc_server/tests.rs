//! A handler that panics ends with INTERNAL and is counted, and its connection goes on.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::routing::post;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http_body::Frame;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{super::listener, *};
use crate::{
    app::listener::{Crowd, Patience},
    connection::Http2Limits,
    metrics::{ConnectionMetrics, PanicMetrics, PanicPart, PortLabel},
};

/// A body that sends one part and then panics.
struct Panics(Option<Bytes>);

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let said = self.0.take().expect("there is more to say");
        Poll::Ready(Some(Ok(Frame::data(said))))
    }
}

fn dies() {
    panic!("of nothing in particular");
}

const LIMITS: Http2Limits = Http2Limits {
    streams: 10,
    stream_window: 65_535,
    connection_window: 65_535,
    send_buffer: 65_535,
    header_bytes: 16 << 10,
    reset_streams: 20,
    failed_streams: 20,
    keepalive_interval: Duration::from_secs(30),
    keepalive_timeout: Duration::from_secs(30),
    send_timeout: None,
};

/// Starts a server of these routes and connects to it.
async fn connection(vital: &Vital, routes: Router, stop: CancellationToken) -> SendRequest<Bytes> {
    let metrics = ConnectionMetrics::default();
    let patience = Patience {
        opening: Duration::from_secs(30),
        opening_bytes: 1,
        idle: None,
        unread: Duration::from_secs(30),
    };
    let listening = listener::Terms {
        port: PortLabel::Admin,
        tls: None,
        crowd: Crowd::new(10, 10),
        patience,
        metrics: metrics.clone(),
    };
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), listening).unwrap();
    let address = bound.local_addr().unwrap();
    let terms = Terms {
        port: PortLabel::Admin,
        limits: LIMITS,
        metrics,
        stop,
    };
    drop(spawn(vital, bound, routes, terms));
    let tcp = TcpStream::connect(address).await.unwrap();
    let (send, connection) = client::handshake(tcp).await.unwrap();
    drop(vital.tracker.spawn(async move { connection.await.ok() }));
    send
}

/// The status of a call, from its headers or trailers, and the body before it.
async fn call(send: &SendRequest<Bytes>, path: &str) -> (Option<String>, Vec<u8>) {
    let mut send = send.clone().ready().await.unwrap();
    let request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    let status = |headers: &http::HeaderMap| {
        let status = headers.get("grpc-status");
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    let of_headers = status(response.headers());
    let mut body = response.into_body();
    let mut said = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        said.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.unwrap();
    (of_headers.or_else(|| trailers.as_ref().and_then(status)), said)
}

#[tokio::test]
async fn panics_end_their_call_with_internal_and_leave_the_others_alone() {
    let vital = Vital {
        tracker: TaskTracker::new(),
        panics: PanicMetrics::default(),
        failed: CancellationToken::new(),
    };
    let routes = Router::new()
        .route("/handler", post(async || dies()))
        .route(
            "/body",
            post(async || Body::new(Panics(Some(Bytes::from_static(b"some"))))),
        )
        .route("/sound", post(async || "sound"));
    let stop = CancellationToken::new();
    let send = connection(&vital, routes, stop.clone()).await;
    let internal = Some("13".to_owned());
    assert_eq!(call(&send, "/handler").await, (internal.clone(), Vec::new()));
    assert_eq!(call(&send, "/body").await, (internal, b"some".to_vec()));
    assert_eq!(call(&send, "/sound").await, (None, b"sound".to_vec()));
    assert_eq!(vital.panics.of(PanicPart::Admin), 2);
    assert!(!vital.failed.is_cancelled());
    stop.cancel();
}

#[tokio::test]
async fn client_that_takes_in_a_large_response_slowly_is_seen_to_take_it_in() {
    let vital = Vital {
        tracker: TaskTracker::new(),
        panics: PanicMetrics::default(),
        failed: CancellationToken::new(),
    };
    let terms = Terms {
        port: PortLabel::Xds,
        limits: LIMITS,
        metrics: ConnectionMetrics::default(),
        stop: CancellationToken::new(),
    };
    let open = Open::spawn(&vital, &terms);
    let at = |second: u64| std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    open.sweep(at(100), Duration::MAX);
    let connection = Connection {
        peer: ([127, 0, 0, 1], 1).into(),
        certificate: None,
        seat: Arc::default(),
    };
    let response = open.begin("/s/M", &connection);
    assert!(connection.seat.is_busy());
    let whole: Vec<u8> = (0..3_000_000_u32).map(|byte| byte as u8).collect();
    let answering = std::future::ready(Ok(Response::new(Body::from(whole.clone()))));
    let mut body = Watched::answer(answering, Arc::clone(&response)).await.into_body();
    let mut read = Vec::new();
    for second in 1.. {
        assert!(!http_body::Body::is_end_stream(&body));
        let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await;
        let Some(frame) = frame else { break };
        open.sweep(at(100 + second), Duration::MAX);
        assert_eq!(
            response.pace().unread_for(),
            Some(Duration::from_secs(1)),
            "since this part alone"
        );
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        if read.len() == whole.len() {
            break;
        }
        assert!(read.len() <= usize::try_from(second).unwrap() << 20);
    }
    assert!(read == whole);
    drop((body, response));
    assert!(!connection.seat.is_busy());
}
