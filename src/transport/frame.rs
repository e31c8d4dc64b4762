//! Responses as gRPC messages whose large part is one immutable `Bytes`, shared by all streams that are sent the same.
//!
//! A message is `prefix | head | payload`. The head holds what differs per stream (version, nonce, removed names), the
//! payload the resources. Protobuf lets fields come in any order.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::{
    protocol::{Contents, Response, Variant},
    resource::{Resource, ResourceName, ResourceType},
};

/// Below this a message is one buffer of its own: a chunk costs an HTTP/2 frame, which costs more than the copy.
const SHARE_FROM: usize = 8 * 1024;

/// Payloads kept though no stream is being sent them: the next stream is likely to want the same.
const KEPT: usize = 16;

/// Bytes of payloads kept so.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// Payloads found again without being kept; older ones are forgotten first.
const REMEMBERED: usize = 256;

/// Encodes responses, each payload once.
#[derive(Debug)]
pub(super) struct Frames {
    /// `control_plane.identifier` (L-10).
    identifier: String,
    payloads: Mutex<Payloads>,
}

#[derive(Debug, Default)]
struct Payloads {
    /// Newest last.
    remembered: Vec<Weak<Payload>>,
    /// Newest last.
    kept: Vec<Arc<Payload>>,
}

/// The shared part of a message.
#[derive(Debug)]
struct Payload {
    variant: Variant,
    kind: ResourceType,
    /// What it was made of: held, so that identity of pointers means identity of content.
    contents: Contents,
    bytes: Bytes,
}

/// Hands the payload's bytes out and keeps it findable as long as any of them is in flight.
#[derive(Debug)]
struct Held(Arc<Payload>);

// === impl Held ===

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

// === impl Frames ===

impl Frames {
    pub(super) fn new(identifier: String) -> Self {
        Self {
            identifier,
            payloads: Mutex::default(),
        }
    }

    /// The chunks of one gRPC message.
    pub(super) fn encode(&self, variant: Variant, response: &Response) -> Vec<Bytes> {
        let head = head(variant, response);
        let kind = &response.delivery.resource_type;
        let small = response.resources.len() <= 64
            && payload_len(variant, kind, response.resources.as_slice(), &self.identifier) < SHARE_FROM;
        if small {
            let payload = self.payload(variant, kind, response.resources.as_slice());
            let mut whole = BytesMut::with_capacity(5 + head.len() + payload.len());
            prefix(&mut whole, head.len() + payload.len());
            whole.put_slice(&head);
            whole.put_slice(&payload);
            return vec![whole.freeze()];
        }
        let payload = self.shared_payload(variant, kind, &response.resources);
        let mut first = BytesMut::with_capacity(5 + head.len());
        prefix(&mut first, head.len() + payload.bytes.len());
        first.put_slice(&head);
        vec![first.freeze(), Bytes::from_owner(Held(payload))]
    }

