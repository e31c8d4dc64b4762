//! The identity and subscriptions of a node. Equal requests of many nodes are encoded once.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{Message as _, encoding::encode_varint};

use crate::wire::{self, DeltaDiscoveryRequest, DiscoveryRequest};

/// The two variants of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Sotw,
    Delta,
}

/// A node's reaction to responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// ACKs every response.
    Healthy,
    /// NACKs every response.
    Nacks,
    /// Subscribes, and never reads a response.
    NeverReads,
    /// ACKs every response, and sends this many redundant requests per second.
    Chatters(u32),
}

/// One type that a node subscribes to.
#[derive(Clone, Debug)]
pub(crate) struct TypePlan {
    pub(crate) type_url: &'static str,
    /// The type whose first response this one waits for: Envoy subscribes to endpoints once it has clusters.
    pub(crate) after: Option<&'static str>,
    /// The number of resources of this type that a synced node has received.
    pub(crate) expected: usize,
    /// The first request, without its node.
    first: Bytes,
    /// The names, which every later SotW request repeats.
    names: Bytes,
}

/// One node: one stream over ADS.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) variant: Variant,
    pub(crate) types: Arc<[TypePlan]>,
    pub(crate) behaviour: Behaviour,
}

// === impl Variant ===

impl Variant {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sotw => "SotW",
            Self::Delta => "delta",
        }
    }

    /// The method of ADS.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Sotw => "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            Self::Delta => "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        }
    }
}

// === impl TypePlan ===

impl TypePlan {
    /// Subscribes to all resources of a type.
    pub(crate) fn wildcard(variant: Variant, type_url: &'static str, expected: usize) -> Self {
        Self::new(variant, type_url, &[], expected)
    }

    /// Subscribes to these names.
    pub(crate) fn named(variant: Variant, type_url: &'static str, names: &[String]) -> Self {
        Self::new(variant, type_url, names, names.len())
    }

    fn new(variant: Variant, type_url: &'static str, names: &[String], expected: usize) -> Self {
        let (first, repeated) = match variant {
            Variant::Sotw => {
                let request = DiscoveryRequest {
                    resource_names: names.to_vec(),
                    ..DiscoveryRequest::default()
                };
                let names = Bytes::from(request.encode_to_vec());
                let request = DiscoveryRequest {
                    type_url: type_url.to_owned(),
                    ..request
                };
                (request.encode_to_vec(), names)
            }
            Variant::Delta => {
                let request = DeltaDiscoveryRequest {
                    type_url: type_url.to_owned(),
                    resource_names_subscribe: names.to_vec(),
                    ..DeltaDiscoveryRequest::default()
                };
                (request.encode_to_vec(), Bytes::new())
            }
        };
        Self {
            type_url,
            after: None,
            expected,
            first: first.into(),
            names: repeated,
        }
    }

    /// Delays the subscription until a response of type `other` has arrived.
    #[must_use]
    pub(crate) fn after(mut self, other: &'static str) -> Self {
        self.after = Some(other);
        self
    }

    /// Presents a SotW version, so that the server need not send the current state again.
    #[must_use]
    pub(crate) fn presenting_version(mut self, version: &str) -> Self {
        let request = DiscoveryRequest {
            version_info: version.to_owned(),
            ..DiscoveryRequest::default()
        };
        self.first = [&*self.first, &request.encode_to_vec()].concat().into();
        self
    }

    /// Presents the versions of resources; only `missing` other resources are expected.
    #[must_use]
    pub(crate) fn presenting(mut self, held: &[(String, String)], missing: usize) -> Self {
        let request = DeltaDiscoveryRequest {
            initial_resource_versions: held.iter().cloned().collect(),
            ..DeltaDiscoveryRequest::default()
        };
        self.first = [&*self.first, &request.encode_to_vec()].concat().into();
        self.expected = missing;
        self
    }

