//! `chancery watch`: publishes and node changes as they happen, one line each.

use clap::Args;
use serde_json::{Value, json};

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    history::counts,
    output::{Format, Output, escape, proto_json, time},
    status::state,
};
use crate::proto::admin::{
    NodeStatus, SnapshotSummary, WatchNodesRequest, WatchNodesResponse, WatchSnapshotsRequest, WatchSnapshotsResponse,
    type_status::State, watch_nodes_response::Event as NodeEvent, watch_snapshots_response::Event as SnapshotEvent,
};

#[derive(Args, Debug)]
pub(super) struct Watch {
    /// Only this group and its nodes
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
}

impl Watch {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let group = self.group.unwrap_or_default();
        let request = WatchSnapshotsRequest { group: group.clone() };
        let mut snapshots = clients.snapshots().await?.watch_snapshots(request).await?.into_inner();
        let mut nodes = clients
            .nodes()
            .await?
            .watch_nodes(WatchNodesRequest { group })
            .await?
            .into_inner();
        loop {
            let event = tokio::select! {
                event = snapshots.message() => event?.map(|event| of_snapshot(&event)),
                event = nodes.message() => event?.map(|event| of_node(&event)),
            };
            let Some(event) = event else {
                return Err(Failure::new(Exit::Unavailable, "the server ended the watch"));
            };
            let Some((line, value)) = event else {
                continue;
            };
            match output.format {
                Format::Table => output.text(&format!("{}\n", escape(&line)))?,
                Format::Json | Format::Yaml => output.event(&value)?,
            }
        }
    }
}

/// An event as a line and as a value; `None` for markers.
fn of_snapshot(event: &WatchSnapshotsResponse) -> Option<(String, Value)> {
    match event.event.as_ref()? {
        SnapshotEvent::Published(snapshot) => Some((
            published(snapshot),
            json!({ "snapshot": proto_json(snapshot, "SnapshotSummary") }),
        )),
        SnapshotEvent::DeletedGroup(group) => Some((
            format!("snapshot  {group}: deleted"),
            json!({ "snapshot_deleted": group }),
        )),
    }
}

fn of_node(event: &WatchNodesResponse) -> Option<(String, Value)> {
    match event.event.as_ref()? {
        NodeEvent::Node(node) => Some((changed(node), json!({ "node": proto_json(node, "NodeStatus") }))),
        NodeEvent::Forgotten(id) => Some((format!("node      {id}: forgotten"), json!({ "node_forgotten": id }))),
        NodeEvent::Synced(_) => None,
    }
}

fn published(snapshot: &SnapshotSummary) -> String {
    let SnapshotSummary { group, revision, .. } = snapshot;
    format!(
        "snapshot  {group}: revision {revision} of {}: {}",
        time(snapshot.time.as_ref()),
        counts(snapshot)
    )
}

fn changed(node: &NodeStatus) -> String {
    let NodeStatus { id, group, .. } = node;
    if !node.connected {
        return format!("node      {id} of {group}: disconnected");
    }
    let types = node.types.iter().map(|row| {
        let words = match (row.state(), &row.nack) {
            (State::Error, Some(nack)) => format!(" ({})", nack.message),
            _ => String::new(),
        };
        format!("{} {}{words}", short_type(&row.type_url), state(row))
    });
    format!("node      {id} of {group}: {}", types.collect::<Vec<_>>().join(", "))
}