    fn shared_payload(&self, variant: Variant, kind: &ResourceType, contents: &Contents) -> Arc<Payload> {
        if let Some(found) = self.lock().find(variant, kind, contents) {
            return found;
        }
        // Encoded outside the lock: two streams may do the same work once, none waits for a large one.
        let made = Arc::new(Payload {
            variant,
            kind: kind.clone(),
            contents: contents.clone(),
            bytes: self.payload(variant, kind, contents.as_slice()),
        });
        let mut payloads = self.lock();
        if let Some(found) = payloads.find(variant, kind, contents) {
            return found;
        }
        payloads.remember(&made);
        made
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Payloads> {
        self.payloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `type_url`, `control_plane` and the resources.
    fn payload(&self, variant: Variant, kind: &ResourceType, resources: &[Arc<Resource>]) -> Bytes {
        let mut buf = BytesMut::with_capacity(payload_len(variant, kind, resources, &self.identifier));
        put_field(&mut buf, 4, kind.type_url().as_bytes());
        let control_plane = match variant {
            Variant::Sotw => 6,
            Variant::Delta => 7,
        };
        put_len(&mut buf, control_plane, field_len(self.identifier.len()));
        put_field(&mut buf, 1, self.identifier.as_bytes());
        for resource in resources {
            match variant {
                Variant::Sotw => put_field(&mut buf, 2, &resource.body),
                Variant::Delta => put_wrapped(&mut buf, resource),
            }
        }
        buf.freeze()
    }
}

// === impl Payloads ===

impl Payloads {
    fn find(&mut self, variant: Variant, kind: &ResourceType, contents: &Contents) -> Option<Arc<Payload>> {
        self.remembered.retain(|payload| payload.strong_count() > 0);
        let alive = self.remembered.iter().rev().filter_map(Weak::upgrade);
        let mut matching =
            alive.filter(|made| made.variant == variant && made.kind == *kind && same(&made.contents, contents));
        matching.next()
    }

    fn remember(&mut self, payload: &Arc<Payload>) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push(Arc::downgrade(payload));
        self.kept.push(Arc::clone(payload));
        let total = |kept: &[Arc<Payload>]| kept.iter().map(|payload| payload.bytes.len()).sum::<usize>();
        while self.kept.len() > 1 && (self.kept.len() > KEPT || total(&self.kept) > KEPT_BYTES) {
            self.kept.remove(0);
        }
    }
}

/// Whether two contents are the same resources; by identity, which a payload in use guarantees.
fn same(a: &Contents, b: &Contents) -> bool {
    match (a, b) {
        (Contents::All(a), Contents::All(b)) => a.id() == b.id(),
        (Contents::Changed(a), Contents::Changed(b)) => Arc::ptr_eq(a, b),
        (Contents::Chosen(a), Contents::Chosen(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        (Contents::All(_) | Contents::Changed(_) | Contents::Chosen(_), _) => false,
    }
}

/// What differs per stream.
fn head(variant: Variant, response: &Response) -> Bytes {
    let delivery = &response.delivery;
    let mut buf = BytesMut::with_capacity(128);
    put_field(&mut buf, 1, delivery.version.as_str().as_bytes());
    put_field(&mut buf, 5, delivery.nonce.as_str().as_bytes());
    if variant == Variant::Delta {
        for name in &response.removed {
            put_field(&mut buf, 6, name.as_str().as_bytes());
        }
        for name in &response.unresolved {
            put_unresolved(&mut buf, name);
        }
    }
    buf.freeze()
}

/// `envoy.service.discovery.v3.Resource` as field 2 of a delta response (D-14). Without the TTL: a client would drop the
/// resource when it expires, and nothing renews it yet (T-3).
fn put_wrapped(buf: &mut BytesMut, resource: &Resource) {
    put_len(buf, 2, wrapped_len(resource));
    put_field(buf, 1, resource.version.as_str().as_bytes());
    put_field(buf, 2, &resource.body);
    put_field(buf, 3, resource.name.as_str().as_bytes());
    for alias in &resource.aliases {
        put_field(buf, 4, alias.as_str().as_bytes());
    }
}

fn wrapped_len(resource: &Resource) -> usize {
    let aliases: usize = resource
        .aliases
        .iter()
        .map(|alias| field_len(alias.as_str().len()))
        .sum();
    field_len(resource.version.as_str().len())
        + field_len(resource.body.len())
        + field_len(resource.name.as_str().len())
        + aliases
}

/// D-12: a name that no virtual host answers to comes back as its own alias, without a resource.
fn put_unresolved(buf: &mut BytesMut, name: &ResourceName) {
    let name = name.as_str().as_bytes();
    put_len(buf, 2, 2 * field_len(name.len()));
    put_field(buf, 3, name);
    put_field(buf, 4, name);
}

fn payload_len(variant: Variant, kind: &ResourceType, resources: &[Arc<Resource>], identifier: &str) -> usize {
    let fixed = field_len(kind.type_url().len()) + field_len(field_len(identifier.len()));
    let lens = resources.iter().map(|resource| match variant {
        Variant::Sotw => field_len(resource.body.len()),
        Variant::Delta => field_len(wrapped_len(resource)),
    });
    fixed + lens.sum::<usize>()
}

/// The gRPC prefix: not compressed, and the length.
fn prefix(buf: &mut BytesMut, len: usize) {
    buf.put_u8(0);
    buf.put_u32(u32::try_from(len).expect("admission keeps a snapshot far below 4 GiB"));
}

/// A length-delimited field; all tags here are below 16, so a key is one byte.
fn put_field(buf: &mut BytesMut, tag: u8, value: &[u8]) {
    put_len(buf, tag, value.len());
    buf.put_slice(value);
}

fn put_len(buf: &mut BytesMut, tag: u8, len: usize) {
    buf.put_u8(tag << 3 | 2);
    encode_varint(len as u64, buf);
}

fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

#[cfg(test)]
mod tests;
