//! A hand-written xDS client: it shows the responses on the wire, without Envoy's processing.

use std::{collections::BTreeMap, time::Duration};

use chancery::proto::{
    descriptors,
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
    envoy::config::core::v3::Node,
};
use prost_reflect::DynamicMessage;
use prost_types::Any;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use super::{A_WHILE, Control, GROUP, PATIENCE, RUNTIME};

const A_MOMENT: Duration = Duration::from_millis(2);

/// The variant of the protocol on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Sotw,
    Delta,
}

/// One ADS stream of a node that ACKs everything, and the resources that it received.
pub(crate) struct Client {
    wire: Wire,
    /// Sent with the first request only (L-1).
    node: Option<Node>,
    /// Type URL → subscription and resources.
    types: BTreeMap<String, Held>,
}

/// A client's subscription and resources of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    subscribed: Vec<String>,
    /// The version of the last response in SotW, empty in delta.
    version: String,
    /// Name → version (delta) and content.
    resources: BTreeMap<String, (String, Vec<u8>)>,
}

/// The content of one response.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) type_url: String,
    pub(crate) names: Vec<String>,
    pub(crate) removed: Vec<String>,
}

enum Wire {
    Sotw(Duplex<DiscoveryRequest, DiscoveryResponse>),
    Delta(Duplex<DeltaDiscoveryRequest, DeltaDiscoveryResponse>),
}

/// The two directions of a stream.
struct Duplex<Q, P> {
    requests: mpsc::Sender<Q>,
    responses: Streaming<P>,
}

// === impl Held ===

impl Held {
    /// Name → content.
    pub(crate) fn contents(&self) -> BTreeMap<&str, &[u8]> {
        self.resources
            .iter()
            .map(|(name, (_, content))| (name.as_str(), content.as_slice()))
            .collect()
    }

    fn versions(&self) -> impl Iterator<Item = (String, String)> {
        self.resources
            .iter()
            .map(|(name, (version, _))| (name.clone(), version.clone()))
    }
}

// === impl Client ===

impl Client {
    /// Opens the stream; the server learns the node from the first request.
    pub(crate) fn open(control: &Control, node: &str, variant: Variant) -> Self {
        let url = format!("http://{}", control.xds);
        let wire = RUNTIME.block_on(async {
            let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
            let mut service = AggregatedDiscoveryServiceClient::new(channel);
            match variant {
                Variant::Sotw => {
                    let (requests, outbound) = mpsc::channel(64);
                    let opened = service.stream_aggregated_resources(ReceiverStream::new(outbound)).await;
                    let responses = opened.unwrap().into_inner();
                    Wire::Sotw(Duplex { requests, responses })
                }
                Variant::Delta => {
                    let (requests, outbound) = mpsc::channel(64);
                    let opened = service.delta_aggregated_resources(ReceiverStream::new(outbound)).await;
                    let responses = opened.unwrap().into_inner();
                    Wire::Delta(Duplex { requests, responses })
                }
            }
        });
        let node = Node {
            id: node.to_owned(),
            cluster: GROUP.to_owned(),
            ..Node::default()
        };
        Self {
            wire,
            node: Some(node),
            types: BTreeMap::new(),
        }
    }

    /// Opens another stream of the same client, which presents its resources (S-5, D-5).
    pub(crate) fn reconnect(self, control: &Control, node: &str) -> Self {
        let variant = match self.wire {
            Wire::Sotw(_) => Variant::Sotw,
            Wire::Delta(_) => Variant::Delta,
        };
        let mut client = Self::open(control, node, variant);
        for (type_url, held) in self.types {
            client.request(&type_url, &held);
            client.types.insert(type_url, held);
        }
        client
    }

    /// Subscribes to these names, or to all resources if there are none.
    pub(crate) fn subscribe(&mut self, type_url: &str, names: &[&str]) {
        let held = Held {
            subscribed: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Held::default()
        };
        self.request(type_url, &held);
        self.types.insert(type_url.to_owned(), held);
    }

    pub(crate) fn held(&self, type_url: &str) -> &Held {
        &self.types[type_url]
    }

    /// The next response, applied and ACKed.
    #[track_caller]
    pub(crate) fn take(&mut self) -> Update {
        match &mut self.wire {
            Wire::Sotw(duplex) => {
                let response = duplex.next();
                self.apply_sotw(response)
            }
            Wire::Delta(duplex) => {
                let response = duplex.next();
                self.apply_delta(response)
            }
        }
    }

