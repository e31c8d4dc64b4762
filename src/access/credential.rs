//! What somebody shows in a header: which kind of token it is, before anything of it is checked.

/// A bearer token as it was shown. Its text is never shown again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// `NAME.SECRET`, of the tokens file.
    Token {
        /// What the token says it is called.
        name: &'a str,
        /// What only its owner has.
        secret: &'a str,
    },
    /// A JWT.
    Jwt(&'a str),
}

/// A header that shows nothing we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Another scheme than `Bearer`.
    #[error("authorization: expected \"Bearer TOKEN\"")]
    Scheme,
    /// Neither a token of ours nor a JWT.
    #[error("authorization: the bearer token is neither NAME.SECRET nor a JWT")]
    Form,
}

// === impl Bearer ===

impl<'a> Bearer<'a> {
    /// Reads the value of an `authorization` header.
    ///
    /// # Errors
    ///
    /// [`BearerError`] where it shows nothing we take.
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
