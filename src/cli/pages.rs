//! Reads all pages of long answers of the admin API.

use super::{Failure, connect::Clients};
use crate::proto::admin::{ListNodesRequest, ListSnapshotsRequest, NodeStatus, ServerHealth, SnapshotSummary};

/// Every node of a group, or of all groups, and the health of the server.
pub(super) async fn nodes(clients: &Clients, group: &str) -> Result<(Vec<NodeStatus>, ServerHealth), Failure> {
    let mut client = clients.nodes().await?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListNodesRequest {
            group: group.to_owned(),
            page_token,
            ..ListNodesRequest::default()
        };
        let listed = client.list_nodes(request).await?.into_inner();
        all.extend(listed.nodes);
        if listed.next_page_token.is_empty() {
            return Ok((all, listed.health.unwrap_or_default()));
        }
        page_token = listed.next_page_token;
    }
}

/// Every published snapshot.
pub(super) async fn snapshots(clients: &Clients) -> Result<Vec<SnapshotSummary>, Failure> {
    let mut client = clients.snapshots().await?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListSnapshotsRequest {
            page_token,
            ..ListSnapshotsRequest::default()
        };
        let listed = client.list_snapshots(request).await?.into_inner();
        all.extend(listed.snapshots);
        if listed.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = listed.next_page_token;
    }
}
