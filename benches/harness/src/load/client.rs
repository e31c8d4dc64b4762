//! One node's stream: subscribes, reads, answers.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Method, Request};
use prost::Message as _;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::{
    Behaviour, Board, NodePlan, TypePlan, Variant,
    parser::{Parser, Received},
};
use crate::{
    secure::Door,
    wire::{DeltaDiscoveryResponse, DiscoveryResponse},
};

/// The bound on the time until a server begins its response, which needs something to send.
const ANSWER: Duration = Duration::from_secs(300);

/// The message of a NACK.
const REFUSAL: &str = "Error adding/updating cluster(s): refused by the benchmark";

/// A node's progress with one type.
#[derive(Debug, Default)]
struct Progress {
    asked: bool,
    received: usize,
    /// The newest received commit.
    commit: u64,
    /// The version of the last response that the node did not refuse.
    version: Vec<u8>,
    nonce: Vec<u8>,
    refused: Option<Vec<u8>>,
}

struct Client<'a> {
    plan: &'a NodePlan,
    requests: SendStream<Bytes>,
    progress: Vec<Progress>,
    board: &'a Board,
    synced: bool,
    /// True until the server has received the node's identity.
    unnamed: bool,
}

pub(super) async fn run(
    server: SocketAddr,
    connection: SendRequest<Bytes>,
    plan: NodePlan,
    board: &Board,
) -> Result<()> {
    let (response, requests) = begin(server, connection, plan.variant).await?;
    let mut client = Client {
        plan: &plan,
        requests,
        progress: plan.types.iter().map(|_| Progress::default()).collect(),
        board,
        synced: false,
        unnamed: true,
    };
    client.ask(None)?;
    let mut body = accepted(response).await?;
    if plan.behaviour == Behaviour::NeverReads {
        // The stream stays open, with a closed window.
        std::future::pending::<()>().await;
    }
    client.read(&mut body).await?;
    board.ended();
    if plan.behaviour == Behaviour::Healthy {
        let trailers = timeout(Duration::from_secs(5), body.trailers()).await;
        bail!("the server ended the stream of {}: {trailers:?}", plan.id);
    }
    Ok(())
}

async fn begin(
    server: SocketAddr,
    connection: SendRequest<Bytes>,
    variant: Variant,
) -> Result<(ResponseFuture, SendStream<Bytes>)> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{server}{}", variant.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let mut connection = connection.ready().await.context("the connection is closed")?;
    Ok(connection.send_request(request, false)?)
}

async fn accepted(response: ResponseFuture) -> Result<RecvStream> {
    let response = timeout(ANSWER, response).await.context("no answer")??;
    ensure!(response.status() == 200, "refused with HTTP {}", response.status());
    if let Some(status) = response.headers().get("grpc-status") {
        bail!(
            "refused with gRPC status {status:?}: {:?}",
            response.headers().get("grpc-message")
        );
    }
    Ok(response.into_body())
}

