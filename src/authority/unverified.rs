//! Reasons for not taking a credential.

use crate::access::{BearerError, JwtError};

/// The reason why a credential is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The header holds no token.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// The tokens file does not have the token, or the token has expired.
    #[error("the bearer token is not known, or has expired")]
    Token,
    /// The JWT is refused.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// The settings name no file to check such a token against.
    #[error("bearer tokens of this kind are not taken here")]
    Kind,
    /// The certificate has expired since the connection began.
    #[error("the client certificate has expired")]
    Certificate,
    /// Too many tokens are being checked already.
    #[error("too many tokens are being checked: try again later")]
    Busy,
}
