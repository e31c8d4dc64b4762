//! What may be set about the protocol, and what the types of resources ask for.

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
    /// Types whose empty first request means "all" (W-4). For the others an Envoy that reconnects sends an empty list for
    /// every type it ever used, and must not be flooded.
    pub legacy_wildcard: BTreeSet<ResourceType>,
    /// Make before break on ADS streams (O).
    pub ordering: Ordering,
    /// Whether names that do not exist are told as errors of theirs (E-6).
    pub resource_errors: bool,
    /// Types whose removals are not told in delta: Envoy deletes a filter's configuration while the filter is in use.
    pub quiet_removals: BTreeSet<ResourceType>,
    /// What a wildcard leaves out, by name: given only to those who ask for it by name (W-9).
    pub on_demand: BTreeMap<ResourceType, Arc<[Pattern]>>,
    /// Types of which a reconnecting delta client is sent everything again, whatever versions it presents (D-6).
    pub resend_presented: BTreeSet<ResourceType>,
    /// Limits of one stream (L-12).
    pub limits: StreamLimits,
}

/// How a change is ordered on an ADS stream (O-3, O-4).
#[derive(Clone, Copy, Debug)]
pub struct Ordering {
    /// Without it every type is brought to the newest snapshot as soon as its last response was answered.
    pub enabled: bool,
    /// How long a step that adds or changes waits for the ACK of an earlier one. Longer than Envoy's
    /// `initial_fetch_timeout` of 15 s, for which a warming cluster withholds its ACK (O-14). Steps that remove wait for
    /// ever.
    pub make_timeout: Duration,
    /// How long removals wait after everything else was ACKed: for listeners that drain with an inline route, which
    /// nothing on the wire shows (O-12).
    pub removal_delay: Duration,
    /// How long an Envoy may leave a response of clusters unanswered before newer clusters are sent beside it: it answers once
    /// all of them are warm (O-5), while any other client answers within a round trip.
    pub patience: Duration,
    /// How long removals wait for an Envoy that comes back to ask for its listeners and routes: until then it is not known
    /// what they need (O-19). It asks for all within its first round trip.
    pub return_wait: Duration,
    /// How long a removed cluster is held for a route configuration that still names it: longer than Envoy's drain time
    /// of 600 s (O-12).
    pub hold_cap: Duration,
}

/// What one stream may ask for.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Names subscribed of one type. A SotW client lists all of them in every request, so this bounds memory per stream.
    pub names_per_type: usize,
    /// Bytes of all names on one stream, of every type: what 500 000 names of a usual length take.
    pub subscribed_bytes: usize,
    /// Types on one stream: Envoy uses ten.
    pub types: usize,
    /// Bytes of one name: xdstp names with context parameters run to some hundred.
    pub name_bytes: usize,
    /// Bytes of `node.id`, and of each other text that a node is remembered by.
    pub node_id_bytes: usize,
    /// Bytes of what is used of a node: decoding makes some twenty times as much of them. Istio's metadata has some thousand.
    pub node_bytes: usize,
    /// Bytes read of a NACK's message: an Envoy names each cluster that it refuses. What is longer is cut before it is copied.
    pub error_bytes: usize,
    /// Delta responses awaiting their ACK, per type, that answer requests; beyond it answers coalesce (D-16).
    pub answers_in_flight: usize,
    /// Bytes of a delta response beyond which it is divided for gRPC clients, which take 4 MiB unless told otherwise (L-13).
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
    /// Whether the texts that the node is remembered by are short (L-12).
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NodeTextTooLong`] for the first that is not.
    pub fn check_node(&self, node: &Node) -> Result<(), ProtocolError> {
        self.check_text("id", node.id.as_str())?;
        self.check_text("cluster", &node.cluster)?;
        self.check_text("user_agent", &node.user_agent)
    }

    /// Whether the name that the node's group was given is short: rules may make it of whatever the node says.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NodeTextTooLong`] where it is not.
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

// === what types ask for ===

/// Whether a SotW response must hold everything subscribed, because absence means deletion (S-18, W-8).
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

/// Whether a client that refuses a response has applied the valid resources in it (S-8). For the other types Envoy stops
/// at the first bad one.
pub(super) const fn applies_valid_part(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type)
}

/// Whether a SotW response that changes one resource carries the unchanged ones too: Envoy takes an SDS update without a
/// watched secret for an error (S-18).
pub(super) const fn repeats_unchanged(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type) || matches!(resource_type, ResourceType::Secret)
}

/// Whether a removal is told in SotW, by a response without the resource. Envoy's SRDS takes a response as the
/// complete set; for the others there is no removal in SotW.
pub(super) const fn tells_removal(resource_type: &ResourceType) -> bool {
    is_full_state(resource_type) || matches!(resource_type, ResourceType::ScopedRoute)
}

/// The types whose resources the given one's refer to and that clients ask for once they hold it: they are sent again
/// behind it (O-6, O-13).
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

/// The types whose resources a client asks for by the names that resources of the given type hold: whoever was given the
/// parent is answered for them (O-16).
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

/// Whether resources of a type can refer to clusters, so that a cluster is held for them (O-12).
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

/// Whether resources of a type claim places that a client takes only once (O-17).
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

/// Types whose resources wait for what they newly refer to (O-15).
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
