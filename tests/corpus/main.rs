//! Configurations that must be admitted, and others that must be refused with certain findings; and a real Envoy's verdict on
//! each.
//!
//! `good/` contains whole configurations, `bad/` tables of cases, whose format `cases.rs` describes.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

mod bad;
mod cases;
mod confirmed;
mod envoy;
mod good;
mod process;
