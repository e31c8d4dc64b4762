//! The fuzz targets: each accepts any bytes, and panics if the product panics or an invariant is broken. `main.rs` replays
//! their corpus in `cargo test`, the engine beside it searches for new inputs.

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

/// One target: its name, which is also its folder of the corpus, and its function.
pub(crate) type Target = (&'static str, fn(&[u8]));

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
