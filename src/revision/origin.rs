//! The source of a revision, and the owner of a group.

use std::fmt;

/// The source of a revision. The code that publishes sets it, unlike the author, which the publisher claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A call of the admin API.
    #[default]
    AdminApi,
    /// The folder of files that has the group's name.
    Files,
    /// The endpoint registry, in the shared group.
    Registry,
}

/// The one source that may publish a group: two sources would undo each other's publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Callers of the admin API, and the endpoint registry in the shared group.
    AdminApi,
    /// The folder of files that has the group's name.
    Files,
}

// === impl Origin ===

impl Origin {
    /// The text in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminApi => "api",
            Self::Files => "files",
            Self::Registry => "registry",
        }
    }

    /// Parses the text of [`Origin::as_str`]; `None` for unknown text.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::AdminApi, Self::Files, Self::Registry]
            .into_iter()
            .find(|origin| origin.as_str() == text)
    }

    /// The owner of a group whose newest revision has this origin.
    #[must_use]
    pub const fn owner(self) -> Owner {
        match self {
            Self::AdminApi | Self::Registry => Owner::AdminApi,
            Self::Files => Owner::Files,
        }
    }

    /// Returns true for a source that publishes by itself and often. Such revisions do not count against the retention, and each
    /// replaces a passing one right before it. Otherwise endpoints that come and go would push out what people published.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        match self {
            Self::AdminApi | Self::Files => false,
            Self::Registry => true,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Owner ===

impl Owner {
    /// The text in the store and in the API: empty for the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminApi => "",
            Self::Files => "files",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminApi => "the admin API",
            Self::Files => "files",
        })
    }
}
