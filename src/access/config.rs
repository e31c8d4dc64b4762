//! The section `access` of the config file, as it is written; `policy` compiles rules from it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::role::Role;

/// The section `access`: rules for nodes, rules for the admin API, and the credentials that both are checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// The rules for nodes, in order; without them every client that can connect may be any node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeRule>>,
    /// The rules for the admin API, in order; without them every client that can connect may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Vec<AdminRule>>,
    /// The file with the hashes of bearer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_file: Option<PathBuf>,
    /// The issuer, audience and keys of JWTs; without them no JWT is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
}

/// A rule for nodes. Exactly one of the first four fields selects the identities that the rule applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRule {
    /// A pattern over the URIs of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A pattern over the DNS names of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A pattern over names of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A pattern over subjects of JWTs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The node ids that the identity may use.
    pub node_id: OneOrMany,
    /// The groups that the node may belong to.
    pub groups: OneOrMany,
    /// The secrets that the node is given; none by default.
    #[serde(default)]
    pub secrets: OneOrMany,
}

/// A rule for the admin API. Exactly one of the first four fields selects the identities that the rule applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdminRule {
    /// A pattern over the URIs of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A pattern over the DNS names of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A pattern over names of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A pattern over subjects of JWTs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The roles that the identity has.
    pub roles: Vec<Role>,
    /// The groups in which the roles `publish` and `read-secrets` apply; none by default.
    #[serde(default)]
    pub groups: OneOrMany,
}

/// The JWTs that are taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The value that the claim `iss` must have.
    pub issuer: String,
    /// The value that the claim `aud` must equal, or contain where `aud` is a list.
    pub audience: String,
    /// The file with the keys, as a JSON Web Key Set.
    pub keys_file: PathBuf,
}

/// A text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

// === impl OneOrMany ===

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text or a list of texts")]
        enum Given {
            One(String),
            Many(Vec<String>),
        }

        Ok(match Given::deserialize(deserializer)? {
            Given::One(one) => Self(vec![one]),
            Given::Many(many) => Self(many),
        })
    }
}

impl Serialize for OneOrMany {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
