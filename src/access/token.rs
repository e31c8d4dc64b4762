//! Bearer tokens that are stored as hashes: the tokens file, making a token, and verifying one.
//!
//! A token is `NAME.SECRET`; its line in the file is `NAME:HASH` or `NAME:HASH:EXPIRY`, with the secret's argon2id
//! hash.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::LazyLock,
    time::SystemTime,
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::identity::TokenIdentity;

/// Bytes of a secret: too many to guess.
pub const SECRET_BYTES: usize = 32;
/// Bytes of the salt of a hash.
pub const SALT_BYTES: usize = 16;

/// Characters of a name, at most.
const NAME_LEN: usize = 128;
/// The largest memory that verifying one hash may take, so that no line of the file can exhaust the memory.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;

/// The tokens of a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<String, Line>);

#[derive(Clone, PartialEq, Eq)]
struct Line {
    hash: String,
    expires: Option<SystemTime>,
}

/// A token that was just made. Only this value holds its secret; the file does not.
pub struct NewToken {
    /// The token, for its owner.
    pub token: String,
    /// The line for the tokens file.
    pub line: String,
}

/// A token that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The name is invalid; the tokens file, rules and tokens all use it.
    #[error("token name \"{0}\": a name is 1 to {NAME_LEN} letters, digits, - and _")]
    Name(String),
    /// The hash could not be made.
    #[error("the token cannot be hashed: {0}")]
    Hash(String),
}

/// A line of the file that cannot be used. The hash is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TokensError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The reason.
    pub reason: String,
}

/// The hash to verify against when a name is not in the file, so that the time taken does not show which names exist.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash(&[0; SECRET_BYTES], &[0; SALT_BYTES]).unwrap_or_default());

// === impl Tokens ===

impl Tokens {
    /// Reads the text of a tokens file. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// [`TokensError`] for the first line that cannot be used.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason: String| TokensError {
                line: index + 1,
                reason,
            };
            let mut fields = line.splitn(3, ':');
            let name = fields.next().unwrap_or_default();
            check_name(name).map_err(|error| wrong(error.to_string()))?;
            let hash = fields
                .next()
                .ok_or_else(|| wrong("expected NAME:HASH or NAME:HASH:EXPIRY".to_owned()))?;
            check_hash(hash).map_err(wrong)?;
            let expires = fields.next().map(|expiry| {
                let parsed = humantime::parse_rfc3339(expiry);
                parsed.map_err(|_| wrong(format!("\"{expiry}\" is not a time as in 2027-01-31T00:00:00Z")))
            });
            let entry = Line {
                hash: hash.to_owned(),
                expires: expires.transpose()?,
            };
            if tokens.insert(name.to_owned(), entry).is_some() {
                return Err(wrong(format!("\"{name}\" is defined twice")));
            }
        }
        Ok(Self(tokens))
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the file has no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the file has a token of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The line of a token that has not expired, as a text that changes when the line does; `None` for an unknown or
    /// expired name. Cheap: no hash is checked.
    #[must_use]
    pub fn in_force(&self, name: &str, now: SystemTime) -> Option<impl fmt::Display + use<'_>> {
        let line = self.0.get(name)?;
        let counts = line.expires.is_none_or(|expires| now < expires);
        counts.then_some(line)
    }

    /// Verifies a token and returns its identity. Takes some 10 ms and some 10 MiB, for an unknown name as well.
    #[must_use]
    pub fn verify(&self, name: &str, secret: &str, now: SystemTime) -> Option<TokenIdentity> {
        let line = self.0.get(name);
        let hash = line.map_or(NOBODY.as_str(), |line| line.hash.as_str());
        let matches = verifies(secret, hash);
        let line = line.filter(|line| matches && line.expires.is_none_or(|expires| now < expires))?;
        Some(TokenIdentity {
            name: name.to_owned(),
            hash: line.hash.clone(),
            expires: line.expires,
        })
    }

    /// Returns true if the file still has the hash of a token that was verified before, and the token has not expired.
    #[must_use]
    pub fn still(&self, token: &TokenIdentity, now: SystemTime) -> bool {
        let line = self.0.get(&token.name).filter(|line| line.hash == token.hash);
        line.is_some_and(|line| line.expires.is_none_or(|expires| now < expires))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.hash, self.expires)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=NAME_LEN).contains(&name.len()) && name.chars().all(is_name) {
        return Ok(());
    }
    Err(TokenError::Name(name.escape_debug().take(NAME_LEN).collect()))
}

