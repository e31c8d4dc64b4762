//! The identity of a node, as the node states it, and the pure rule that finds its group.
//!
//! A stream's first request becomes a [`Node`]; later requests do not change it (L-1, L-3).

mod group;
mod grouping;
mod pattern;

use std::{fmt, sync::Arc};

use crate::proto::envoy::config::core::v3 as core;

pub use self::{
    group::{GroupSet, NodeGroup},
    grouping::{GroupRule, Grouping, LocalityMatch, RuleError},
    pattern::Pattern,
};

/// The id that a node gives itself. It may be empty if the grouping does not need it (L-2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

/// The node's fields from the first request of a stream.
#[derive(Clone, Debug)]
pub struct Node {
    /// `node.id`.
    pub id: NodeId,
    /// `node.cluster`; empty if absent.
    pub cluster: String,
    /// `node.locality`; empty texts if absent.
    pub locality: Locality,
    /// `node.metadata`, unchanged.
    pub metadata: prost_types::Struct,
    /// As in `envoy 1.40.0`, for people to read.
    pub user_agent: String,
    /// `node.client_features` (F).
    pub client_features: Vec<String>,
}

/// The locality of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// `locality.region`.
    pub region: String,
    /// `locality.zone`.
    pub zone: String,
    /// `locality.sub_zone`.
    pub sub_zone: String,
}

// === impl NodeId ===

impl NodeId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Node ===

impl From<core::Node> for Node {
    fn from(node: core::Node) -> Self {
        let user_agent = user_agent(&node);
        let locality = node.locality.unwrap_or_default();
        Self {
            id: NodeId::from(node.id.as_str()),
            cluster: node.cluster,
            locality: Locality {
                region: locality.region,
                zone: locality.zone,
                sub_zone: locality.sub_zone,
            },
            metadata: node.metadata.unwrap_or_default(),
            user_agent,
            client_features: node.client_features,
        }
    }
}

fn user_agent(node: &core::Node) -> String {
    use core::node::UserAgentVersionType as Kind;

    let version = match &node.user_agent_version_type {
        Some(Kind::UserAgentVersion(version)) => version.clone(),
        Some(Kind::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}
