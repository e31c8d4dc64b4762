//! The resources of one type that a server sends, and the last change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use crate::{
    load::Variant,
    wire::{Any, Command, DeltaDiscoveryResponse, DiscoveryResponse, Resource, op},
};

/// A change makes a new value that shares the resources: a new stream is sent the newest.
#[derive(Debug, Default)]
pub(super) struct Stock {
    pub(super) number: u64,
    pub(super) type_url: String,
    version: String,
    resources: Arc<Mutex<BTreeMap<String, Resource>>>,
    changed: Vec<Resource>,
    frames: [OnceLock<Bytes>; 3],
}

impl Stock {
    /// The state after a command.
    pub(super) fn after(&self, command: Command) -> Self {
        let mut changed = command.resources;
        for resource in &mut changed {
            resource.version.clone_from(&command.version);
        }
        let named = changed
            .iter()
            .cloned()
            .map(|resource| (resource.name.clone(), resource));
        if command.op == op::REPLACE {
            *self.resources() = named.collect();
        } else {
            self.resources().extend(named);
        }
        let first = changed.first().and_then(|resource| resource.resource.as_ref());
        Self {
            number: self.number + 1,
            type_url: first.map_or_else(|| self.type_url.clone(), |any| any.type_url.clone()),
            version: command.version,
            resources: Arc::clone(&self.resources),
            changed,
            frames: Default::default(),
        }
    }

    fn resources(&self) -> MutexGuard<'_, BTreeMap<String, Resource>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a push, with their gRPC prefix; encoded once. `fresh` is true for a stream's first push.
    pub(super) fn frame(&self, variant: Variant, fresh: bool) -> Bytes {
        let index = match (variant, fresh) {
            (Variant::Sotw, _) => 0,
            (Variant::Delta, true) => 1,
            (Variant::Delta, false) => 2,
        };
        let framed = || match variant {
            Variant::Sotw => framed(&self.sotw(&self.version)),
            Variant::Delta => framed(&self.delta(&self.version, fresh)),
        };
        self.frames[index].get_or_init(framed).clone()
    }

    /// A full SotW response, with copied resources.
    pub(super) fn sotw(&self, nonce: &str) -> DiscoveryResponse {
        let any = |resource: &Resource| resource.resource.as_ref().map(owned);
        DiscoveryResponse {
            version_info: self.version.clone(),
            resources: self.resources().values().filter_map(any).collect(),
            type_url: self.type_url.clone(),
            nonce: nonce.to_owned(),
        }
    }

    /// A full delta response, with copied resources.
    pub(super) fn delta(&self, nonce: &str, fresh: bool) -> DeltaDiscoveryResponse {
        let copied = |resource: &Resource| Resource {
            resource: resource.resource.as_ref().map(owned),
            ..resource.clone()
        };
        let resources = if fresh {
            self.resources().values().map(copied).collect()
        } else {
            self.changed.iter().map(copied).collect()
        };
        DeltaDiscoveryResponse {
            system_version_info: self.version.clone(),
            resources,
            type_url: self.type_url.clone(),
            nonce: nonce.to_owned(),
        }
    }
}

/// A copy of the bytes, like a message made of Rust structures.
fn owned(any: &Any) -> Any {
    Any {
        type_url: any.type_url.clone(),
        value: Bytes::copy_from_slice(&any.value),
    }
}

fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut framed = BytesMut::with_capacity(5 + len);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(len).expect("a response is far below 4 GiB"));
    message.encode(&mut framed).expect("there is room for all of it");
    framed.freeze()
}
