//! Client status (CSDS, C-1): what every connected node has, for tools that speak Envoy's own API.
//!
//! One row per node and type, from the fleet's books. They hold no resources, so none are shown, and no secret can be.

mod matcher;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use self::matcher::{MatcherError, NodeMatch};
use super::{Shared, convert::timestamp};
use crate::{
    fleet::{NackStatus, NodeStatus, TypeState, TypeStatus},
    proto::envoy::{
        admin::v3::UpdateFailureState,
        config::core::v3::{Node, node::UserAgentVersionType},
        service::status::v3::{
            ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus, client_config::GenericXdsConfig,
            client_status_discovery_service_server::ClientStatusDiscoveryService,
        },
    },
};

/// Answers that a reader may be behind by before its requests wait.
const ANSWER_BUFFER: usize = 1;

/// `ClientStatusDiscoveryService`.
pub(super) struct ClientStatus {
    shared: Arc<Shared>,
}

// === impl ClientStatus ===

impl ClientStatus {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = ReceiverStream<Result<ClientStatusResponse, Status>>;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWER_BUFFER);
        let shared = Arc::clone(&self.shared);
        self.shared.tracker.spawn(async move {
            tokio::select! {
                () = answer_all(&shared, request.into_inner(), &answers) => {}
                () = shared.shutdown.cancelled() => {
                    // A reader that is behind learns of the end from the connection.
                    answers.try_send(Err(Status::unavailable("the server is shutting down"))).ok();
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        answer(&self.shared, request.into_inner()).await.map(Response::new)
    }
}

/// Answers each request once, until the client is done, or asks for what there is not.
async fn answer_all(
    shared: &Shared,
    mut requests: Streaming<ClientStatusRequest>,
    answers: &mpsc::Sender<Result<ClientStatusResponse, Status>>,
) {
    while let Some(request) = requests.next().await {
        let answered = match request {
            Ok(request) => answer(shared, request).await,
            Err(broken) => Err(broken),
        };
        let failed = answered.is_err();
        if answers.send(answered).await.is_err() || failed {
            return;
        }
    }
}

/// The connected nodes that any of the matchers lets in; all of them where there is no matcher.
async fn answer(shared: &Shared, request: ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
    let fleet = Arc::clone(&shared.fleet);
    let matched = move || {
        let wanted = NodeMatch::of(&request.node_matchers)?;
        let nodes = fleet.nodes(None).into_iter();
        let connected = nodes.filter(|node| node.connected() && wanted.accepts(node.id.as_str()));
        Ok(ClientStatusResponse {
            config: connected.map(|node| client_config(&node)).collect(),
        })
    };
    let matched: Result<_, MatcherError> = shared.survey(matched).await?;
    matched.map_err(|error| Status::invalid_argument(error.to_string()))
}

fn client_config(node: &NodeStatus) -> ClientConfig {
    let (name, version) = node.user_agent.rsplit_once(' ').unwrap_or((&node.user_agent, ""));
    let version = (!version.is_empty()).then(|| UserAgentVersionType::UserAgentVersion(version.to_owned()));
    ClientConfig {
        node: Some(Node {
            id: node.id.to_string(),
            cluster: node.cluster.clone(),
            user_agent_name: name.to_owned(),
            user_agent_version_type: version,
            ..Node::default()
        }),
        generic_xds_configs: node.types.iter().map(xds_config).collect(),
        ..ClientConfig::default()
    }
}

/// A type's row. `client_status` is for clients to fill in.
fn xds_config(row: &TypeStatus) -> GenericXdsConfig {
    let status = match row.state() {
        TypeState::NotSent => ConfigStatus::NotSent,
        TypeState::Stale | TypeState::Unconfirmed => ConfigStatus::Stale,
        TypeState::Synced => ConfigStatus::Synced,
        TypeState::Error => ConfigStatus::Error,
    };
    let version = row.sent.as_ref().map(|sent| sent.version.to_string());
    GenericXdsConfig {
        type_url: row.resource_type.type_url().to_owned(),
        version_info: version.unwrap_or_default(),
        last_updated: row.sent.as_ref().and_then(|sent| timestamp(sent.time)),
        config_status: status.into(),
        error_state: refusal(row).map(failure),
        ..GenericXdsConfig::default()
    }
}

/// The refusal that stands; and while a later response is not answered, the last one.
fn refusal(row: &TypeStatus) -> Option<&NackStatus> {
    let accepted = row.acked.as_ref().map(|acked| acked.time);
    let nack = row.nack.as_ref()?;
    let told = match row.state() {
        TypeState::Error => true,
        TypeState::NotSent | TypeState::Stale | TypeState::Unconfirmed => accepted < Some(nack.delivery.time),
        TypeState::Synced => false,
    };
    told.then_some(nack)
}

fn failure(nack: &NackStatus) -> UpdateFailureState {
    UpdateFailureState {
        last_update_attempt: timestamp(nack.delivery.time),
        details: nack.message.clone(),
        version_info: nack.delivery.version.to_string(),
        ..UpdateFailureState::default()
    }
}
