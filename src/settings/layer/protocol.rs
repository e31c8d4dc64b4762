//! One layer of the protocol's settings: what differs between clients, and what they are told.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    node::{NodeGroup, Pattern},
    protocol::{Policy, StreamLimits},
    resource::{ResourceType, UnknownType},
    settings::{SettingsError, value::ByteSize},
};

/// What differs between clients, and what they are told.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolLayer {
    /// Tell clients of names that do not exist by an error of the resource
    #[arg(id = "protocol_resource_errors", long = "protocol-resource-errors",
          env = "CHANCERY_PROTOCOL_RESOURCE_ERRORS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub resource_errors: Option<bool>,
    /// Groups whose clients are sent TTLs though they do not say that they take them, comma-separated
    #[arg(
        id = "protocol_ttl_groups",
        long = "protocol-ttl-groups",
        env = "CHANCERY_PROTOCOL_TTL_GROUPS",
        value_name = "GROUP,…",
        value_delimiter = ','
    )]
    pub ttl_groups: Option<Vec<String>>,
    /// What a wildcard leaves out, as TYPE:NAME with * in the name, comma-separated
    #[arg(
        id = "protocol_on_demand",
        long = "protocol-on-demand",
        env = "CHANCERY_PROTOCOL_ON_DEMAND",
        value_name = "TYPE:NAME,…",
        value_delimiter = ','
    )]
    pub on_demand: Option<Vec<String>>,
    /// Bytes of a delta response beyond which it is divided for gRPC clients
    #[arg(
        id = "protocol_max_response_bytes",
        long = "protocol-max-response-bytes",
        env = "CHANCERY_PROTOCOL_MAX_RESPONSE_BYTES",
        value_name = "SIZE"
    )]
    pub max_response_bytes: Option<ByteSize>,
    /// Types whose removals are not told in delta, comma-separated
    #[arg(
        id = "protocol_quiet_removals",
        long = "protocol-quiet-removals",
        env = "CHANCERY_PROTOCOL_QUIET_REMOVALS",
        value_name = "TYPE,…",
        value_delimiter = ','
    )]
    pub quiet_removals: Option<Vec<String>>,
    /// Types of which a reconnecting delta client is sent everything again, comma-separated
    #[arg(
        id = "protocol_resend_presented",
        long = "protocol-resend-presented",
        env = "CHANCERY_PROTOCOL_RESEND_PRESENTED",
        value_name = "TYPE,…",
        value_delimiter = ','
    )]
    pub resend_presented: Option<Vec<String>>,
}

// === impl ProtocolLayer ===

impl ProtocolLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            resource_errors: self.resource_errors.or(below.resource_errors),
            ttl_groups: self.ttl_groups.or(below.ttl_groups),
            on_demand: self.on_demand.or(below.on_demand),
            max_response_bytes: self.max_response_bytes.or(below.max_response_bytes),
            quiet_removals: self.quiet_removals.or(below.quiet_removals),
            resend_presented: self.resend_presented.or(below.resend_presented),
        }
    }

    /// What the policy says.
    pub(in crate::settings) fn of(policy: &Policy) -> Self {
        let names = |types: &BTreeSet<ResourceType>| types.iter().map(ToString::to_string).collect();
        Self {
            resource_errors: Some(policy.resource_errors),
            ttl_groups: Some(Vec::new()),
            on_demand: Some(Vec::new()),
            max_response_bytes: Some(ByteSize(policy.limits.response_bytes)),
            quiet_removals: Some(names(&policy.quiet_removals)),
            resend_presented: Some(names(&policy.resend_presented)),
        }
    }

    /// The policy with what this says.
    ///
    /// # Errors
    ///
    /// Where a type is none, or a name on demand has no type.
    pub(in crate::settings) fn settings(&self) -> Result<Policy, SettingsError> {
        let defaults = Policy::default();
        let types = |names: &Option<Vec<String>>, default| match names {
            None => Ok(default),
            Some(names) => names
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, UnknownType>>(),
        };
        let mut on_demand: BTreeMap<ResourceType, Vec<Pattern>> = BTreeMap::new();
        for text in self.on_demand.iter().flatten() {
            let (kind, name) = text
                .split_once(':')
                .ok_or_else(|| SettingsError::OnDemand(text.clone()))?;
            on_demand.entry(kind.parse()?).or_default().push(name.into());
        }
        let bytes = self.max_response_bytes.map(|size| size.0);
        Ok(Policy {
            resource_errors: self.resource_errors.unwrap_or(defaults.resource_errors),
            quiet_removals: types(&self.quiet_removals, defaults.quiet_removals)?,
            resend_presented: types(&self.resend_presented, defaults.resend_presented)?,
            on_demand: on_demand
                .into_iter()
                .map(|(kind, names)| (kind, names.into()))
                .collect(),
            limits: StreamLimits {
                response_bytes: bytes.unwrap_or(defaults.limits.response_bytes),
                ..defaults.limits
            },
            ..defaults
        })
    }

    /// The groups whose clients are sent TTLs in any case.
    pub(in crate::settings) fn ttl(&self) -> BTreeSet<NodeGroup> {
        let groups = self.ttl_groups.iter().flatten();
        groups.map(|group| NodeGroup::from(group.as_str())).collect()
    }
}
