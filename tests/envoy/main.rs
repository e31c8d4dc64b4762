//! Real Envoys on a real control plane: published changes must reach the traffic, over every kind of stream.
//!
//! `make tools` installs the Envoys; without them these tests fail.

// The harness is test code as well, which clippy sees in test functions only; tests print what they measured.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[macro_use]
mod harness;

#[path = "../common/authority.rs"]
mod authority;
mod changes;
mod dangling;
#[path = "../common/delay.rs"]
mod delay;
mod files;
#[path = "../common/load.rs"]
mod load;
mod order;
#[path = "../common/ports.rs"]
mod ports;
#[path = "../common/random.rs"]
mod random;
mod refusals;
mod rest;
mod restart;
mod rollback;
mod secure;
mod snapshots;
mod streams;
mod types;