    /// The first request of this type on the stream, framed. `node` on the stream's first request only.
    pub(crate) fn opening(&self, variant: Variant, node: Option<&wire::Node>) -> Bytes {
        let node = node.map(|node| match variant {
            Variant::Sotw => DiscoveryRequest {
                node: Some(node.clone()),
                ..DiscoveryRequest::default()
            }
            .encode_to_vec(),
            Variant::Delta => DeltaDiscoveryRequest {
                node: Some(node.clone()),
                ..DeltaDiscoveryRequest::default()
            }
            .encode_to_vec(),
        });
        let node = node.unwrap_or_default();
        let mut framed = prefixed(node.len() + self.first.len());
        framed.put_slice(&node);
        framed.put_slice(&self.first);
        framed.freeze()
    }

    /// The framed answer to a response: an ACK, or a NACK if there is a reason. `version` is the client's version.
    pub(crate) fn answer(&self, variant: Variant, version: &[u8], nonce: &[u8], refusal: Option<&str>) -> Bytes {
        let mut status = BytesMut::new();
        if let Some(message) = refusal {
            // google.rpc.Status: INVALID_ARGUMENT.
            status.put_slice(&[1 << 3, 3]);
            put_field(&mut status, 2, message.as_bytes());
        }
        let mut body = BytesMut::with_capacity(256);
        match variant {
            Variant::Sotw => {
                put_field(&mut body, 1, version);
                put_field(&mut body, 4, self.type_url.as_bytes());
                put_field(&mut body, 5, nonce);
                put_field(&mut body, 6, &status);
            }
            Variant::Delta => {
                put_field(&mut body, 2, self.type_url.as_bytes());
                put_field(&mut body, 6, nonce);
                put_field(&mut body, 7, &status);
            }
        }
        let mut framed = prefixed(body.len() + self.names.len());
        framed.put_slice(&body);
        framed.put_slice(&self.names);
        framed.freeze()
    }
}

// === impl NodePlan ===

impl NodePlan {
    /// `count` healthy nodes of one group with equal subscriptions.
    pub(crate) fn alike(count: usize, group: &str, variant: Variant, types: &Arc<[TypePlan]>) -> Vec<Self> {
        let node = |number| Self {
            id: format!("{group}-node-{number:05}"),
            group: group.to_owned(),
            variant,
            types: Arc::clone(types),
            behaviour: Behaviour::Healthy,
        };
        (0..count).map(node).collect()
    }

    /// The node's identity, like an Envoy's, with some of its extensions.
    pub(crate) fn node(&self) -> wire::Node {
        let extensions = [
            "http",
            "network",
            "listener",
            "udp_listener",
            "retry",
            "tracers",
            "access_loggers",
        ]
        .into_iter()
        .flat_map(|category| (0..4).map(move |number| (category, number)));
        let extension = |(category, number)| wire::Extension {
            name: format!("envoy.{category}.extension_{number}"),
            category: format!("envoy.{category}"),
        };
        wire::Node {
            id: self.id.clone(),
            cluster: self.group.clone(),
            locality: Some(wire::Locality {
                region: "eu-1".to_owned(),
                zone: "eu-1a".to_owned(),
            }),
            user_agent_name: "envoy".to_owned(),
            user_agent_build_version: Some(wire::BuildVersion {
                version: Some(wire::SemanticVersion {
                    major_number: 1,
                    minor_number: 40,
                    patch: 0,
                }),
            }),
            extensions: extensions.map(extension).collect(),
            client_features: vec!["envoy.lb.does_not_support_overprovisioning".to_owned()],
        }
    }
}

/// A buffer for a message of `len` bytes, after its gRPC prefix.
fn prefixed(len: usize) -> BytesMut {
    let mut framed = BytesMut::with_capacity(5 + len);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(len).expect("a request is far below 4 GiB"));
    framed
}

/// A length-delimited field, unless it is empty.
fn put_field(buf: &mut BytesMut, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        buf.put_u8(tag << 3 | 2);
        encode_varint(value.len() as u64, buf);
        buf.put_slice(value);
    }
}
