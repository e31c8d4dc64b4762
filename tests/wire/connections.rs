//! Connections that send nothing, half a request or too much are closed, and no peer exceeds its share.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use chancery::{
    resource::ResourceType::Cluster,
    settings::{ConnectionsLayer, Layer, Span, XdsLayer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    client::{Client, Form},
    config::clusters,
    frames::{Frames, PING},
    server::{PATIENCE, Server},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface and settings of a connection.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

fn impatient() -> Layer {
    let short = Some(Span(Duration::from_millis(300)));
    Layer {
        connections: ConnectionsLayer {
            opening_timeout: short,
            idle_timeout: short,
            request_timeout: Some(Span(Duration::from_millis(600))),
            ..ConnectionsLayer::default()
        },
        ..Layer::default()
    }
}

/// Sends these bytes, and waits until the server has closed the connection.
async fn closed_after(addr: SocketAddr, said: &[u8]) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    match ended.unwrap_or_else(|_| panic!("{addr} keeps a connection that said {said:?}")) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

#[tokio::test]
async fn silent_connections_are_closed_on_every_port() {
    let server = Server::with(impatient()).await;
    for said in [&b""[..], &PREFACE[..10], PREFACE, b"GET / HTTP/1.1\r\n"] {
        closed_after(server.xds(), said).await;
        closed_after(server.admin(), said).await;
    }
    for said in [
        &b""[..],
        b"GET /liv",
        b"GET /livez HTTP/1.1\r\nhost: a\r\n",
        // A kept-alive, idle connection.
        b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n",
        // A body that never ends.
        b"POST /v3/discovery:clusters HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        closed_after(server.http(), said).await;
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let often = Some(Span(Duration::from_millis(100)));
    let server = Server::with(Layer {
        xds: XdsLayer {
            keepalive_interval: often,
            keepalive_timeout: often,
            ..XdsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    let mut gone = Frames::connect(server.xds()).await;
    let heard = gone.until_closed().await;
    assert!(heard.contains(&(PING, 0)), "the server sent a PING: {heard:?}");
    server.await_metric("xds_connections{port=\"xds\"}", 0.0).await;
}

#[tokio::test]
async fn a_request_that_dribbles_in_is_given_up() {
    let server = Server::with(impatient()).await;
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let dribbling = async {
        loop {
            // Each pause is shorter than the idle timeout.
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(b"a: b\r\n").await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, dribbling).await.unwrap();
}

#[tokio::test]
async fn a_peer_has_no_more_than_its_share_of_connections() {
    let server = Server::with(Layer {
        connections: ConnectionsLayer {
            max: Some(8),
            max_per_peer: Some(2),
            max_other: Some(2),
            ..ConnectionsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let _first = served_on_its_own(&server, "first").await;
    let _second = served_on_its_own(&server, "second").await;
    // At once, rather than after the timeout of a silent connection.
    closed_after(server.xds(), b"").await;
    let refused = "xds_connections_refused_total{port=\"xds\",reason=\"peer\"}";
    assert_eq!(server.metrics().await[refused], 1.0);
}

/// A node with its own connection and stream.
async fn served_on_its_own(server: &Server, id: &str) -> Client {
    let mut client = Client::open(server, Form::DeltaAds, &Cluster, id).await;
    client.subscribe(&Cluster, &[]);
    client.accept(&Cluster, &["a"]).await;
    client
}

/// Opens a connection from this address of the loopback, and sends these bytes.
pub(crate) async fn says(addr: SocketAddr, from: u8, said: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, from], 0).into()).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream
}

/// Waits until the server has closed the connection.
pub(crate) async fn closed(mut stream: TcpStream) {
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    match ended.expect("the connection is closed") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

/// Few places and long timeouts, so that only new connections close others.
pub(crate) fn few_places() -> Layer {
    let long = Some(Span(2 * PATIENCE));
    Layer {
        connections: ConnectionsLayer {
            max: Some(6),
            max_per_peer: Some(3),
            max_other: Some(6),
            opening_timeout: long,
            idle_timeout: long,
            request_timeout: long,
            ..ConnectionsLayer::default()
        },
        ..Layer::default()
    }
}

#[tokio::test]
async fn connections_without_a_request_make_room_and_streams_stay() {
    let server = Server::with(few_places()).await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut old = served_on_its_own(&server, "old").await;
    let mut silent = Vec::new();
    // Together with the stream, these connections fill the port.
    for from in 1..=6 {
        // The connections send nothing, half a preface, and a complete opening in turn.
        let said = [&b""[..], &PREFACE[..10], OPENING][usize::from(from % 3)];
        silent.push(says(server.xds(), from, said).await);
    }
    let mut new = served_on_its_own(&server, "new").await;
    // The longest open ones were closed: the first for the last of these, the second for the new stream.
    for displaced in silent.drain(..2) {
        closed(displaced).await;
    }
    let displaced = "xds_connections_dropped_total{port=\"xds\",reason=\"displaced\"}";
    assert_eq!(server.metrics().await[displaced], 2.0);
    server.publish(&clusters(&[("a", 2)])).await;
    old.accept(&Cluster, &["a"]).await;
    new.accept(&Cluster, &["a"]).await;
}

#[tokio::test]
async fn probes_are_let_in_where_others_hold_every_place() {
    let server = Server::with(few_places()).await;
    let mut held = Vec::new();
    for from in 1..=6 {
        // A silent connection, half a request, and one that is kept alive after its answer.
        let said = [&b""[..], b"GET /liv", b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"][usize::from(from % 3)];
        held.push(says(server.http(), from, said).await);
    }
    for _ in 0..12 {
        assert_eq!(server.get("/livez").await.0, 200);
    }
    // A peer's own connections are closed for it first.
    let own = says(server.http(), 9, b"").await;
    let mut further = Vec::new();
    for _ in 0..3 {
        further.push(says(server.http(), 9, b"").await);
    }
    closed(own).await;
}
