//! What fuzzing gives bytes to: each target takes any bytes, and panics where the product does or where something does not hold
//! that must. `main.rs` runs them over their corpus in `cargo test`, the engine beside it looks for more.

mod access;
mod admission;
mod config;
mod credentials;
mod input;
mod names;
mod protocol;
mod rest;
mod tls;
mod world;
mod xds;

/// One target: what it is called, as its folder of the corpus is, and what is given the bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 9] = [
    ("access", access::run),
    ("admission", admission::run),
    ("config", config::run),
    ("credentials", credentials::run),
    ("names", names::run),
    ("protocol", protocol::run),
    ("rest", rest::run),
    ("tls", tls::run),
    ("xds", xds::run),
];
