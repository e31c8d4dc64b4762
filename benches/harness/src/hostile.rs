//! Hostile traffic on an open port: strangers without certificates, bytes that are not TLS, nodes that claim another identity,
//! streams that are opened and reset, announced messages that never come.
//!
//! Each second has the same number of everything, so that any leak adds up.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    load::{self, Variant},
    secure::{Door, IDENTITY, Secure},
    wire::{DeltaDiscoveryRequest, Node, type_url},
};

/// Number of each kind per second.
const STRANGERS: usize = 10;
const DENIED: usize = 10;
const RESETS: usize = 200;
const ANNOUNCED: usize = 20;

/// Longer than the server tolerates any of them.
const PATIENCE: Duration = Duration::from_secs(15);

/// The rules for nodes of `group`: a file in the folder of the certificates.
pub(crate) fn rules(secure: &Secure, group: &str) -> Result<PathBuf> {
    let path = secure.path("config.json");
    let rules = serde_json::json!({ "access": { "nodes": [
        { "identity": IDENTITY, "node_id": format!("{group}-*"), "groups": [group], "secrets": ["own-*"] },
    ] } });
    fs::write(&path, rules.to_string())?;
    Ok(path)
}

/// The traffic of one second.
pub(crate) async fn second(door: &Door, group: &str) -> Result<()> {
    let mut all: JoinSet<Result<()>> = JoinSet::new();
    for number in 0..STRANGERS {
        let door = door.clone();
        all.spawn(async move { stranger(&door, number).await });
    }
    for number in 0..DENIED {
        let (door, group) = (door.clone(), group.to_owned());
        all.spawn(async move { denied(&door, &group, number).await });
    }
    let (resetting, announcing) = (door.clone(), door.clone());
    all.spawn(async move { resets(&resetting).await });
    all.spawn(async move { announced(&announcing).await });
    let done = timeout(PATIENCE, async {
        while let Some(done) = all.join_next().await {
            done??;
        }
        anyhow::Ok(())
    });
    done.await.context("a stranger is still there")?
}

/// Connects without a certificate, or without TLS. The server must refuse.
async fn stranger(door: &Door, number: usize) -> Result<()> {
    let mut byte = [0];
    if number.is_multiple_of(2) {
        let mut tcp = TcpStream::connect(door.address).await?;
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        // An alert, then the end.
        while tcp.read(&mut byte).await.is_ok_and(|read| read > 0) {}
        return Ok(());
    }
    // In TLS 1.3 the client sees a refusal only when it reads.
    if let Ok(mut stream) = door.open_as_stranger().await {
        let read = stream.read(&mut byte).await;
        ensure!(!read.is_ok_and(|read| read > 0), "a stranger was answered");
    }
    Ok(())
}

/// A node with the fleet's identity that claims another id, or another group. The server must refuse it.
async fn denied(door: &Door, group: &str, number: usize) -> Result<()> {
    let (requests, connection) = load::connect(door, false).await?;
    let mut requests = requests.ready().await?;
    let (response, mut stream) = requests.send_request(request(door)?, false)?;
    let (id, cluster) = if number.is_multiple_of(2) {
        (format!("another-{number}"), group.to_owned())
    } else {
        (format!("{group}-{number}"), "another".to_owned())
    };
    let first = DeltaDiscoveryRequest {
        node: Some(Node {
            id,
            cluster,
            ..Node::default()
        }),
        type_url: type_url::CLUSTER.to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    stream.send_data(framed(&first.encode_to_vec()), false)?;
    let response = response.await?;
    let mut status = response.headers().get("grpc-status").cloned();
    if status.is_none() {
        let mut body = response.into_body();
        while let Some(chunk) = body.data().await {
            body.flow_control().release_capacity(chunk?.len())?;
        }
        status = body
            .trailers()
            .await?
            .and_then(|trailers| trailers.get("grpc-status").cloned());
    }
    connection.abort();
    ensure!(
        status.as_ref().is_some_and(|status| status == "7"),
        "the node was not denied: {status:?}"
    );
    Ok(())
}

/// Opens streams and resets them at once.
async fn resets(door: &Door) -> Result<()> {
    let (mut requests, connection) = load::connect(door, false).await?;
    for _ in 0..RESETS {
        // The server may close the connection.
        let Ok(mut ready) = requests.ready().await else { break };
        let Ok((_, mut stream)) = ready.send_request(request(door)?, false) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
        requests = ready;
    }
    connection.abort();
    Ok(())
}

/// Announces messages that never come.
async fn announced(door: &Door) -> Result<()> {
    let (mut requests, connection) = load::connect(door, false).await?;
    let mut held = Vec::new();
    for _ in 0..ANNOUNCED {
        let Ok(mut ready) = requests.ready().await else { break };
        let Ok((response, mut stream)) = ready.send_request(request(door)?, false) else {
            break;
        };
        stream.send_data(Bytes::from_static(b"\0\0\x40\0\0begun"), false)?;
        held.push((response, stream));
        requests = ready;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    connection.abort();
    Ok(())
}

fn request(door: &Door) -> Result<Request<()>> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{}", door.address, Variant::Delta.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    Ok(request.body(())?)
}

fn framed(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &len.to_be_bytes()[..], message].concat().into()
}
