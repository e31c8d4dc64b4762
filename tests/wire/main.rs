//! The xDS port as clients meet it: raw streams over a real socket, against a control plane that runs in this process.
//!
//! Every client sends exactly what a test says and never answers by itself. Rules (`L-1`, `S-7`, …) are those of the xDS
//! protocol as numbered in the sources.

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
