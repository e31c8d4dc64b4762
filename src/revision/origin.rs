//! The way by which a revision came, and who alone may publish its group from then on.

use std::fmt;

/// The way by which a revision came. It is known from the code that publishes; the author is what somebody said.
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

/// The one source that publishes a group: with two, each would undo what the other did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Callers of the admin API, and the endpoint registry in the shared group.
    AdminApi,
    /// The folder of files that has the group's name.
    Files,
}

// === impl Origin ===

impl Origin {
    /// As it is stored and told to programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminApi => "api",
            Self::Files => "files",
            Self::Registry => "registry",
        }
    }

    /// The origin that [`Origin::as_str`] gave the text of; `None` where no release knows it.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::AdminApi, Self::Files, Self::Registry]
            .into_iter()
            .find(|origin| origin.as_str() == text)
    }

    /// The owner of a group whose newest revision came this way.
    #[must_use]
    pub const fn owner(self) -> Owner {
        match self {
            Self::AdminApi | Self::Registry => Owner::AdminApi,
            Self::Files => Owner::Files,
        }
    }

    /// It publishes by itself and often. Such a revision does not count among those that are kept, and the next of
    /// its kind right behind it takes its place in the history. Otherwise endpoints that come and go would push out what people
    /// published.
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
    /// As it is stored and told to programs: empty for the admin API.
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
