//! Configurations that must be admitted and such that must not, each with what is found in it; and a real Envoy's word on
//! every one.
//!
//! `good/` holds whole configurations, `bad/` tables of cases: see `cases.rs` for how they are written.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

mod bad;
mod cases;
mod confirmed;
mod envoy;
mod good;
mod process;
