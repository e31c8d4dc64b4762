//! What can be done over the admin API, and the roles that let it be done.

use serde::{Deserialize, Serialize};

/// What an identity may do over the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// See snapshots without their secrets, revisions, nodes and sources.
    Read,
    /// Change the snapshots of some groups.
    Publish,
    /// See the secrets of some groups.
    ReadSecrets,
    /// Register endpoints over HTTP, and take them out.
    Register,
    /// Everything, in every group.
    Administer,
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing: anybody may call it.
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
    /// The role as rules write it.
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
    /// The role that gives it; `None` where none is needed.
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
