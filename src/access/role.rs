//! Roles of the admin API, and the rights that its calls need.

use serde::{Deserialize, Serialize};

/// A role of an identity in the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read snapshots without their secrets, revisions, nodes and sources.
    Read,
    /// Change the snapshots of some groups.
    Publish,
    /// Read the secrets of some groups.
    ReadSecrets,
    /// Register and remove endpoints over HTTP.
    Register,
    /// Do everything, in every group.
    Administer,
}

/// The right that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// None: anyone may make the call.
    Open,
    /// [`Role::Read`].
    Read,
    /// [`Role::Publish`], in the group that the request names.
    Publish,
    /// [`Role::Register`].
    Register,
    /// [`Role::Administer`].
    Administer,
}

// === impl Role ===

impl Role {
    /// The name of the role in rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::ReadSecrets => "read-secrets",
            Self::Register => "register",
            Self::Administer => "administer",
        }
    }
}

// === impl Right ===

impl Right {
    /// The role that gives the right; `None` where the call needs none.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Open => None,
            Self::Read => Some(Role::Read),
            Self::Publish => Some(Role::Publish),
            Self::Register => Some(Role::Register),
            Self::Administer => Some(Role::Administer),
        }
    }
}
