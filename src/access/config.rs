//! The section `access` of the config file, as it is written; `policy` makes rules of it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::role::Role;

/// Who may be which node, and who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Who may be which node, in order; without it everybody who can connect may be any node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeRule>>,
    /// Who may do what over the admin API, in order; without it everybody who can connect may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Vec<AdminRule>>,
    /// The file with the hashes of bearer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_file: Option<PathBuf>,
    /// Whose JWTs are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
}

/// What an identity may be. One of the first four says which identities are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRule {
    /// A pattern over URIs of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A pattern over its DNS names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A pattern over names of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A pattern over subjects of JWTs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The node ids it may have.
    pub node_id: OneOrMany,
    /// The groups its node may belong to.
    pub groups: OneOrMany,
    /// The secrets it is given; none by default.
    #[serde(default)]
    pub secrets: OneOrMany,
}

/// What an identity may do. One of the first four says which identities are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdminRule {
    /// A pattern over URIs of a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A pattern over its DNS names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A pattern over names of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A pattern over subjects of JWTs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// The groups that `publish` and `read-secrets` are for; none by default.
    #[serde(default)]
    pub groups: OneOrMany,
}

/// Whose JWTs are taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be this, or have it in its list.
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
