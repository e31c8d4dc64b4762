//! The load generator: a fleet of xDS clients over raw HTTP/2 that answer every push as an Envoy would.

mod board;
mod client;
mod parser;
mod plan;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};

pub(crate) use self::{
    board::{Board, Commit, Totals},
    client::learn,
    plan::{Behaviour, NodePlan, TypePlan, Variant},
};
use crate::secure::Door;

/// Windows of a client that reads at once, as large as an Envoy's: no push ever waits for them.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 24 * 1024 * 1024;

/// Windows of a client that never reads: HTTP/2's initial ones.
const UNREAD_WINDOW: u32 = 65_535;

/// Number of connections that are established at the same time.
const AT_ONCE: usize = 128;

/// The bound on the time to establish a connection.
const CONNECT: Duration = Duration::from_secs(20);

/// Nodes with their streams. Dropping it closes all of them.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    board: Arc<Board>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Fleet {
    /// Connects every node of `plans`, with `streams` per connection, and sends their first requests.
    pub(crate) async fn connect(server: &Door, plans: Vec<NodePlan>, streams: usize) -> Result<Self> {
        let mut fleet = Self::default();
        fleet.add(server, plans, streams).await?;
        Ok(fleet)
    }

    /// Adds nodes.
    pub(crate) async fn add(&mut self, server: &Door, plans: Vec<NodePlan>, streams: usize) -> Result<()> {
        self.board.expect_nodes(&plans);
        let mut joining: JoinSet<Result<Vec<AbortHandle>>> = JoinSet::new();
        let mut plans = plans.into_iter().peekable();
        while plans.peek().is_some() {
            let some: Vec<NodePlan> = plans.by_ref().take(streams.max(1)).collect();
            if joining.len() >= AT_ONCE {
                self.joined(joining.join_next().await)?;
            }
            let (server, board) = (server.clone(), Arc::clone(&self.board));
            joining.spawn(async move { open(&server, some, board).await });
        }
        while !joining.is_empty() {
            self.joined(joining.join_next().await)?;
        }
        Ok(())
    }

    fn joined(&mut self, done: Option<Result<Result<Vec<AbortHandle>>, tokio::task::JoinError>>) -> Result<()> {
        if let Some(done) = done {
            self.tasks.extend(done.context("a connection's task ended")??);
        }
        Ok(())
    }

    /// The record of received responses.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }
}

async fn open(server: &Door, plans: Vec<NodePlan>, board: Arc<Board>) -> Result<Vec<AbortHandle>> {
    let unread = plans.iter().any(|plan| plan.behaviour == Behaviour::NeverReads);
    let (requests, connection) = connect(server, unread).await?;
    let mut tasks = vec![connection];
    let address = server.address;
    for plan in plans {
        let (requests, board) = (requests.clone(), Arc::clone(&board));
        let task = async move {
            if let Err(error) = client::run(address, requests, plan, &board).await {
                board.failed(format!("{error:#}"));
            }
        };
        tasks.push(tokio::spawn(task).abort_handle());
    }
    Ok(tasks)
}

pub(crate) async fn connect(server: &Door, unread: bool) -> Result<(SendRequest<Bytes>, AbortHandle)> {
    let connecting = async {
        let stream = server.open().await?;
        let mut builder = h2::client::Builder::new();
        if unread {
            builder.initial_window_size(UNREAD_WINDOW);
        } else {
            builder
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
        }
        let (requests, connection) = builder.handshake::<_, Bytes>(stream).await?;
        let task = tokio::spawn(async move {
            connection.await.ok();
        });
        anyhow::Ok((requests, task.abort_handle()))
    };
    let address = server.address;
    let made = timeout(CONNECT, connecting).await;
    made.with_context(|| format!("{address} did not answer within {CONNECT:?}"))?
        .with_context(|| format!("connecting to {address}"))
}

/// Waits until `done`, or fails with the missing counts.
pub(crate) async fn until(board: &Board, what: &str, patience: Duration, done: impl Fn(&Totals) -> bool) -> Result<()> {
    let reached = timeout(patience, board.wait(&done)).await.is_ok();
    let totals = board.totals();
    if let Some(failure) = board.failures().first() {
        anyhow::bail!("a client failed while waiting for {what}: {failure}");
    }
    ensure!(
        reached,
        "waited {patience:?} for {what}, which did not happen: {totals:?}"
    );
    Ok(())
}
