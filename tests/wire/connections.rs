//! Connections that say nothing, half of something or too much are closed, and one peer has no more than its share.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use chancery::settings::{ConnectionsLayer, Layer, Span};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::{PATIENCE, Server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

/// Says so much, and waits until the server has closed the connection.
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
        // Kept alive, and idle.
        b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n",
        // The body never ends.
        b"POST /v3/discovery:clusters HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        closed_after(server.http(), said).await;
    }
}

#[tokio::test]
async fn a_request_that_dribbles_in_is_given_up() {
    let server = Server::with(impatient()).await;
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let dribbling = async {
        loop {
            // Never silent for as long as an idle connection may be.
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
    let _first = server.connect().await;
    let _second = server.connect().await;
    // At once, and not after the time that a silent one has.
    closed_after(server.xds(), b"").await;
    // Of the other ports half is for others: this one has the admin API's already.
    closed_after(server.admin(), b"").await;
    let metrics = reqwest::get(format!("http://{}/metrics", server.http())).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let series = "xds_connections_refused_total{port=\"xds\",reason=\"peer\"} 1";
    assert!(metrics.lines().any(|line| line == series), "{metrics}");
}
