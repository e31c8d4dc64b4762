//! Access rules: which identity may be which node, and which caller may do which call. Pure.
//!
//! Time is an argument, files come as text. `authority` holds the current rules and asks here; the edges ask
//! `authority`.

mod config;
mod credential;
mod identity;
mod jwt;
mod pattern;
mod policy;
mod role;
mod token;

pub use self::{
    config::{AccessConfig, AdminRule, JwtConfig, NodeRule, OneOrMany},
    credential::{Bearer, BearerError},
    identity::{Identity, JwtIdentity, TokenIdentity},
    jwt::{JwtError, JwtVerifier, KeysError},
    pattern::{Captures, Glob, Kind, Pattern, PatternError, Template},
    policy::{AdminReach, Denial, NodeReach, Policy, RuleError, SecretReach},
    role::{Right, Role},
    token::{NewToken, SALT_BYTES, SECRET_BYTES, TokenError, Tokens, TokensError},
};
