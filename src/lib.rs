//! Chancery: a standalone xDS control plane for Envoy and for gRPC's own xDS clients.
//!
//! Operators publish versioned snapshots of configuration. Chancery checks and keeps them, and serves them over every xDS
//! transport. Most people run the binary `chancery`. This library runs the same server within another process:
//! [`app::App`] starts it, [`app::Running::publisher`] takes snapshots.
//!
//! ```
#![doc = include_str!("../examples/embed.rs")]
//! ```
//!
//! [`admission`] names the faults that a publish is refused for, and [`proto`] has the messages of the admin API. Modules
//! that are not listed here serve the binary and its tests, and change without notice. `ARCHITECTURE.md` shows how the
//! modules depend on each other; `tests/architecture.rs` checks it.

#[doc(hidden)]
pub mod access;
#[doc(hidden)]
pub mod admin;
pub mod admission;
pub mod app;
#[doc(hidden)]
pub mod audit;
#[doc(hidden)]
pub mod authority;
#[doc(hidden)]
pub mod cache;
pub mod cli;
#[doc(hidden)]
pub mod connection;
#[doc(hidden)]
pub mod envoy;
#[doc(hidden)]
pub mod fleet;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod input;
#[doc(hidden)]
pub mod memory;
#[doc(hidden)]
pub mod metrics;
pub mod node;
pub mod proto;
#[doc(hidden)]
pub mod protocol;
pub mod publisher;
#[doc(hidden)]
pub mod readiness;
pub mod resource;
pub mod revision;
pub mod settings;
#[doc(hidden)]
pub mod shutdown;
pub mod snapshot;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod tls;
#[doc(hidden)]
pub mod transport;