fn check_hash(text: &str) -> Result<(), String> {
    let hash = PasswordHash::new(text).map_err(|error| format!("the hash cannot be read: {error}"))?;
    if hash.algorithm.as_str() != Algorithm::Argon2id.as_ref() {
        return Err("the hash must be an argon2id hash".to_owned());
    }
    if hash.hash.is_none() || hash.salt.is_none() {
        return Err("the hash must have a salt and an output".to_owned());
    }
    let params = Params::try_from(&hash).map_err(|error| format!("the hash's parameters: {error}"))?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
        return Err(format!("the hash costs more than m={MAX_MEMORY_KIB},t={MAX_PASSES}"));
    }
    Ok(())
}

fn verifies(secret: &str, hash: &str) -> bool {
    // Compares in constant time; the parameters are those of the hash.
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

// === impl NewToken ===

impl NewToken {
    /// Makes a token of random bytes.
    ///
    /// # Errors
    ///
    /// [`TokenError`] where the name is invalid or the hash cannot be made.
    pub fn new(
        name: &str,
        expires: Option<SystemTime>,
        secret: &[u8; SECRET_BYTES],
        salt: &[u8; SALT_BYTES],
    ) -> Result<Self, TokenError> {
        check_name(name)?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let mut line = format!("{name}:{}", hash(secret.as_bytes(), salt)?);
        if let Some(expires) = expires {
            // Writing to a `String` does not fail.
            write!(line, ":{}", humantime::format_rfc3339_seconds(expires)).ok();
        }
        Ok(Self {
            token: format!("{name}.{secret}"),
            line,
        })
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").finish_non_exhaustive()
    }
}

fn hash(secret: &[u8], salt: &[u8]) -> Result<String, TokenError> {
    let hashed: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(secret, salt);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| TokenError::Hash(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn made(name: &str, expires: Option<SystemTime>) -> (NewToken, String) {
        let made = NewToken::new(name, expires, &[7; SECRET_BYTES], &[9; SALT_BYTES]).unwrap();
        let secret = made.token.split_once('.').unwrap().1.to_owned();
        (made, secret)
    }

    #[test]
    fn a_token_is_verified_by_its_line_alone() {
        let (token, secret) = made("ci", None);
        assert!(!token.line.contains(&secret));
        let tokens = Tokens::parse(&format!("# who builds\n\n{}\n", token.line)).unwrap();
        let who = tokens.verify("ci", &secret, time(5)).unwrap();
        assert_eq!(who.name, "ci");
        assert!(tokens.still(&who, time(5)));
        for (name, secret) in [
            ("ci", "".to_owned()),
            ("ci", format!("{secret}x")),
            ("ci", secret[1..].to_owned()),
            ("CI", secret.clone()),
            ("other", secret.clone()),
            ("", secret.clone()),
        ] {
            assert_eq!(tokens.verify(name, &secret, time(5)), None, "{name}");
        }
        let nobody = URL_SAFE_NO_PAD.encode([0; SECRET_BYTES]);
        assert_eq!(tokens.verify("other", &nobody, time(5)), None);
    }

    #[test]
    fn a_token_ends_with_its_expiry_and_with_its_line() {
        let (token, secret) = made("ci", Some(time(100)));
        let tokens = Tokens::parse(&token.line).unwrap();
        let who = tokens.verify("ci", &secret, time(99)).unwrap();
        assert_eq!(who.expires, Some(time(100)));
        assert!(tokens.verify("ci", &secret, time(100)).is_none());
        assert!(tokens.still(&who, time(99)) && !tokens.still(&who, time(100)));
        assert!(!Tokens::default().still(&who, time(99)));
        let renewed = NewToken::new("ci", None, &[7; SECRET_BYTES], &[8; SALT_BYTES]).unwrap();
        assert!(!Tokens::parse(&renewed.line).unwrap().still(&who, time(99)));
    }

    #[test]
    fn lines_that_cannot_be_used_are_named_without_their_hash() {
        let (token, _) = made("ci", None);
        let hash = token.line.split_once(':').unwrap().1;
        for (text, expected) in [
            ("ci".to_owned(), "line 1: expected NAME:HASH"),
            ("\nc i:x".to_owned(), "line 2: token name \"c i\""),
            ("ci:secret".to_owned(), "line 1: the hash cannot be read"),
            (format!("ci:{hash}:tomorrow"), "line 1: \"tomorrow\" is not a time"),
            (format!("ci:{hash}\nci:{hash}"), "line 2: \"ci\" is defined twice"),
            (
                format!("ci:{}", hash.replace("argon2id", "argon2i")),
                "line 1: the hash must be an argon2id hash",
            ),
            (
                format!("ci:{}", hash.replace("m=19456", "m=4000000")),
                "line 1: the hash costs more than",
            ),
        ] {
            let error = Tokens::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert!(!error.contains("$argon2"), "{error}");
        }
    }
}
