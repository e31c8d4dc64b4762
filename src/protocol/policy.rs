//! Settings of the protocol, and the rules that differ by resource type.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::ProtocolError;
use crate::{
    node::{Node, NodeGroup, Pattern},
    resource::ResourceType,
};

/// Settings of a session, shared by all streams.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Types whose empty first request means "all" (W-4). For the other types, an Envoy that reconnects sends an empty
    /// list for every type it ever used, and must not be sent everything.
    pub legacy_wildcard: BTreeSet<ResourceType>,
    /// Make before break on ADS streams (O).
    pub ordering: Ordering,
    /// Names that do not exist are reported as errors of single resources (E-6).
    pub resource_errors: bool,
    /// Types whose removals are not sent in delta: Envoy deletes a filter's configuration during its use.
    pub quiet_removals: BTreeSet<ResourceType>,
    /// Patterns of names that a wildcard leaves out: only clients that ask for these resources by name get them (W-9).
    pub on_demand: BTreeMap<ResourceType, Arc<[Pattern]>>,
    /// Types of which a reconnecting delta client is sent everything again, whatever versions it presents (D-6).
    pub resend_presented: BTreeSet<ResourceType>,
    /// Limits of one stream (L-12).
    pub limits: StreamLimits,
}

/// Settings of the order of a change on an ADS stream (O-3, O-4).
#[derive(Clone, Copy, Debug)]
pub struct Ordering {
    /// If false, every type is advanced to the newest snapshot as soon as its last response is answered.
    pub enabled: bool,
    /// The longest time that a step which adds or changes waits for an earlier ACK; removals wait for ever. It is
    /// longer than Envoy's `initial_fetch_timeout` of 15 s, for which a warming cluster withholds its ACK (O-14).
    pub make_timeout: Duration,
    /// The time that removals wait after everything else was ACKed, for listeners that drain with an inline route.
    /// Nothing on the wire shows such a drain (O-12).
    pub removal_delay: Duration,
    /// The time that an Envoy may leave a response of clusters unanswered before newer clusters are sent beside it. An
    /// Envoy answers once all clusters are warm (O-5); any other client answers within a round trip.
    pub patience: Duration,
    /// The time that removals wait for a reconnecting Envoy to ask for its listeners and routes. Until then the
    /// server does not know which clusters they need (O-19). An Envoy asks for all types within its first round trip.
    pub return_wait: Duration,
    /// The longest time that a removed cluster is held for a route configuration: longer than Envoy's drain of 600 s
    /// (O-12).
    pub hold_cap: Duration,
}

/// Limits on the requests of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Subscribed names of one type: bounds memory per stream, since a SotW client lists all of them in every request.
    pub names_per_type: usize,
    /// Bytes of all names on one stream, of every type: the size of 500 000 names of usual length.
    pub subscribed_bytes: usize,
    /// Types on one stream: Envoy uses ten.
    pub types: usize,
    /// Bytes of one name: xdstp names with context parameters have some hundred bytes.
    pub name_bytes: usize,
    /// Bytes of `node.id`, and of each other text by which the server remembers a node.
    pub node_id_bytes: usize,
    /// Bytes of the used parts of a node, which decoding multiplies by twenty. Istio's metadata has some thousand
    /// bytes.
    pub node_bytes: usize,
    /// Bytes read of a NACK's message, in which an Envoy names each refused cluster. The rest is cut before the copy.
    pub error_bytes: usize,
    /// Delta responses per type that answer requests and await their ACK. Beyond this limit answers coalesce (D-16).
    pub answers_in_flight: usize,
    /// Bytes beyond which a delta response is split for gRPC clients, which take 4 MiB by default (L-13).
    pub response_bytes: usize,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self {
            legacy_wildcard: BTreeSet::from([
                ResourceType::Cluster,
                ResourceType::Listener,
                ResourceType::ScopedRoute,
                ResourceType::VirtualHost,
            ]),
            ordering: Ordering::default(),
            resource_errors: true,
            quiet_removals: BTreeSet::from([ResourceType::ExtensionConfig]),
            on_demand: BTreeMap::new(),
            resend_presented: BTreeSet::new(),
            limits: StreamLimits::default(),
        }
    }
}

impl Default for Ordering {
    fn default() -> Self {
        Self {
            enabled: true,
            make_timeout: Duration::from_secs(30),
            removal_delay: Duration::ZERO,
            patience: Duration::from_millis(250),
            return_wait: Duration::from_secs(1),
            hold_cap: Duration::from_secs(900),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            names_per_type: 500_000,
            subscribed_bytes: 64 * 1024 * 1024,
            types: 64,
            name_bytes: 4096,
            node_id_bytes: 1024,
            node_bytes: 64 * 1024,
            error_bytes: 256 * 1024,
            answers_in_flight: 32,
            response_bytes: 4 * 1024 * 1024,
        }
    }
}