    /// Takes the responses that have arrived, and those of the next moment.
    pub(crate) fn take_what_came(&mut self) {
        loop {
            let update = match &mut self.wire {
                Wire::Sotw(duplex) => duplex.poll().map(|response| self.apply_sotw(response)),
                Wire::Delta(duplex) => duplex.poll().map(|response| self.apply_delta(response)),
            };
            if update.is_none() {
                return;
            }
        }
    }

    /// Asserts that no response arrives for a while.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        match &mut self.wire {
            Wire::Sotw(duplex) => duplex.expect_silence(),
            Wire::Delta(duplex) => duplex.expect_silence(),
        }
    }

    /// Sends the first request for a type.
    fn request(&mut self, type_url: &str, held: &Held) {
        let (node, type_url) = (self.node.take(), type_url.to_owned());
        match &self.wire {
            Wire::Sotw(duplex) => duplex.send(DiscoveryRequest {
                node,
                type_url,
                version_info: held.version.clone(),
                resource_names: held.subscribed.clone(),
                ..DiscoveryRequest::default()
            }),
            Wire::Delta(duplex) => duplex.send(DeltaDiscoveryRequest {
                node,
                type_url,
                resource_names_subscribe: held.subscribed.clone(),
                initial_resource_versions: held.versions().collect(),
                ..DeltaDiscoveryRequest::default()
            }),
        }
    }

    fn apply_sotw(&mut self, response: DiscoveryResponse) -> Update {
        let type_url = response.type_url;
        let held = self
            .types
            .get_mut(&type_url)
            .expect("only what was asked for comes (L-11)");
        let complete = [super::CLUSTER, super::LISTENER].contains(&type_url.as_str());
        if complete {
            held.resources.clear();
        }
        let mut names = Vec::new();
        for any in response.resources {
            let name = name_of(&any);
            names.push(name.clone());
            held.resources.insert(name, (String::new(), any.value));
        }
        held.version = response.version_info;
        let ack = DiscoveryRequest {
            type_url: type_url.clone(),
            version_info: held.version.clone(),
            response_nonce: response.nonce,
            resource_names: held.subscribed.clone(),
            ..DiscoveryRequest::default()
        };
        if let Wire::Sotw(duplex) = &self.wire {
            duplex.send(ack);
        }
        Update {
            type_url,
            names,
            removed: Vec::new(),
        }
    }

    fn apply_delta(&mut self, response: DeltaDiscoveryResponse) -> Update {
        let type_url = response.type_url;
        let held = self
            .types
            .get_mut(&type_url)
            .expect("only what was asked for comes (L-11)");
        for name in &response.removed_resources {
            held.resources.remove(name);
        }
        let mut names = Vec::new();
        for Resource {
            name,
            version,
            resource,
            ..
        } in response.resources
        {
            names.push(name.clone());
            let content = resource.map(|any| any.value).unwrap_or_default();
            held.resources.insert(name, (version, content));
        }
        let ack = DeltaDiscoveryRequest {
            type_url: type_url.clone(),
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        if let Wire::Delta(duplex) = &self.wire {
            duplex.send(ack);
        }
        Update {
            type_url,
            names,
            removed: response.removed_resources,
        }
    }
}

/// The name inside a resource.
fn name_of(any: &Any) -> String {
    let full = any.type_url.rsplit('/').next().unwrap();
    let descriptor = descriptors().get_message_by_name(full).expect("a type of Envoy's");
    let message = DynamicMessage::decode(descriptor, any.value.as_slice()).unwrap();
    let field = ["name", "cluster_name"].into_iter().find_map(|field| {
        let value = message.get_field_by_name(field)?;
        value.as_str().map(str::to_owned)
    });
    field.expect("a resource with a name")
}

// === impl Duplex ===

impl<Q, P> Duplex<Q, P> {
    fn send(&self, request: Q) {
        let sent = RUNTIME.block_on(self.requests.send(request));
        assert!(sent.is_ok(), "the stream has ended");
    }

    #[track_caller]
    fn next(&mut self) -> P {
        let next = RUNTIME.block_on(async { timeout(PATIENCE, self.responses.message()).await });
        next.expect("a response in time")
            .expect("no error")
            .expect("an open stream")
    }

    fn poll(&mut self) -> Option<P> {
        let next = RUNTIME.block_on(async { timeout(A_MOMENT, self.responses.message()).await });
        next.ok()
            .map(|response| response.expect("no error").expect("an open stream"))
    }

    #[track_caller]
    fn expect_silence(&mut self) {
        let next = RUNTIME.block_on(async { timeout(A_WHILE, self.responses.message()).await });
        assert!(next.is_err(), "something came, or the stream ended");
    }
}
