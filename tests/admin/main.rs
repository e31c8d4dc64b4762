//! The admin API and the command line against a control plane that runs in this process on free ports.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

mod harness;

mod access;
#[path = "../common/authority.rs"]
mod authority;
mod canary;
mod commands;
mod csds;
mod envoy;
mod exhausted;
mod guard;
mod history;
mod input;
mod large;
mod load;
mod memory;
mod nacks;
mod pages;
mod plan;
mod process;
mod refused;
mod sealed;
mod secure;
mod services;
mod silent;
mod store;
mod vital;
mod wait;