// === impl StreamLimits ===

impl StreamLimits {
    /// Checks the lengths of the texts by which the server remembers a node (L-12).
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NodeTextTooLong`] for the first text that is too long.
    pub fn check_node(&self, node: &Node) -> Result<(), ProtocolError> {
        self.check_text("id", node.id.as_str())?;
        self.check_text("cluster", &node.cluster)?;
        self.check_text("user_agent", &node.user_agent)
    }

    /// Checks the length of the name of the node's group: rules may build it from any text of the node.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NodeTextTooLong`] if the name is too long.
    pub fn check_group(&self, group: &NodeGroup) -> Result<(), ProtocolError> {
        self.check_text("group", group.as_str())
    }

    const fn check_text(&self, field: &'static str, text: &str) -> Result<(), ProtocolError> {
        if text.len() > self.node_id_bytes {
            return Err(ProtocolError::NodeTextTooLong(field, text.len(), self.node_id_bytes));
        }
        Ok(())
    }
}

// === rules by type ===

/// Returns true if a SotW response must hold everything subscribed, because absence means deletion (S-18, W-8).
pub(super) const fn is_full_state(resource_type: &ResourceType) -> bool {
    match resource_type {
        ResourceType::Cluster | ResourceType::Listener => true,
        ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Route
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => false,
    }
}

/// Returns true if a client that refuses a response applies its valid part (S-8). Of other types Envoy stops at the
/// first invalid resource.
pub(super) const fn applies_valid_part(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type)
}

/// Returns true if a SotW response that changes one resource carries the unchanged ones too. Envoy treats an SDS update
/// without a watched secret as an error (S-18).
pub(super) const fn repeats_unchanged(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type) || matches!(resource_type, ResourceType::Secret)
}

/// Returns true if a SotW response without a resource removes it. Envoy's SRDS takes a response as the complete
/// set. For the other types SotW has no removal.
pub(super) const fn removes_by_omission(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type) || matches!(resource_type, ResourceType::ScopedRoute)
}

/// The types that resources of the type refer to, and that clients then ask for. They are sent again after it (O-6,
/// O-13).
pub(super) const fn children(resource_type: &ResourceType) -> &'static [ResourceType] {
    match resource_type {
        ResourceType::Cluster => &[ResourceType::Endpoint],
        ResourceType::Endpoint => &[ResourceType::LbEndpoint],
        ResourceType::Listener | ResourceType::ScopedRoute => &[ResourceType::Route],
        ResourceType::Route => &[ResourceType::VirtualHost],
        ResourceType::LbEndpoint
        | ResourceType::VirtualHost
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => &[],
    }
}

/// Returns true if a client asks for resources of type `child` by the names in resources of type `parent`. A client
/// that was given the parent is answered for them (O-16).
pub(super) const fn is_child_of(child: &ResourceType, parent: &ResourceType) -> bool {
    match parent {
        ResourceType::Cluster => matches!(child, ResourceType::Endpoint | ResourceType::Secret),
        ResourceType::Endpoint => matches!(child, ResourceType::LbEndpoint),
        ResourceType::Listener => matches!(
            child,
            ResourceType::Route | ResourceType::Secret | ResourceType::ExtensionConfig
        ),
        ResourceType::Route => matches!(child, ResourceType::VirtualHost | ResourceType::ExtensionConfig),
        ResourceType::ScopedRoute => matches!(child, ResourceType::Route),
        ResourceType::LbEndpoint
        | ResourceType::VirtualHost
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => false,
    }
}

/// Returns true if resources of the type can refer to clusters, so that a cluster is held for them (O-12).
pub(super) const fn names_clusters(resource_type: &ResourceType) -> bool {
    match resource_type {
        ResourceType::Listener | ResourceType::Route | ResourceType::VirtualHost | ResourceType::ExtensionConfig => {
            true
        }
        ResourceType::Cluster
        | ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::ScopedRoute
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::Other(_) => false,
    }
}

/// Returns true if resources of the type claim places that a client accepts only once (O-17).
pub(super) const fn has_places(resource_type: &ResourceType) -> bool {
    match resource_type {
        ResourceType::Listener | ResourceType::ScopedRoute | ResourceType::VirtualHost => true,
        ResourceType::Cluster
        | ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Route
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => false,
    }
}

/// Returns true if resources of the type wait for the resources that they newly refer to (O-15).
pub(super) const fn waits(resource_type: &ResourceType) -> bool {
    match resource_type {
        ResourceType::Listener
        | ResourceType::Route
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::ExtensionConfig => true,
        ResourceType::Cluster
        | ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::Other(_) => false,
    }
}
