//! Client status (CSDS, C-1): the state of every connected node, for tools that speak Envoy's own API.
//!
//! One row per node and type, from the fleet's records. The records hold no resources, so no secret can be shown.

mod matcher;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use self::matcher::{MatcherError, NodeMatch};
use super::{convert::timestamp, page::Page, shared::Shared};
use crate::{
    fleet::{NackStatus, NodeStatus, Standing, TypeState, TypeStatus},
    node::NodeId,
    proto::envoy::{
        admin::v3::UpdateFailureState,
        config::core::v3::{Node, node::UserAgentVersionType},
        service::status::v3::{
            ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus, client_config::GenericXdsConfig,
            client_status_discovery_service_server::ClientStatusDiscoveryService,
        },
    },
};

/// The number of answers that a slow reader may leave unread before its requests wait.
const ANSWER_BUFFER: usize = 1;

/// Metadata keys of the requested page and of the next one.
const PAGE_SIZE: &str = "page-size";
const PAGE_TOKEN: &str = "page-token";
const NEXT_PAGE_TOKEN: &str = "next-page-token";

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
        let page = asked_page(request.metadata())?;
        let (answers, stream) = mpsc::channel(ANSWER_BUFFER);
        let shared = Arc::clone(&self.shared);
        let fed = answers.clone();
        self.shared.process.feed(answers, async move {
            answer_all(&shared, request.into_inner(), &page, &fed).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        let page = asked_page(request.metadata())?;
        let (answer, next) = answer(&self.shared, request.into_inner(), page).await?;
        let mut response = Response::new(answer);
        if !next.is_empty() {
            let token = next
                .parse()
                .map_err(|_| Status::internal("a page token is not a valid header value"))?;
            response.metadata_mut().insert(NEXT_PAGE_TOKEN, token);
        }
        Ok(response)
    }
}

/// The page that a call requests in its metadata: Envoy's messages have no field for it.
fn asked_page(metadata: &MetadataMap) -> Result<Page, Status> {
    let text = |key: &str| {
        let value = metadata.get(key).map(|value| value.to_str());
        value.transpose().map(Option::unwrap_or_default)
    };
    let malformed = |_| Status::invalid_argument("page metadata: not text");
    let size = text(PAGE_SIZE).map_err(malformed)?;
    let size = if size.is_empty() { Ok(0) } else { size.parse() };
    let size = size.map_err(|_| Status::invalid_argument(format!("{PAGE_SIZE}: not a number")))?;
    Page::of(size, text(PAGE_TOKEN).map_err(malformed)?)
}

/// Answers each request, until the client is done or a request fails. An answer larger than a page is sent as several
/// messages.
async fn answer_all(
    shared: &Shared,
    mut requests: Streaming<ClientStatusRequest>,
    first: &Page,
    answers: &mpsc::Sender<Result<ClientStatusResponse, Status>>,
) {
    while let Some(request) = requests.next().await {
        let request = match request {
            Ok(request) => request,
            Err(broken) => {
                answers.send(Err(broken)).await.ok();
                return;
            }
        };
        let mut page = Some(first.clone());
        while let Some(asked) = page.take() {
            let size = asked.size;
            let answered = answer(shared, request.clone(), asked).await;
            let sent = match answered {
                Ok((answer, next)) => {
                    page = next_page(&next, size);
                    answers.send(Ok(answer)).await.is_ok()
                }
                Err(failed) => {
                    answers.send(Err(failed)).await.ok();
                    false
                }
            };
            if !sent {
                return;
            }
        }
    }
}

fn next_page(token: &str, size: usize) -> Option<Page> {
    let page = Page::of(u32::try_from(size).unwrap_or(u32::MAX), token).ok()?;
    page.after.is_some().then_some(page)
}

/// A page of the connected nodes that any matcher accepts, or of all connected nodes without matchers, and the token of
/// the next page.
async fn answer(
    shared: &Shared,
    request: ClientStatusRequest,
    page: Page,
) -> Result<(ClientStatusResponse, String), Status> {
    let fleet = Arc::clone(&shared.fleet);
    let matched = move || {
        let wanted = NodeMatch::of(&request.node_matchers)?;
        let accepts = |id: &NodeId, node: Standing<'_>| node.connected && wanted.accepts(id.as_str());
        let (nodes, more) = fleet.page(page.after.as_deref(), page.size, accepts);
        let next = Page::next(nodes.last().map(|node| node.id.as_str()), more);
        let response = ClientStatusResponse {
            config: nodes.iter().map(client_config).collect(),
        };
        Ok((response, next))
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

/// The row of one type. The field `client_status` is for clients, so it stays unset.
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

/// The current refusal, or the last one while a later response is unanswered.
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
