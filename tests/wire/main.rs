//! The xDS port: raw streams over a real socket, against a control plane in this process.
//!
//! Every client sends exactly what a test tells it to, and never answers by itself. The rules (`L-1`, `S-7`, …) are those of
//! `docs/protocol.md`.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

#[path = "../common/authority.rs"]
mod authority;
mod client;
mod config;
mod server;

mod access;
mod answers;
mod bad_requests;
mod connections;
mod crowds;
mod delta;
mod embed;
mod floods;
mod frames;
mod hello;
mod limits;
mod metrics;
mod model;
mod names;
mod order;
mod overload;
mod rpcs;
mod secure;
mod sotw;
mod strangers;
mod streams;
mod timing;
mod words;
