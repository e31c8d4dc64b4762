//! A client that sends arbitrary requests on a stream, and answers only when a test tells it to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Buf, BufMut as _, Bytes};
use chancery::{
    proto::{
        discovery::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource as Wrapper,
            ResourceError,
        },
        envoy::config::core::v3::Node,
        google::rpc,
    },
    resource::ResourceType,
};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::{
    config::MARKER,
    server::{GROUP, PATIENCE, Server},
};

/// The wrapper of a resource with a TTL in SotW.
const WRAPPER_URL: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// The time without a response that counts as silence, if no marker can prove it.
const SILENCE: Duration = Duration::from_millis(150);

/// The four kinds of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    SotwAds,
    SotwPerType,
    DeltaAds,
    DeltaPerType,
}

/// A request, for SotW and delta.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) type_url: String,
    pub(crate) node: Option<Node>,
    pub(crate) nonce: String,
    pub(crate) error: Option<String>,
    /// SotW: `version_info`.
    pub(crate) version: String,
    /// SotW: the whole list. Delta: the subscribed names.
    pub(crate) names: Vec<String>,
    /// Delta: the unsubscribed names.
    pub(crate) unsubscribe: Vec<String>,
    /// Delta: `initial_resource_versions`.
    pub(crate) held: Vec<(String, String)>,
}

/// A response, of SotW or delta.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) type_url: String,
    pub(crate) version: String,
    pub(crate) nonce: String,
    pub(crate) identifier: String,
    /// Name → content; repeated names are kept.
    pub(crate) resources: Vec<(String, Vec<u8>)>,
    /// Delta: name → version.
    pub(crate) versions: BTreeMap<String, String>,
    /// Delta: the removed names.
    pub(crate) removed: Vec<String>,
    /// Names with an error, and its code.
    pub(crate) errors: Vec<(String, i32)>,
    /// Heartbeats, which renew a resource without its content, with their TTL in seconds.
    pub(crate) heartbeats: Vec<(String, i64)>,
    /// The TTLs of resources in seconds.
    pub(crate) ttls: BTreeMap<String, i64>,
    pub(crate) any_urls: BTreeSet<String>,
}

/// A stream and its subscriptions.
pub(crate) struct Client {
    form: Form,
    requests: Option<mpsc::UnboundedSender<Bytes>>,
    responses: Streaming<Bytes>,
    names: BTreeMap<String, Vec<String>>,
    /// Sent with the first request.
    node: Option<Node>,
    marker_nonce: Option<String>,
}

/// Messages as bytes, in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawCodec;

pub(crate) fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        cluster: GROUP.to_owned(),
        ..Node::default()
    }
}

// === impl Form ===

impl Form {
    pub(crate) const ALL: [Self; 4] = [Self::SotwAds, Self::SotwPerType, Self::DeltaAds, Self::DeltaPerType];

    pub(crate) fn is_sotw(self) -> bool {
        matches!(self, Self::SotwAds | Self::SotwPerType)
    }

    pub(crate) fn is_ads(self) -> bool {
        matches!(self, Self::SotwAds | Self::DeltaAds)
    }

    /// The method for a type; clusters and endpoints have all kinds of stream.
    pub(crate) fn path(self, kind: &ResourceType) -> String {
        let verb = if self.is_sotw() { "Stream" } else { "Delta" };
        let (service, resources) = if self.is_ads() {
            ("discovery.v3.AggregatedDiscoveryService", "AggregatedResources")
        } else {
            match kind {
                ResourceType::Cluster => ("cluster.v3.ClusterDiscoveryService", "Clusters"),
                ResourceType::Endpoint => ("endpoint.v3.EndpointDiscoveryService", "Endpoints"),
                ResourceType::LbEndpoint => ("endpoint.v3.LocalityEndpointDiscoveryService", "LocalityEndpoints"),
                ResourceType::Listener => ("listener.v3.ListenerDiscoveryService", "Listeners"),
                ResourceType::Route => ("route.v3.RouteDiscoveryService", "Routes"),
                ResourceType::ScopedRoute => ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"),
                ResourceType::VirtualHost => ("route.v3.VirtualHostDiscoveryService", "VirtualHosts"),
                ResourceType::Secret => ("secret.v3.SecretDiscoveryService", "Secrets"),
                ResourceType::Runtime => ("runtime.v3.RuntimeDiscoveryService", "Runtime"),
                ResourceType::ExtensionConfig => ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
                ResourceType::Other(other) => panic!("no service for {other:?}"),
            }
        };
        format!("/envoy.service.{service}/{verb}{resources}")
    }
}

