//! Bounds of resources that all clients share: names, memory, the wait for clients that do not read, the age of streams.

use std::time::Duration;

use bytes::Bytes;
use chancery::{
    proto::{admin::server_health::State, envoy::service::load_stats::v3::LoadStatsRequest},
    resource::ResourceType::{Cluster, Endpoint, Listener},
    settings::{ByteSize, ConnectionsLayer, Layer, LimitsLayer, Share, Span, XdsLayer},
};
use h2::{
    RecvStream, SendStream,
    client::{self, SendRequest},
};
use http::{Method, Request};
use prost::Message as _;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::{
    client::{Ask, Client, Form, RawCodec, call, node},
    config::clusters,
    server::{PATIENCE, Server},
};

fn xds(xds: XdsLayer) -> Layer {
    Layer {
        xds,
        ..Layer::default()
    }
}

fn names(of: usize, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("name-{of}-{number}")).collect()
}

fn ask(names: &[String]) -> Ask {
    Ask::of(&Endpoint).names(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn is_too_much(end: &Status, setting: &str) {
    assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
    assert!(end.message().contains(setting), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_all_streams_together_have_a_bound() {
    let server = Server::with(Layer {
        limits: LimitsLayer {
            max_total_subscribed_bytes: Some(ByteSize(4 << 20)),
            max_peer_share: Some(Share(0.5)),
            ..LimitsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut clients = Vec::new();
    let mut refused = 0;
    for (number, form) in [Form::SotwAds, Form::DeltaAds].into_iter().cycle().take(8).enumerate() {
        let mut client = Client::open(&server, form, &Endpoint, &format!("n{number}")).await;
        client.send(ask(&names(number, 9000)).node(node(&format!("n{number}"))));
        client.subscribe(&Cluster, &[]);
        clients.push(client);
    }
    let mut kept = Vec::new();
    for mut client in clients {
        match client.next_or_end().await {
            Ok(()) => kept.push(client),
            Err(end) => {
                is_too_much(&end, "limits.max_total_subscribed_bytes");
                refused += 1;
            }
        }
    }
    assert!(
        refused >= 4 && !kept.is_empty(),
        "{refused} refused, {} kept",
        kept.len()
    );
    let series = "xds_requests_refused_total{reason=\"subscribed\"}";
    server.await_metric(series, f64::from(refused)).await;
    let held = server.metrics().await["xds_subscribed_bytes"];
    assert!(held > 0.0 && held <= f64::from(2 << 20), "{held} bytes");
    drop(kept);
    server.await_metric("xds_subscribed_bytes", 0.0).await;
    // Released bytes are available to the next client.
    let mut again = Client::open(&server, Form::SotwAds, &Cluster, "again").await;
    again.send(ask(&names(100, 9000)).node(node("again")));
    again.subscribe(&Cluster, &[]);
    again.expect(&Cluster, &["a"]).await;
}

#[tokio::test]
async fn above_the_memory_budget_newcomers_are_refused_and_others_go_on() {
    let budget = chancery::memory::resident().unwrap() + (256 << 20);
    let server = Server::with(Layer {
        limits: LimitsLayer {
            memory: Some(ByteSize(usize::try_from(budget).unwrap())),
            ..LimitsLayer::default()
        },
        rest: chancery::settings::RestLayer {
            enabled: Some(true),
            ..Default::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut open = Client::open(&server, Form::SotwAds, &Cluster, "open").await;
    open.subscribe(&Cluster, &[]);
    open.accept(&Cluster, &["a"]).await;
    assert_eq!(server.get("/readyz").await.0, 200);

    let ballast = std::hint::black_box(vec![7_u8; 512 << 20]);
    server.await_ready(503).await;
    let (_, text) = server.get("/readyz").await;
    assert!(text.contains("limits.memory"), "{text}");
    for form in Form::ALL {
        let first = Ask::of(&Cluster).node(node("late")).encode(form);
        let begun = call(server.connect().await, &form.path(&Cluster), tokio_stream::once(first)).await;
        is_too_much(&begun.map(drop).unwrap_err(), "limits.memory");
    }
    let refused = "xds_streams_refused_total{reason=\"memory\"}";
    assert!(server.metrics().await[refused] >= 4.0);
    let poll = r#"{"node": {"id": "late", "cluster": "demo"}}"#;
    let (status, text) = server.post("/v3/discovery:clusters", poll).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("limits.memory"), "{text}");
    // Open streams, the admin API and the probes go on.
    server.publish(&clusters(&[("a", 2)])).await;
    open.accept(&Cluster, &["a"]).await;
    assert_eq!(server.get("/livez").await.0, 200);
    let health = server.health().await;
    assert!(
        health.state() == State::Degraded && health.reasons[0].contains("memory"),
        "{health:?}"
    );

    drop(ballast);
    server.await_ready(200).await;
    let mut next = Client::open(&server, Form::SotwAds, &Cluster, "next").await;
    next.subscribe(&Cluster, &[]);
    next.accept(&Cluster, &["a"]).await;
    assert_eq!(server.health().await.state(), State::Healthy);
}

/// An HTTP/2 stream whose window the test opens.
struct RawStream {
    body: JoinSet<Result<RecvStream, h2::Error>>,
    requests: SendStream<Bytes>,
    /// Kept, since the stream would end with these.
    _connection: (SendRequest<Bytes>, JoinSet<()>),
}

impl RawStream {
    /// Opens a stream of a client that answers pings.
    async fn open(server: &Server, id: &str, window: u32) -> Self {
        let tcp = TcpStream::connect(server.xds()).await.unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window);
        let (mut send, connection) = builder.handshake::<_, Bytes>(tcp).await.unwrap();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://localhost{}", Form::SotwAds.path(&Cluster)))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { connection.await.unwrap_or_default() });
        let (response, requests) = send.send_request(request, false).unwrap();
        let mut body = JoinSet::new();
        body.spawn(async move { Ok(response.await?.into_body()) });
        let mut stream = Self {
            body,
            requests,
            _connection: (send, driving),
        };
        stream.send(Ask::of(&Cluster).node(node(id)));
        stream
    }

    fn send(&mut self, ask: Ask) {
        let message = ask.encode(Form::SotwAds);
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        let framed = [&[0][..], &len, &message].concat();
        self.requests.send_data(framed.into(), false).unwrap();
    }

    async fn body(&mut self) -> RecvStream {
        let body = tokio::time::timeout(PATIENCE, self.body.join_next()).await;
        body.expect("headers in time").unwrap().unwrap().unwrap()
    }
}

#[tokio::test]
async fn stream_whose_client_reads_nothing_is_ended_and_others_on_its_connection_go_on() {
    let server = Server::with(xds(XdsLayer {
        send_timeout: Some(Span(Duration::from_millis(300))),
        ..XdsLayer::default()
    }))
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut reader = Client::open(&server, Form::SotwAds, &Cluster, "reader").await;
    reader.subscribe(&Cluster, &[]);
    reader.accept(&Cluster, &["a"]).await;
    let mut stuck = RawStream::open(&server, "stuck", 0).await;
    let mut body = stuck.body().await;
    let end = tokio::time::timeout(PATIENCE, body.data())
        .await
        .expect("an end in time");
    let error = end.expect("no end without an error").expect_err("the stream is reset");
    assert!(error.is_reset(), "{error:?}");
    let dropped = "xds_unread_streams_dropped_total{port=\"xds\"}";
    server.await_metric(dropped, 1.0).await;
    server.await_metric("xds_streams{protocol=\"sotw\"}", 1.0).await;
    server.publish(&clusters(&[("a", 2)])).await;
    reader.accept(&Cluster, &["a"]).await;
    assert_eq!(server.metrics().await[dropped], 1.0);
}

#[tokio::test]
async fn stream_whose_client_stops_reading_within_a_response_is_ended() {
    let server = Server::with(xds(XdsLayer {
        send_timeout: Some(Span(Duration::from_millis(300))),
        ..XdsLayer::default()
    }))
    .await;
    let names: Vec<String> = (0..300)
        .map(|number| format!("{number}-{}", "x".repeat(1900)))
        .collect();
    let large = clusters(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
    server.publish(&large).await;
    let mut stuck = RawStream::open(&server, "stuck", 65_535).await;
    let mut body = stuck.body().await;
    // The response fills the window, which is not opened further.
    let end = async {
        while let Some(data) = body.data().await {
            data?;
        }
        Ok(())
    };
    let end: Result<(), h2::Error> = tokio::time::timeout(PATIENCE, end).await.expect("an end in time");
    assert!(end.expect_err("the stream is reset").is_reset());
    let dropped = "xds_unread_streams_dropped_total{port=\"xds\"}";
    server.await_metric(dropped, 1.0).await;
}

#[tokio::test]
async fn stream_whose_client_reads_nothing_is_shown_while_it_is_stuck() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let _stuck = RawStream::open(&server, "stuck", 0).await;
    server.await_metric("xds_unread_streams{port=\"xds\"}", 1.0).await;
    let nodes = server.nodes().await;
    let unread = nodes[0].streams[0].unread_since;
    assert!(unread.is_some(), "{:?}", nodes[0]);
}

#[tokio::test]
async fn streams_that_are_old_enough_end_and_their_clients_lose_nothing() {
    let server = Server::with(xds(XdsLayer {
        max_stream_age: Some(Span(Duration::from_millis(500))),
        ..XdsLayer::default()
    }))
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let held = client.expect(&Cluster, &["a"]).await;
        client.ack(&held);
        let end = client.end().await.unwrap_err();
        assert_eq!(end.code(), Code::Unavailable, "{end:?}");
        assert!(end.message().contains("age"), "{end:?}");
        let mut next = Client::open(&server, form, &Cluster, "n").await;
        next.subscribe(&Cluster, &[]);
        let again = next.expect(&Cluster, &["a"]).await;
        assert_eq!(again.version, held.version);
    }
}

#[tokio::test]
async fn streams_of_load_reports_that_are_old_enough_end_too() {
    let server = Server::with(xds(XdsLayer {
        max_stream_age: Some(Span(Duration::from_millis(300))),
        ..XdsLayer::default()
    }))
    .await;
    let path = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
    let first = LoadStatsRequest {
        node: Some(node("n")),
        ..LoadStatsRequest::default()
    };
    let messages = tokio_stream::once(Bytes::from(first.encode_to_vec())).chain(tokio_stream::pending());
    let mut stream = call(server.connect().await, path, messages).await.unwrap();
    let end = loop {
        match tokio::time::timeout(PATIENCE, stream.message())
            .await
            .expect("an end in time")
        {
            Ok(message) => assert!(message.is_some(), "the stream ends with an error"),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert!(end.message().contains("age"), "{end:?}");
}

#[tokio::test]
async fn names_that_a_fetch_asks_for_count_as_those_of_a_stream() {
    let server = Server::with(Layer {
        limits: LimitsLayer {
            max_total_subscribed_bytes: Some(ByteSize(1 << 20)),
            ..LimitsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let path = "/envoy.service.endpoint.v3.EndpointDiscoveryService/FetchEndpoints";
    // The second request is processed apart from other streams.
    for count in [9000, 20_000] {
        let message = ask(&names(1, count)).node(node("n")).encode(Form::SotwAds);
        let answer = call(server.connect().await, path, tokio_stream::once(message)).await;
        is_too_much(&answer.map(drop).unwrap_err(), "limits.max_total_subscribed_bytes");
    }
    server.await_metric("xds_subscribed_bytes", 0.0).await;
}

#[tokio::test]
async fn types_and_lengths_of_names_have_the_limits_that_are_set() {
    let server = Server::with(Layer {
        limits: LimitsLayer {
            max_types: Some(2),
            max_name_bytes: Some(ByteSize(70)),
            ..LimitsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    let mut many = Client::open(&server, Form::SotwAds, &Cluster, "n").await;
    for kind in [Cluster, Endpoint, Listener] {
        many.subscribe(&kind, &[]);
    }
    let end = many.end().await.unwrap_err();
    assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
    assert!(end.message().contains("more than 2 types"), "{end:?}");
    let mut long = Client::open(&server, Form::SotwPerType, &Cluster, "n").await;
    long.subscribe(&Cluster, &[&"x".repeat(71)]);
    let end = long.end().await.unwrap_err();
    assert!(end.message().contains("71 bytes long, more than 70"), "{end:?}");
}

/// The result of a fetch with a header of this length.
async fn with_header(server: &Server, bytes: usize) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(server.connect().await);
    grpc.ready().await.unwrap();
    let first = Ask::of(&Cluster).node(node("n")).encode(Form::SotwPerType);
    let mut request = tonic::Request::new(tokio_stream::once(first).chain(tokio_stream::pending()));
    let value = "x".repeat(bytes).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let path = http::uri::PathAndQuery::from_static("/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters");
    let mut stream = grpc.streaming(request, path, RawCodec).await?.into_inner();
    let said = tokio::time::timeout(PATIENCE, stream.message()).await;
    said.expect("an answer in time")?
        .map(drop)
        .ok_or_else(|| Status::ok("no answer"))
}

#[tokio::test]
async fn headers_have_the_length_that_is_set() {
    let short = Server::serving(&clusters(&[("a", 1)])).await;
    with_header(&short, 12 << 10).await.unwrap();
    with_header(&short, 20 << 10).await.unwrap_err();
    let long = Server::with(Layer {
        connections: ConnectionsLayer {
            max_header_bytes: Some(ByteSize(32 << 10)),
            ..ConnectionsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    long.publish(&clusters(&[("a", 1)])).await;
    with_header(&long, 20 << 10).await.unwrap();
}
