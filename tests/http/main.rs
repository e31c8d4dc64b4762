//! The HTTP port as a client sees it: xDS over REST-JSON and the endpoint registry.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

mod access;
mod endpoints;
mod guard;
mod harness;
mod metrics;
mod rest;
mod strangers;
