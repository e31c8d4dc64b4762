//! Real xDS clients, other than Envoy, against the real binary: gRPC in Python (C-core), Go, Node and Rust. Their programs are
//! in the folders beside this file; `make tools` builds them.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

#[path = "../common/authority.rs"]
mod authority;
mod grpc;
mod harness;
mod load;
#[path = "../common/ports.rs"]
mod ports;
mod secure;
