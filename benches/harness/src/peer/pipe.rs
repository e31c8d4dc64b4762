//! Publishes to our own peers: over their standard input, with answers on their standard output.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
};

use super::Publish;
use crate::{
    content::Item,
    wire::{Any, Command, Reply, Resource, op},
};

pub(super) struct Pipe {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pipe {
    pub(super) const fn new(input: ChildStdin, output: BufReader<ChildStdout>) -> Self {
        Self { input, output }
    }

    /// Returns the time within the server's own call.
    pub(super) async fn publish(&mut self, publish: &Publish<'_>) -> Result<Duration> {
        let resource = |item: &Item| Resource {
            name: item.name.clone(),
            version: String::new(),
            resource: Some(Any {
                type_url: item.type_url.to_owned(),
                value: item.value.clone(),
            }),
        };
        let command = Command {
            op: if publish.replace { op::REPLACE } else { op::PATCH },
            groups: publish.groups.to_vec(),
            version: publish.version.to_string(),
            resources: publish.items.iter().map(resource).collect(),
        };
        self.call(&command).await
    }

    pub(super) async fn trim(&mut self) -> Result<()> {
        let command = Command {
            op: op::TRIM,
            ..Command::default()
        };
        self.call(&command).await.map(drop)
    }

    async fn call(&mut self, command: &Command) -> Result<Duration> {
        let bytes = command.encode_to_vec();
        self.input.write_u32(u32::try_from(bytes.len())?).await?;
        self.input.write_all(&bytes).await?;
        self.input.flush().await?;
        let len = self.output.read_u32().await.context("the server has ended")?;
        let mut reply = vec![0; len as usize];
        self.output.read_exact(&mut reply).await?;
        let reply = Reply::decode(&*reply)?;
        ensure!(reply.error.is_empty(), "the server says: {}", reply.error);
        Ok(Duration::from_micros(reply.micros))
    }
}
