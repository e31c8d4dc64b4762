//! Who somebody is, as far as it was verified: by a client certificate, by a bearer token, or by both.

use std::{fmt, time::SystemTime};

use super::pattern::{Captures, Kind, Pattern};
use crate::connection::ClientCertificate;

/// Somebody whose credentials were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uris: Vec<String>,
    dns_names: Vec<String>,
    fingerprint: Option<String>,
    token: Option<TokenIdentity>,
    jwt: Option<JwtIdentity>,
    expires: Option<SystemTime>,
}

/// Who showed a token of the tokens file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIdentity {
    /// What the token is called.
    pub name: String,
    /// The hash it was checked against: another one under the same name is another token.
    pub hash: String,
    /// When it expires.
    pub expires: Option<SystemTime>,
}

/// Who showed a JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIdentity {
    /// `sub`.
    pub subject: String,
    /// The print of the key that signed it: it must be trusted as long as the token is.
    pub key: String,
    /// `exp`, and as long after it as clocks may be apart.
    pub expires: SystemTime,
}

// === impl Identity ===

impl Identity {
    /// Who showed this certificate, and this token with it; `None` where there is neither.
    #[must_use]
    pub fn of(
        certificate: Option<&ClientCertificate>,
        token: Option<TokenIdentity>,
        jwt: Option<JwtIdentity>,
    ) -> Option<Self> {
        if certificate.is_none() && token.is_none() && jwt.is_none() {
            return None;
        }
        let ends = [
            certificate.map(|certificate| certificate.not_after),
            token.as_ref().and_then(|token| token.expires),
            jwt.as_ref().map(|jwt| jwt.expires),
        ];
        Some(Self {
            uris: certificate
                .map(|certificate| certificate.uris.clone())
                .unwrap_or_default(),
            dns_names: certificate
                .map(|certificate| certificate.dns_names.clone())
                .unwrap_or_default(),
            fingerprint: certificate.map(|certificate| certificate.fingerprint.clone()),
            expires: ends.into_iter().flatten().min(),
            token,
            jwt,
        })
    }

    /// When the first of what it was verified by expires.
    #[must_use]
    pub const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The token it showed, if any.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenIdentity> {
        self.token.as_ref()
    }

    /// The JWT it showed, if any.
    #[must_use]
    pub const fn jwt(&self) -> Option<&JwtIdentity> {
        self.jwt.as_ref()
    }

    /// What a pattern captures of the first of its names that matches.
    #[must_use]
    pub fn captures(&self, pattern: &Pattern) -> Option<Captures> {
        let mut all = self
            .uris
            .iter()
            .filter(|_| pattern.kind() == Kind::Uri)
            .chain(self.dns_names.iter().filter(|_| pattern.kind() == Kind::Dns));
        let token = self
            .token
            .as_ref()
            .filter(|_| pattern.kind() == Kind::Token)
            .map(|token| &token.name);
        let subject = self
            .jwt
            .as_ref()
            .filter(|_| pattern.kind() == Kind::Subject)
            .map(|jwt| &jwt.subject);
        all.by_ref()
            .chain(token)
            .chain(subject)
            .find_map(|name| pattern.captures(name))
    }
}

impl fmt::Display for Identity {
    /// One name, for logs, the audit log and the author of a revision; its form tells what it was verified by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(token) = &self.token {
            return write!(f, "token:{}", token.name);
        }
        if let Some(jwt) = &self.jwt {
            return write!(f, "jwt:{}", jwt.subject.escape_debug());
        }
        match (self.uris.first(), self.dns_names.first(), &self.fingerprint) {
            (Some(uri), _, _) => write!(f, "{}", uri.escape_debug()),
            (None, Some(name), _) => write!(f, "dns:{}", name.escape_debug()),
            (None, None, Some(fingerprint)) => write!(f, "certificate:{fingerprint}"),
            (None, None, None) => f.write_str("nobody"),
        }
    }
}