impl Client<'_> {
    async fn read(&mut self, body: &mut RecvStream) -> Result<()> {
        let mut parser = Parser::default();
        let mut chatter = self.chatter();
        loop {
            let data = tokio::select! {
                data = body.data() => data,
                () = tick(&mut chatter) => {
                    self.chat()?;
                    continue;
                }
            };
            let Some(chunk) = data else { return Ok(()) };
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            let mut outcome = Ok(());
            parser.feed(&chunk, |message| {
                if outcome.is_ok() {
                    outcome = self.on_message(message);
                }
            })?;
            outcome?;
        }
    }

    fn on_message(&mut self, message: &Received) -> Result<()> {
        let of_type = |plan: &TypePlan| plan.type_url.as_bytes() == message.type_url;
        let index = self.plan.types.iter().position(of_type);
        let index = index.with_context(|| {
            let url = String::from_utf8_lossy(&message.type_url);
            format!("a response of type {url:?}, which nobody asked for")
        })?;
        let plan = &self.plan.types[index];
        let state = &mut self.progress[index];
        let refuse = self.plan.behaviour == Behaviour::Nacks;
        let resent = refuse && state.refused.as_deref() == Some(&*message.version);
        let mut step = None;
        if let Some(commit) = number(&message.version)
            && self.plan.counts()
            && commit > state.commit
        {
            step = Some((state.commit, commit));
            state.commit = commit;
        }
        state.received += message.resources;
        state.nonce.clone_from(&message.nonce);
        if refuse {
            state.refused = Some(message.version.clone());
        } else {
            state.version.clone_from(&message.version);
        }
        let answer = plan.answer(
            self.plan.variant,
            &state.version,
            &message.nonce,
            refuse.then_some(REFUSAL),
        );
        self.board.received(message, resent, step);
        self.requests.send_data(answer, false)?;
        if !self.synced {
            self.ask(Some(plan.type_url))?;
            let complete = |(plan, state): (&TypePlan, &Progress)| state.asked && state.received >= plan.expected;
            self.synced = self.plan.types.iter().zip(&self.progress).all(complete);
            if self.synced && self.plan.counts() {
                self.board.synced();
            }
        }
        Ok(())
    }

    /// Sends the first requests that are due: those that wait for nothing, or for `received`.
    fn ask(&mut self, received: Option<&str>) -> Result<()> {
        for (plan, state) in self.plan.types.iter().zip(&mut self.progress) {
            if state.asked || plan.after != received {
                continue;
            }
            state.asked = true;
            // Like an Envoy with `set_node_on_first_message_only`.
            let node = std::mem::take(&mut self.unnamed).then(|| self.plan.node());
            self.requests
                .send_data(plan.opening(self.plan.variant, node.as_ref()), false)?;
        }
        Ok(())
    }

    fn chatter(&self) -> Option<Interval> {
        let Behaviour::Chatters(rate) = self.plan.behaviour else {
            return None;
        };
        let mut interval = interval(Duration::from_secs(1) / rate.max(1));
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Some(interval)
    }

    /// Repeats the last answer, as a request that changes nothing.
    fn chat(&mut self) -> Result<()> {
        let (plan, state) = (&self.plan.types[0], &self.progress[0]);
        if !state.nonce.is_empty() {
            let again = plan.answer(self.plan.variant, &state.version, &state.nonce, None);
            self.requests.send_data(again, false)?;
        }
        Ok(())
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// The commit's number in a version.
fn number(version: &[u8]) -> Option<u64> {
    std::str::from_utf8(version).ok()?.parse().ok()
}

/// Name → version of every resource, and type → version, as a client of this kind receives them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    pub(crate) resources: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) versions: BTreeMap<String, String>,
}

/// Connects one node, decodes its responses until it has received all expected resources, and disconnects.
pub(crate) async fn learn(server: &Door, plan: &NodePlan, patience: Duration) -> Result<Learned> {
    timeout(patience, learning(server, plan))
        .await
        .with_context(|| format!("{} was not sent all it asked for within {patience:?}", plan.id))?
}

async fn learning(server: &Door, plan: &NodePlan) -> Result<Learned> {
    let (connection, task) = super::connect(server, false).await?;
    let (response, requests) = begin(server.address, connection, plan.variant).await?;
    let board = Board::default();
    let mut client = Client {
        plan,
        requests,
        progress: plan.types.iter().map(|_| Progress::default()).collect(),
        board: &board,
        synced: false,
        unnamed: true,
    };
    client.ask(None)?;
    let mut body = accepted(response).await?;
    let (mut parser, mut learned, mut buffer) = (Parser::default(), Learned::default(), Vec::new());
    while !client.synced {
        let chunk = body.data().await.context("the stream ended")??;
        body.flow_control().release_capacity(chunk.len())?;
        let mut messages = Vec::new();
        parser.feed(&chunk, |message| messages.push(message.clone()))?;
        buffer.extend_from_slice(&chunk);
        for message in messages {
            let whole: Vec<u8> = buffer.drain(..5 + message.bytes).collect();
            learned.take(plan.variant, &whole[5..])?;
            client.on_message(&message)?;
        }
    }
    task.abort();
    Ok(learned)
}

impl Learned {
    fn take(&mut self, variant: Variant, message: &[u8]) -> Result<()> {
        match variant {
            Variant::Sotw => {
                let response = DiscoveryResponse::decode(message)?;
                self.versions.insert(response.type_url, response.version_info);
            }
            Variant::Delta => {
                let response = DeltaDiscoveryResponse::decode(message)?;
                let named = response.resources.into_iter();
                self.resources
                    .entry(response.type_url)
                    .or_default()
                    .extend(named.map(|resource| (resource.name, resource.version)));
            }
        }
        Ok(())
    }
}
