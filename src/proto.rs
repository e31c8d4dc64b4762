//! Code generated from Envoy's protos and ours, and the embedded descriptor set of all of them.
//!
//! Plain data of the wire: every layer may use it. Resources themselves are never decoded into these types (see
//! `admission`).

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    rustdoc::all,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::str_to_string,
    clippy::use_self
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

pub use self::generated::*;

/// The `FileDescriptorSet` of Envoy's whole API, with the options of its fields, and of ours.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptor set was written by protoc at build time")
});

/// Every message type of Envoy's API and ours. The first call takes some tens of milliseconds.
#[must_use]
pub fn descriptors() -> &'static DescriptorPool {
    &POOL
}

/// Messages of `envoy.service.discovery.v3`, under the names the field uses.
pub mod discovery {
    pub use super::envoy::service::discovery::v3::*;
}

/// Messages and services of our admin API.
pub mod admin {
    pub use super::chancery::admin::v1::*;
}
