//! Chancery: a standalone xDS control plane for Envoy and for gRPC's own xDS clients.
//!
//! Operators publish versioned snapshots of configuration; Chancery checks them, keeps them, and serves them over every
//! xDS transport. `ARCHITECTURE.md` shows how the modules depend on each other; `tests/architecture.rs` checks it.

pub mod access;
pub mod admin;
pub mod admission;
pub mod app;
pub mod audit;
pub mod authority;
pub mod cache;
pub mod cli;
pub mod connection;
pub mod envoy;
pub mod fleet;
pub mod http;
pub mod input;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod proto;
pub mod protocol;
pub mod publisher;
pub mod readiness;
pub mod resource;
pub mod revision;
pub mod settings;
pub mod shutdown;
pub mod snapshot;
pub mod source;
pub mod text;
pub mod tls;
pub mod transport;
