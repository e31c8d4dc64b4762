//! Bearer credentials as a client shows them: this module distinguishes tokens from JWTs and verifies nothing.

/// A bearer token as the client showed it. `Debug` does not print its text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// `NAME.SECRET`, of the tokens file.
    Token {
        /// The name that the token claims.
        name: &'a str,
        /// The secret, known to the owner alone.
        secret: &'a str,
    },
    /// A JWT.
    Jwt(&'a str),
}

/// A header that holds no bearer token this server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// A scheme other than `Bearer`.
    #[error("authorization: expected \"Bearer TOKEN\"")]
    Scheme,
    /// Neither `NAME.SECRET` nor a JWT.
    #[error("authorization: the bearer token is neither NAME.SECRET nor a JWT")]
    Form,
}

// === impl Bearer ===

impl<'a> Bearer<'a> {
    /// Reads the value of an `authorization` header.
    ///
    /// # Errors
    ///
    /// [`BearerError`] where the header holds no token that this server takes.
    pub fn parse(header: &'a str) -> Result<Self, BearerError> {
        let (scheme, token) = header.split_once(' ').ok_or(BearerError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(BearerError::Scheme);
        }
        let mut parts = token.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(secret), None, None) if !name.is_empty() && !secret.is_empty() => {
                Ok(Self::Token { name, secret })
            }
            (Some(_), Some(_), Some(_), None) => Ok(Self::Jwt(token)),
            _ => Err(BearerError::Form),
        }
    }
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token",
            Self::Jwt(_) => "Jwt",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_jwts_by_their_dots() {
        let token = Bearer::Token {
            name: "ci",
            secret: "abc",
        };
        assert_eq!(Bearer::parse("Bearer ci.abc"), Ok(token));
        assert_eq!(Bearer::parse("bearer ci.abc"), Ok(token));
        assert_eq!(Bearer::parse("Bearer a.b.c"), Ok(Bearer::Jwt("a.b.c")));
        for (header, error) in [
            ("Basic YTpi", BearerError::Scheme),
            ("ci.abc", BearerError::Scheme),
            ("", BearerError::Scheme),
            ("Bearer abc", BearerError::Form),
            ("Bearer .abc", BearerError::Form),
            ("Bearer ci.", BearerError::Form),
            ("Bearer a.b.c.d", BearerError::Form),
        ] {
            assert_eq!(Bearer::parse(header), Err(error), "{header}");
        }
    }
}
