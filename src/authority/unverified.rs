//! Reasons not to take a credential.

use crate::access::{BearerError, JwtError};

/// The reason why a credential is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The header shows no token.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// The token is none of the file's, or has expired.
    #[error("the bearer token is not known, or has expired")]
    Token,
    /// The JWT is not taken.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// There is nothing to check such a token with.
    #[error("bearer tokens of this kind are not taken here")]
    Kind,
    /// The certificate has expired since the connection began.
    #[error("the client certificate has expired")]
    Certificate,
    /// Too many tokens are being checked already.
    #[error("too many tokens are being checked: try again later")]
    Busy,
}
