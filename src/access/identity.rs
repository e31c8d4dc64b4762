//! Verified identities: from a client certificate, a bearer token, or both.

use std::{fmt, time::SystemTime};

use super::pattern::{Captures, Kind, Pattern};
use crate::connection::ClientCertificate;

/// A client whose credentials were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uris: Vec<String>,
    dns_names: Vec<String>,
    fingerprint: Option<String>,
    token: Option<TokenIdentity>,
    jwt: Option<JwtIdentity>,
    expires: Option<SystemTime>,
}

/// The client that showed a token of the tokens file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIdentity {
    /// The name of the token.
    pub name: String,
    /// The hash that the secret was checked against; another hash under the same name is another token.
    pub hash: String,
    /// The time at which the token expires.
    pub expires: Option<SystemTime>,
}

/// The client that showed a JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIdentity {
    /// The claim `sub`.
    pub subject: String,
    /// The fingerprint of the key that signed the JWT; the JWT counts only while that key is trusted.
    pub key: String,
    /// The claim `exp` plus the clock leeway.
    pub expires: SystemTime,
}

// === impl Identity ===

impl Identity {
    /// The identity of a client that showed this certificate and this token; `None` without either.
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

    /// The earliest time at which one of the credentials expires.
    #[must_use]
    pub const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The token that the client showed, if any.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenIdentity> {
        self.token.as_ref()
    }

    /// The JWT that the client showed, if any.
    #[must_use]
    pub const fn jwt(&self) -> Option<&JwtIdentity> {
        self.jwt.as_ref()
    }

    /// The captures of the first name of the identity that matches the pattern.
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
    /// Writes one name, for logs, the audit log and the author of a revision; its form shows the kind of credential.
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
