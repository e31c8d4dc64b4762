//! `NodeService`: the fleet's records of nodes.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    convert,
    page::Page,
    shared::{Shared, WATCH_BUFFER},
    status,
};
use crate::{
    fleet::{FleetWatch, Standing},
    node::{NodeGroup, NodeId},
    proto::admin::{
        GetNodeRequest, ListNodesRequest, ListNodesResponse, NodeStatus, ServerHealth, WatchNodesRequest,
        WatchNodesResponse,
        node_service_server::NodeService,
        server_health::State,
        watch_nodes_response::{Event, Synced},
    },
};

/// Changes within this time are sent as one event: a rollout is an ACK per node and type.
const COALESCE: Duration = Duration::from_millis(20);

pub(super) struct Nodes {
    shared: Arc<Shared>,
}

// === impl Nodes ===

impl Nodes {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The health that `/readyz` reports.
    fn health(&self) -> ServerHealth {
        let reasons = self.shared.process.readiness.awaited();
        let state = if reasons.is_empty() {
            State::Healthy
        } else {
            State::Degraded
        };
        ServerHealth {
            state: state.into(),
            reasons: reasons.into_iter().map(str::to_owned).collect(),
        }
    }
}

#[tonic::async_trait]
impl NodeService for Nodes {
    type WatchNodesStream = ReceiverStream<Result<WatchNodesResponse, Status>>;

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        let request = request.into_inner();
        let group = group(&request.group);
        let page = Page::of(request.page_size, &request.page_token)?;
        let (fleet, health) = (Arc::clone(&self.shared.fleet), self.health());
        let listed = self.shared.survey(move || {
            let wanted = |_: &NodeId, node: Standing<'_>| group.as_ref().is_none_or(|group| node.group == group);
            let (nodes, more) = fleet.page(page.after.as_deref(), page.size, wanted);
            ListNodesResponse {
                next_page_token: Page::next(nodes.last().map(|node| node.id.as_str()), more),
                nodes: nodes.iter().map(convert::node_status).collect(),
                health: Some(health),
            }
        });
        listed.await.map(Response::new)
    }

    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<NodeStatus>, Status> {
        let id = NodeId::from(request.get_ref().id.as_str());
        let node = self.shared.fleet.node(&id);
        node.map(|node| Response::new(convert::node_status(&node)))
            .ok_or_else(|| status::not_found(&format!("node {:?} is neither connected nor remembered", id.as_str())))
    }

    async fn watch_nodes(
        &self,
        request: Request<WatchNodesRequest>,
    ) -> Result<Response<Self::WatchNodesStream>, Status> {
        let watch = self.shared.fleet.watch(group(&request.get_ref().group));
        let (events, stream) = mpsc::channel(WATCH_BUFFER);
        let shared = Arc::clone(&self.shared);
        let fed = events.clone();
        self.shared
            .process
            .feed(events, async move { feed(&shared, watch, &fed).await });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends the events of a watch until its reader is gone.
async fn feed(shared: &Shared, mut watch: FleetWatch, events: &mpsc::Sender<Result<WatchNodesResponse, Status>>) {
    let synced = WatchNodesResponse {
        event: Some(Event::Synced(Synced {})),
    };
    let mut marker = Some(synced);
    loop {
        let looked = shared.survey(move || {
            let changes = watch.changes();
            (watch, changes)
        });
        let changes;
        (watch, changes) = match looked.await {
            Ok(looked) => looked,
            Err(failed) => {
                events.send(Err(failed)).await.ok();
                return;
            }
        };
        let told = changes.iter().map(convert::node_event).chain(marker.take());
        for event in told {
            if events.send(Ok(event)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = watch.changed() => tokio::time::sleep(COALESCE).await,
            () = events.closed() => return,
        }
    }
}

/// The group of this name; empty means all groups.
fn group(name: &str) -> Option<NodeGroup> {
    (!name.is_empty()).then(|| NodeGroup::from(name))
}