// === impl Ask ===

impl Ask {
    pub(crate) fn of(kind: &ResourceType) -> Self {
        Self {
            type_url: kind.type_url().to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn node(self, node: Node) -> Self {
        Self {
            node: Some(node),
            ..self
        }
    }

    pub(crate) fn names(self, names: &[&str]) -> Self {
        Self {
            names: owned(names),
            ..self
        }
    }

    pub(crate) fn unsubscribe(self, names: &[&str]) -> Self {
        Self {
            unsubscribe: owned(names),
            ..self
        }
    }

    pub(crate) fn nonce(self, nonce: &str) -> Self {
        Self {
            nonce: nonce.to_owned(),
            ..self
        }
    }

    pub(crate) fn version(self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..self
        }
    }

    pub(crate) fn error(self, message: &str) -> Self {
        Self {
            error: Some(message.to_owned()),
            ..self
        }
    }

    pub(crate) fn held(self, held: &[(&str, &str)]) -> Self {
        let held = held
            .iter()
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
        Self {
            held: held.collect(),
            ..self
        }
    }

    pub(crate) fn encode(self, form: Form) -> Bytes {
        let error_detail = self.error.map(|message| rpc::Status {
            code: 13,
            message,
            details: Vec::new(),
        });
        if form.is_sotw() {
            let request = DiscoveryRequest {
                type_url: self.type_url,
                node: self.node,
                response_nonce: self.nonce,
                version_info: self.version,
                resource_names: self.names,
                error_detail,
                ..DiscoveryRequest::default()
            };
            return request.encode_to_vec().into();
        }
        let request = DeltaDiscoveryRequest {
            type_url: self.type_url,
            node: self.node,
            response_nonce: self.nonce,
            resource_names_subscribe: self.names,
            resource_names_unsubscribe: self.unsubscribe,
            initial_resource_versions: self.held.into_iter().collect(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        request.encode_to_vec().into()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

// === impl Answer ===

impl Answer {
    pub(crate) fn decode(form: Form, message: &[u8]) -> Self {
        if form.is_sotw() {
            Self::from_sotw(DiscoveryResponse::decode(message).unwrap())
        } else {
            Self::from_delta(DeltaDiscoveryResponse::decode(message).unwrap())
        }
    }

    fn from_sotw(response: DiscoveryResponse) -> Self {
        let mut answer = Self {
            any_urls: response.resources.iter().map(|any| any.type_url.clone()).collect(),
            type_url: response.type_url,
            version: response.version_info,
            nonce: response.nonce,
            identifier: response.control_plane.unwrap_or_default().identifier,
            errors: response.resource_errors.into_iter().map(error).collect(),
            ..Self::default()
        };
        for any in response.resources {
            if any.type_url == WRAPPER_URL {
                answer.take(Wrapper::decode(any.value.as_slice()).unwrap());
            } else {
                answer.resources.push((first_text(&any.value), any.value));
            }
        }
        answer
    }

    fn from_delta(response: DeltaDiscoveryResponse) -> Self {
        let resources = response.resources;
        let any = |wrapped: &Wrapper| wrapped.resource.clone().unwrap_or_default();
        let mut answer = Self {
            any_urls: resources.iter().map(|wrapped| any(wrapped).type_url).collect(),
            type_url: response.type_url,
            version: response.system_version_info,
            nonce: response.nonce,
            identifier: response.control_plane.unwrap_or_default().identifier,
            versions: resources
                .iter()
                .map(|wrapped| (wrapped.name.clone(), wrapped.version.clone()))
                .collect(),
            removed: response.removed_resources,
            errors: response.resource_errors.into_iter().map(error).collect(),
            ..Self::default()
        };
        resources.into_iter().for_each(|wrapped| answer.take(wrapped));
        answer
    }

    /// Adds a resource from its wrapper: complete, or a heartbeat.
    fn take(&mut self, wrapped: Wrapper) {
        let ttl = wrapped.ttl.map(|ttl| ttl.seconds);
        match (wrapped.resource, ttl) {
            (None, Some(ttl)) => self.heartbeats.push((wrapped.name, ttl)),
            (any, ttl) => {
                self.ttls.extend(ttl.map(|ttl| (wrapped.name.clone(), ttl)));
                self.resources.push((wrapped.name, any.unwrap_or_default().value));
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.resources.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn is_of(&self, kind: &ResourceType) -> bool {
        self.type_url == kind.type_url()
    }
}

fn error(error: ResourceError) -> (String, i32) {
    let code = error.error_detail.map_or(0, |status| status.code);
    (error.resource_name.unwrap_or_default().name, code)
}

/// Field 1 of a message, which is the name in Envoy's types.
fn first_text(mut message: &[u8]) -> String {
    assert_eq!(message.get_u8(), 1 << 3 | 2, "the first field is the name");
    let len = prost::encoding::decode_varint(&mut message).unwrap();
    String::from_utf8(message[..usize::try_from(len).unwrap()].to_vec()).unwrap()
}

// === impl Client ===

impl Client {
    /// Opens a stream on a new connection, for the node `id`.
    pub(crate) async fn open(server: &Server, form: Form, kind: &ResourceType, id: &str) -> Self {
        Self::open_on(server.connect().await, form, kind, id).await
    }

    pub(crate) async fn open_on(channel: Channel, form: Form, kind: &ResourceType, id: &str) -> Self {
        let (requests, stream) = mpsc::unbounded_channel();
        let responses = call(channel, &form.path(kind), UnboundedReceiverStream::new(stream)).await;
        Self {
            form,
            requests: Some(requests),
            responses: responses.unwrap(),
            names: BTreeMap::new(),
            node: Some(node(id)),
            marker_nonce: None,
        }
    }

    /// Sends exactly this request.
    pub(crate) fn send(&self, ask: Ask) {
        self.send_raw(ask.encode(self.form));
    }

    pub(crate) fn send_raw(&self, message: Bytes) {
        self.requests.as_ref().expect("not half-closed").send(message).unwrap();
    }

    /// Sends exactly this request, unless the stream has ended.
    pub(crate) fn try_send(&self, ask: Ask) {
        let requests = self.requests.as_ref().expect("not half-closed");
        requests.send(ask.encode(self.form)).ok();
    }

    /// Sends this request, with the node if it is the first one.
    pub(crate) fn ask(&mut self, ask: Ask) {
        let node = self.node.take();
        self.send(Ask {
            node: ask.node.or(node),
            ..ask
        });
    }

    /// Subscribes to these names of the type, and no others.
    pub(crate) fn subscribe(&mut self, kind: &ResourceType, names: &[&str]) {
        let names = owned(names);
        let before = self
            .names
            .insert(kind.type_url().to_owned(), names.clone())
            .unwrap_or_default();
        let ask = Ask::of(kind);
        self.ask(if self.form.is_sotw() {
            Ask { names, ..ask }
        } else {
            let dropped = before.iter().filter(|name| !names.contains(name)).cloned().collect();
            Ask {
                names: names.into_iter().filter(|name| !before.contains(name)).collect(),
                unsubscribe: dropped,
                ..ask
            }
        });
    }

    pub(crate) fn ack(&self, answer: &Answer) {
        self.send(Ask {
            version: answer.version.clone(),
            ..self.reply(answer)
        });
    }

    pub(crate) fn nack(&self, answer: &Answer, message: &str) {
        self.send(self.reply(answer).error(message));
    }

    fn reply(&self, answer: &Answer) -> Ask {
        let names = self.names.get(&answer.type_url).filter(|_| self.form.is_sotw());
        Ask {
            type_url: answer.type_url.clone(),
            nonce: answer.nonce.clone(),
            names: names.cloned().unwrap_or_default(),
            ..Ask::default()
        }
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> Answer {
        let message = timeout(PATIENCE, self.responses.message()).await;
        let message = message.expect("a response in time").unwrap().expect("an open stream");
        Answer::decode(self.form, &message)
    }

    /// Expects the next response to be of this type, with exactly these resources.
    #[track_caller]
    pub(crate) fn expect<'a>(
        &'a mut self,
        kind: &ResourceType,
        names: &[&str],
    ) -> impl Future<Output = Answer> + use<'a> {
        let caller = std::panic::Location::caller();
        let (kind, names, form) = (kind.clone(), owned(names), self.form);
        async move {
            let answer = self.next().await;
            let as_expected = answer.is_of(&kind) && answer.names() == names;
            assert!(
                as_expected,
                "{caller}, {form:?}: expected {kind} {names:?}, got {answer:?}"
            );
            answer
        }
    }

    /// Expects a response as [`Client::expect`] does, and ACKs it.
    #[track_caller]
    pub(crate) fn accept<'a>(
        &'a mut self,
        kind: &ResourceType,
        names: &[&str],
    ) -> impl Future<Output = Answer> + use<'a> {
        let caller = std::panic::Location::caller();
        let (kind, names, form) = (kind.clone(), owned(names), self.form);
        async move {
            let answer = self.next().await;
            let as_expected = answer.is_of(&kind) && answer.names() == names;
            assert!(
                as_expected,
                "{caller}, {form:?}: expected {kind} {names:?}, got {answer:?}"
            );
            self.ack(&answer);
            answer
        }
    }

    /// Asserts that no response is due. On ADS a marker proves this: a new subscription to a resource of a type that is sent after
    /// all others is answered, and no response comes before it. On other streams the client waits for a while.
    #[track_caller]
    pub(crate) fn silent(&mut self) -> impl Future<Output = ()> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            if self.form.is_ads() {
                let answer = self.marker().await;
                assert!(
                    answer.is_of(&ResourceType::Runtime),
                    "{caller}, {:?}: expected silence, got {answer:?}",
                    self.form
                );
            } else {
                self.still(caller).await;
            }
        }
    }

    /// Asserts that no response comes for a while.
    async fn still(&mut self, caller: &'static std::panic::Location<'static>) {
        if let Ok(message) = timeout(SILENCE, self.responses.message()).await {
            let answer = message.unwrap().map(|message| Answer::decode(self.form, &message));
            panic!("{caller}, {:?}: expected silence, got {answer:?}", self.form);
        }
    }

    /// Asserts that no response comes for a while, on any stream: for a group without a snapshot, and so without a marker.
    #[track_caller]
    pub(crate) fn nothing_comes(&mut self) -> impl Future<Output = ()> + '_ {
        self.still(std::panic::Location::caller())
    }

    /// Makes the client a node of this group.
    pub(crate) fn of_group(self, group: &str) -> Self {
        self.says(|node| group.clone_into(&mut node.cluster))
    }

    /// Edits the node, before the first request.
    pub(crate) fn says(mut self, edit: impl FnOnce(&mut Node)) -> Self {
        edit(self.node.as_mut().expect("nothing was asked yet"));
        self
    }

    /// On ADS: all responses that were due before this call, in order, without answers.
    pub(crate) async fn due(&mut self) -> Vec<Answer> {
        self.ask_marker();
        let mut due = Vec::new();
        loop {
            let answer = self.next().await;
            if answer.is_of(&ResourceType::Runtime) {
                self.take_marker(&answer);
                return due;
            }
            due.push(answer);
        }
    }

    async fn marker(&mut self) -> Answer {
        self.ask_marker();
        let answer = self.next().await;
        if answer.is_of(&ResourceType::Runtime) {
            self.take_marker(&answer);
        }
        answer
    }

    fn ask_marker(&mut self) {
        let nonce = self.marker_nonce.take().unwrap_or_default();
        let ask = Ask::of(&ResourceType::Runtime);
        if self.form.is_sotw() && !nonce.is_empty() {
            // A name that is unsubscribed and subscribed again is sent again (W-6).
            self.send(ask.clone().nonce(&nonce));
        }
        self.ask(ask.nonce(&nonce).names(&[MARKER]));
    }

    fn take_marker(&mut self, answer: &Answer) {
        assert_eq!(answer.names(), [MARKER]);
        let ack = Ask::of(&ResourceType::Runtime)
            .nonce(&answer.nonce)
            .version(&answer.version);
        self.send(if self.form.is_sotw() { ack.names(&[MARKER]) } else { ack });
        self.marker_nonce = Some(answer.nonce.clone());
    }

    /// Closes the request side of the stream.
    pub(crate) fn half_close(&mut self) {
        self.requests = None;
    }

    /// Waits for a response or the end of the stream.
    pub(crate) async fn next_or_end(&mut self) -> Result<(), Status> {
        let message = timeout(PATIENCE, self.responses.message()).await;
        message.expect("a response in time").map(drop)
    }

    /// The end of the stream, after any responses.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        let end = async {
            loop {
                match self.responses.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(status),
                }
            }
        };
        timeout(PATIENCE, end).await.expect("an end in time")
    }
}

/// Calls any method with any messages.
pub(crate) async fn call(
    channel: Channel,
    path: &str,
    messages: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::try_from(path).unwrap();
    let response = grpc.streaming(Request::new(messages), path, RawCodec).await?;
    Ok(response.into_inner())
}

// === impl RawCodec ===

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
