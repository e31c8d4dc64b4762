//! Real Envoys on a real control plane: what is published must reach the traffic, in every way an Envoy can ask for it.
//!
//! `make tools` installs the Envoys; without them these tests fail.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod harness;

mod changes;
mod dangling;
mod files;
#[path = "../common/ports.rs"]
mod ports;
mod refusals;
mod rest;
mod restart;
mod rollback;
mod snapshots;
mod streams;
mod types;
