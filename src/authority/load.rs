//! The access rules with their tokens and JWT keys, read from their files.

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

/// The largest tokens or keys file, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The access rules of one moment, with the tokens and keys that credentials are checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub(super) policy: Policy,
    pub(super) tokens: Tokens,
    pub(super) jwt: Option<JwtVerifier>,
}

/// Access rules that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A rule cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A file cannot be read.
    #[error("{key}: {}: {cause}", file.display())]
    Read {
        /// The setting that names the file.
        key: &'static str,
        /// The path of the file.
        file: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// A line of the tokens file cannot be used.
    #[error("access.tokens_file: {}: {cause}", file.display())]
    Tokens {
        /// The path of the file.
        file: PathBuf,
        /// The line, and the reason.
        cause: TokensError,
    },
    /// The key set cannot be used.
    #[error("access.jwt.keys_file: {}: {cause}", file.display())]
    Keys {
        /// The path of the file.
        file: PathBuf,
        /// The reason.
        cause: KeysError,
    },
}

// === impl Rules ===

impl Rules {
    /// Compiles the rules and reads the files that they name. May block.
    ///
    /// # Errors
    ///
    /// [`LoadError`] for the first error found.
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

    /// Returns true if every credential behind the identity still counts.
    pub(super) fn holds(&self, identity: Option<&Identity>, now: SystemTime) -> bool {
        identity.is_none_or(|identity| {
            let token = identity.token().is_none_or(|token| self.tokens.still(token, now));
            let trusted = |jwt| self.jwt.as_ref().is_some_and(|verifier| verifier.still(jwt, now));
            token && identity.jwt().is_none_or(trusted) && identity.expires().is_none_or(|expires| now < expires)
        })
    }
}

/// Reads a file as text. The buffer is zeroed: a JWK file may hold private keys although only public ones are needed.
fn read(key: &'static str, file: &Path) -> Result<Zeroizing<String>, LoadError> {
    let read = || {
        let mut content = input::read_secret(&input::open(file)?, MAX_BYTES)?;
        match String::from_utf8(std::mem::take(&mut *content)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
            }
        }
    };
    read().map_err(|cause| LoadError::Read {
        key,
        file: file.to_owned(),
        cause,
    })
}
