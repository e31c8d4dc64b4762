//! `chancery status`: what every node has, per type: sent, ACKed, and NACKed in the node's own words.

use clap::Args;
use serde_json::Value;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    output::{Format, Output, Table, proto_json, time},
};
use crate::proto::admin::{
    GetNodeRequest, ListNodesRequest, ListNodesResponse, NodeStatus, TypeStatus, type_status::State,
};

#[derive(Args, Debug)]
pub(super) struct Status {
    /// Only this node; one that is not known is an error
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Only nodes of this group
    #[arg(short, long, value_name = "GROUP", conflicts_with = "node")]
    group: Option<String>,
}

impl Status {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let mut client = clients.nodes().await?;
        let (nodes, value) = match self.node {
            Some(id) => {
                let node = client.get_node(GetNodeRequest { id }).await?.into_inner();
                let value = proto_json(&node, "NodeStatus");
                (vec![node], value)
            }
            None => {
                let group = self.group.unwrap_or_default();
                let ListNodesResponse { nodes } = client.list_nodes(ListNodesRequest { group }).await?.into_inner();
                let value = Value::Array(nodes.iter().map(|node| proto_json(node, "NodeStatus")).collect());
                (nodes, value)
            }
        };
        match output.format {
            Format::Table => output.text(&table(&nodes))?,
            Format::Json | Format::Yaml => output.value(&value)?,
        }
        Ok(Exit::Ok)
    }
}

/// A row for each type of each node; below a refused one the node's own words.
pub(super) fn table(nodes: &[NodeStatus]) -> String {
    let mut table = Table::new([
        "NODE",
        "GROUP",
        "CONNECTED",
        "TYPE",
        "STATE",
        "VERSION",
        "ACKED",
        "TIME",
    ]);
    for node in nodes {
        let who = [node.id.clone(), node.group.clone(), connected(node)];
        if node.types.is_empty() {
            let [id, group, streams] = who.clone();
            let seen = time(node.last_seen.as_ref());
            table.row(&[
                id,
                group,
                streams,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                seen,
            ]);
        }
        for row in &node.types {
            let [id, group, streams] = who.clone();
            let version = |delivery: &Option<crate::proto::admin::Delivery>| {
                delivery
                    .as_ref()
                    .map_or_else(String::new, |delivery| delivery.version.clone())
            };
            table.row(&[
                id,
                group,
                streams,
                short_type(&row.type_url),
                state(row).to_owned(),
                version(&row.sent),
                version(&row.acked),
                since(row),
            ]);
            if let (State::Error, Some(nack)) = (row.state(), &row.nack) {
                let at = time(nack.time.as_ref());
                table.note(&format!(
                    "NACK of version {} (nonce {}) at {at}: {}",
                    nack.version, nack.nonce, nack.message
                ));
            }
        }
    }
    table.render()
}

fn connected(node: &NodeStatus) -> String {
    match (node.connected, node.streams.len()) {
        (false, _) => "no".to_owned(),
        (true, 1) => "yes (1 stream)".to_owned(),
        (true, streams) => format!("yes ({streams} streams)"),
    }
}

pub(super) fn state(row: &TypeStatus) -> &'static str {
    match row.state() {
        State::Unspecified => "UNKNOWN",
        State::NotSent => "NOT_SENT",
        State::Stale => "STALE",
        State::Synced => "SYNCED",
        State::Error => "ERROR",
    }
}

/// When the type came to the state it is in.
fn since(row: &TypeStatus) -> String {
    let sent = row.sent.as_ref().and_then(|sent| sent.time.as_ref());
    match row.state() {
        State::Synced => time(row.acked.as_ref().and_then(|acked| acked.time.as_ref())),
        State::Error => time(row.nack.as_ref().and_then(|nack| nack.time.as_ref())),
        State::Stale | State::NotSent | State::Unspecified => time(sent),
    }
}
