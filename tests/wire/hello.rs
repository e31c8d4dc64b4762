//! Connections that open with the wrong protocol (T20): old versions and weak ciphers of TLS, clear text on a TLS port, HTTP/1.1 on
//! a gRPC port. The server closes and counts each.

use std::{net::SocketAddr, path::Path};

use chancery::settings::{Layer, XdsLayer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    authority::Authority,
    server::{PATIENCE, Server},
};

const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

/// ECDHE with AES-GCM, which the server accepts.
const STRONG: &[u16] = &[0xC02B, 0xC02F];
/// No encryption, RC4, 3DES, RSA without forward secrecy, and CBC.
const WEAK: &[u16] = &[0x0001, 0x0005, 0x000A, 0x002F, 0x009C, 0xC009, 0xC013];

/// The first bytes of clients of HTTP/2 and of HTTP/1.1 in the clear.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const HTTP_1: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The numbers of TLS alerts.
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn with_length_16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &with_length_16(content)].concat()
}

/// The first message of a client that supports TLS up to `version`.
fn client_hello(version: u16, ciphers: &[u16], protocol: &str) -> Vec<u8> {
    let ciphers: Vec<u8> = ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
    let protocol = [&[u8::try_from(protocol.len()).unwrap()], protocol.as_bytes()].concat();
    let extensions = [
        // Groups x25519 and P-256, points without compression, ECDSA and RSA with SHA-256, ALPN.
        extension(10, &with_length_16(&[0, 0x1D, 0, 0x17])),
        extension(11, &[1, 0]),
        extension(13, &with_length_16(&[4, 3, 4, 1, 8, 4])),
        extension(16, &with_length_16(&protocol)),
    ];
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &with_length_16(&ciphers),
        &[1, 0],
        &with_length_16(&extensions.concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    [&[22, 3, 1][..], &with_length_16(&message)].concat()
}

/// All bytes from the server in response to these, until it closes the connection.
async fn answer(addr: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    // A reset is also an end: it is sent if bytes were not read.
    let ended = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    ended.expect("the connection is closed").ok();
    heard
}

/// The first message of the server.
async fn begun(addr: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut heard = vec![0; 6];
    let read = timeout(PATIENCE, stream.read_exact(&mut heard)).await;
    read.expect("an answer in time").unwrap();
    heard
}

/// The number of the alert that ends a handshake.
#[track_caller]
fn alert(heard: &[u8]) -> u8 {
    assert!(heard.len() == 7 && heard[0] == 21, "no alert: {heard:?}");
    heard[6]
}

/// A server whose xDS port has TLS without client certificates.
async fn secure(dir: &Path) -> Server {
    Authority::new().server().write(dir, "server");
    let layer = Layer {
        xds: XdsLayer {
            tls_cert: Some(dir.join("server.pem")),
            tls_key: Some(dir.join("server.key")),
            ..XdsLayer::default()
        },
        ..Layer::default()
    };
    Server::with(layer).await
}

#[tokio::test]
async fn old_versions_and_weak_ciphers_of_tls_are_refused_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = secure(dir.path()).await;
    let refused = r#"xds_tls_handshake_failures_total{port="xds",reason="version"}"#;
    for (times, (version, ciphers, expected)) in [
        (TLS_1_0, STRONG, PROTOCOL_VERSION),
        (TLS_1_1, STRONG, PROTOCOL_VERSION),
        (TLS_1_2, WEAK, HANDSHAKE_FAILURE),
    ]
    .into_iter()
    .enumerate()
    {
        let heard = answer(server.xds(), &client_hello(version, ciphers, "h2")).await;
        assert_eq!(alert(&heard), expected, "{version:x} {heard:?}");
        server.await_metric(refused, times as f64 + 1.0).await;
    }
}

#[tokio::test]
async fn strong_ciphers_are_taken_and_another_protocol_inside_them_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = secure(dir.path()).await;
    let hello = |protocol| client_hello(TLS_1_2, STRONG, protocol);
    let heard = begun(server.xds(), &hello("h2")).await;
    assert_eq!((heard[0], heard[5]), (22, 2), "a ServerHello: {heard:?}");
    let heard = answer(server.xds(), &hello("http/1.1")).await;
    assert_eq!(alert(&heard), NO_APPLICATION_PROTOCOL);
    let refused = r#"xds_tls_handshake_failures_total{port="xds",reason="protocol"}"#;
    server.await_metric(refused, 1.0).await;
}

#[tokio::test]
async fn clear_text_on_a_port_with_tls_is_refused_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = secure(dir.path()).await;
    let refused = r#"xds_tls_handshake_failures_total{port="xds",reason="protocol"}"#;
    for (times, said) in [OPENING, HTTP_1].into_iter().enumerate() {
        answer(server.xds(), said).await;
        server.await_metric(refused, times as f64 + 1.0).await;
    }
}

#[tokio::test]
async fn http_1_on_a_grpc_port_is_refused_and_counted() {
    let server = Server::start().await;
    for (port, addr) in [("xds", server.xds()), ("admin", server.admin())] {
        let refused = format!("xds_connections_dropped_total{{port=\"{port}\",reason=\"protocol\"}}");
        for (times, said) in [HTTP_1, b"PRI * HTTP/1.1\r\n\r\n"].into_iter().enumerate() {
            let heard = answer(addr, said).await;
            assert!(!heard.starts_with(b"HTTP/1"), "{heard:?}");
            server.await_metric(&refused, times as f64 + 1.0).await;
        }
    }
}
