//! The rules of a moment with what they are checked against: tokens and keys, read from their files.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    access::{AccessConfig, Identity, JwtVerifier, KeysError, Policy, RuleError, Tokens, TokensError},
    input,
};

/// Bytes of a file of tokens or keys.
const MAX_BYTES: u64 = 16 << 20;

/// The rules of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub(super) policy: Policy,
    pub(super) tokens: Tokens,
    pub(super) jwt: Option<JwtVerifier>,
}

/// Rules that cannot be decided by.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A rule cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A file cannot be read.
    #[error("{key}: {}: {cause}", file.display())]
    Read {
        /// The setting that names it.
        key: &'static str,
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A line of the tokens file cannot be used.
    #[error("access.tokens_file: {}: {cause}", file.display())]
    Tokens {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        cause: TokensError,
    },
    /// The keys cannot be used.
    #[error("access.jwt.keys_file: {}: {cause}", file.display())]
    Keys {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        cause: KeysError,
    },
}

// === impl Rules ===

impl Rules {
    /// Compiles the rules and reads the files that they name. May block.
    ///
    /// # Errors
    ///
    /// [`LoadError`] for the first thing that is wrong.
    pub fn load(config: &AccessConfig) -> Result<Self, LoadError> {
        let policy = Policy::new(config)?;
        let tokens = config.tokens_file.as_ref().map(|file| {
            let text = read("access.tokens_file", file)?;
            Tokens::parse(&text).map_err(|cause| LoadError::Tokens {
                file: file.clone(),
                cause,
            })
        });
        let jwt = config.jwt.as_ref().map(|jwt| {
            let text = read("access.jwt.keys_file", &jwt.keys_file)?;
            JwtVerifier::new(&jwt.issuer, &jwt.audience, &text).map_err(|cause| LoadError::Keys {
                file: jwt.keys_file.clone(),
                cause,
            })
        });
        Ok(Self {
            policy,
            tokens: tokens.transpose()?.unwrap_or_default(),
            jwt: jwt.transpose()?,
        })
    }

    /// Whether what an identity was verified by still counts.
    pub(super) fn holds(&self, identity: Option<&Identity>, now: SystemTime) -> bool {
        identity.is_none_or(|identity| {
            let token = identity.token().is_none_or(|token| self.tokens.still(token, now));
            let trusted = |jwt| self.jwt.as_ref().is_some_and(|verifier| verifier.still(jwt, now));
            token && identity.jwt().is_none_or(trusted) && identity.expires().is_none_or(|expires| now < expires)
        })
    }
}

/// The text of a file: keys may be private ones, whatever is needed of them.
fn read(key: &'static str, file: &Path) -> Result<Zeroizing<String>, LoadError> {
    let read = || {
        let mut content = input::read_secret(&input::open(file)?, MAX_BYTES)?;
        match String::from_utf8(std::mem::take(&mut *content)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
            }
        }
    };
    read().map_err(|cause| LoadError::Read {
        key,
        file: file.to_owned(),
        cause,
    })
}
