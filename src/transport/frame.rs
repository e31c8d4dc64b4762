//! Responses as gRPC messages. The large part is one immutable `Bytes`, shared by all streams that are sent the same.
//!
//! A message is `prefix | head | payload`. The head has the fields that differ per stream (version, nonce, removed
//! names), the payload has the resources. Protobuf allows fields in any order.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::{
    protocol::{Contents, ResourceError, Response, Variant},
    resource::{Resource, ResourceName, ResourceType},
};

/// Smaller messages are one buffer: a separate chunk costs an HTTP/2 frame, which costs more than the copy.
const SHARE_FROM: usize = 8 * 1024;

/// The gRPC prefix: a flag and the length.
const PREFIX: usize = 5;

/// The estimated size of a version and a nonce.
const HEAD: usize = 128;

/// Payloads kept without a stream that is being sent them, for the next stream.
const KEPT: usize = 16;

/// Bytes of payloads kept so.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// Payloads that can be found while a stream is being sent them. The oldest are forgotten first.
const REMEMBERED: usize = 256;

/// The wrapper of a SotW resource that has a TTL (T-1) or whose content lacks its name.
const WRAPPER_URL: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

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
    form: Form,
    kind: ResourceType,
    /// The resources of the payload. Holding them makes equal pointers mean equal content.
    contents: Contents,
    bytes: Bytes,
}

/// The form in which resources are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    variant: Variant,
    /// True if resources carry their TTLs.
    ttl: bool,
}

/// Owns the bytes that are in flight. As long as any are, the payload can be found.
#[derive(Debug)]
struct Held(Arc<Payload>);

/// A gRPC message, as chunks of a body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    first: Option<Bytes>,
    shared: Option<Bytes>,
}

// === impl Chunks ===

impl Chunks {
    /// Returns true if no chunk is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.shared.is_none()
    }

    /// The bytes of the chunks that are left.
    pub(super) fn bytes(&self) -> usize {
        [&self.first, &self.shared].into_iter().flatten().map(Bytes::len).sum()
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.shared.take())
    }
}

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

    /// Encodes a response as one gRPC message.
    pub(super) fn encode(&self, variant: Variant, response: &Response) -> Chunks {
        let form = Form {
            variant,
            ttl: response.ttl,
        };
        let kind = &response.delivery.resource_type;
        let reordered = response.reordered();
        let resources = reordered.as_deref().unwrap_or_else(|| response.resources.as_slice());
        // A payload in an order of its own is not shared: it is rare, and only for listeners that exchange addresses.
        let few = resources.len() <= 64 || reordered.is_some();
        let len = if few {
            payload_len(form, kind, resources, &self.identifier)
        } else {
            0
        };
        let small = reordered.is_some() || (few && len < SHARE_FROM);
        let shared = (!small).then(|| self.shared_payload(form, kind, &response.resources));
        let mut first = BytesMut::with_capacity(PREFIX + HEAD + if small { len } else { 0 });
        first.put_bytes(0, PREFIX);
        put_head(&mut first, variant, response);
        if small {
            self.put_payload(&mut first, form, kind, resources);
        }
        let rest = shared.as_ref().map_or(0, |payload| payload.bytes.len());
        set_prefix(&mut first, rest);
        let shared = shared.map(|payload| Bytes::from_owner(Held(payload)));
        Chunks {
            first: Some(first.freeze()),
            shared,
        }
    }

    fn shared_payload(&self, form: Form, kind: &ResourceType, contents: &Contents) -> Arc<Payload> {
        if let Some(found) = self.lock().find(form, kind, contents) {
            return found;
        }
        // Encoded outside the lock: two streams may both encode it, but no stream waits for another's large payload.
        let made = Arc::new(Payload {
            form,
            kind: kind.clone(),
            contents: contents.clone(),
            bytes: self.payload(form, kind, contents.as_slice()),
        });
        let mut payloads = self.lock();
        if let Some(found) = payloads.find(form, kind, contents) {
            return found;
        }
        payloads.remember(&made);
        made
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Payloads> {
        self.payloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn payload(&self, form: Form, kind: &ResourceType, resources: &[Arc<Resource>]) -> Bytes {
        let mut buf = BytesMut::with_capacity(payload_len(form, kind, resources, &self.identifier));
        self.put_payload(&mut buf, form, kind, resources);
        buf.freeze()
    }

    /// Writes `type_url`, `control_plane` and the resources.
    fn put_payload(&self, buf: &mut BytesMut, form: Form, kind: &ResourceType, resources: &[Arc<Resource>]) {
        put_field(buf, 4, kind.type_url().as_bytes());
        let control_plane = match form.variant {
            Variant::Sotw => 6,
            Variant::Delta => 7,
        };
        put_len(buf, control_plane, field_len(self.identifier.len()));
        put_field(buf, 1, self.identifier.as_bytes());
        let names_itself = names_itself(kind);
        for resource in resources {
            match (form.variant, form.ttl_of(resource)) {
                (Variant::Sotw, None) if names_itself => put_field(buf, 2, &resource.body),
                (Variant::Sotw, ttl) => put_any(buf, &Wrapped::whole(resource, ttl)),
                (Variant::Delta, ttl) => Wrapped::whole(resource, ttl).put(buf, 2),
            }
        }
    }
}

// === impl Payloads ===

impl Payloads {
    fn find(&mut self, form: Form, kind: &ResourceType, contents: &Contents) -> Option<Arc<Payload>> {
        self.remembered.retain(|payload| payload.strong_count() > 0);
        let alive = self.remembered.iter().rev().filter_map(Weak::upgrade);
        let mut matching =
            alive.filter(|made| made.form == form && made.kind == *kind && same(&made.contents, contents));
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

/// Compares contents by pointer, which suffices since a payload holds its contents.
fn same(a: &Contents, b: &Contents) -> bool {
    match (a, b) {
        (Contents::All(a), Contents::All(b)) => a.id() == b.id(),
        (Contents::Changed(a), Contents::Changed(b)) => Arc::ptr_eq(a, b),
        (Contents::Selected(a), Contents::Selected(b)) => Arc::ptr_eq(a, b),
        (Contents::Chosen(a), Contents::Chosen(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        (Contents::All(_) | Contents::Changed(_) | Contents::Selected(_) | Contents::Chosen(_), _) => false,
    }
}

/// Writes the fields that differ per stream.
fn put_head(buf: &mut BytesMut, variant: Variant, response: &Response) {
    let delivery = &response.delivery;
    put_field(buf, 1, delivery.version.as_str().as_bytes());
    put_len(buf, 5, delivery.nonce.text_len());
    write!(buf, "{}", delivery.nonce).expect("a buffer grows");
    for resource in &response.heartbeats {
        match variant {
            // Envoy 1.40 lets the TTL expire after a SotW heartbeat without its resource (T-2).
            Variant::Sotw => put_any(buf, &Wrapped::whole(resource, resource.ttl)),
            Variant::Delta => Wrapped::heartbeat(resource).put(buf, 2),
        }
    }
    let errors = match variant {
        Variant::Sotw => 7,
        Variant::Delta => 9,
    };
    for error in &response.errors {
        put_error(buf, errors, error);
    }
    if variant == Variant::Delta {
        for name in &response.removed {
            put_field(buf, 6, name.as_str().as_bytes());
        }
        for name in &response.unresolved {
            put_unresolved(buf, name);
        }
    }
}

/// `envoy.service.discovery.v3.Resource`: in delta the form of every resource (D-14), in SotW of those with a TTL.
struct Wrapped<'a> {
    resource: &'a Resource,
    /// `None` in a heartbeat (T-3).
    body: Option<&'a [u8]>,
    ttl: Option<Duration>,
}

impl<'a> Wrapped<'a> {
    fn whole(resource: &'a Resource, ttl: Option<Duration>) -> Self {
        Self {
            resource,
            body: Some(&resource.body),
            ttl,
        }
    }

    const fn heartbeat(resource: &'a Resource) -> Self {
        Self {
            resource,
            body: None,
            ttl: resource.ttl,
        }
    }

    fn aliases(&self) -> &'a [ResourceName] {
        // A heartbeat has no aliases, since a wrapper without a body and with aliases is an unresolved alias (D-12).
        self.body.map_or(&[], |_| &self.resource.aliases)
    }

    fn len(&self) -> usize {
        let aliases = self.aliases().iter().map(|alias| field_len(alias.as_str().len()));
        field_len(self.resource.version.as_str().len())
            + self.body.map_or(0, |body| field_len(body.len()))
            + field_len(self.resource.name.as_str().len())
            + aliases.sum::<usize>()
            + self.ttl.map_or(0, |ttl| field_len(duration_len(ttl)))
    }

    /// Writes the wrapper as a field of the message around it.
    fn put(&self, buf: &mut BytesMut, tag: u8) {
        put_len(buf, tag, self.len());
        put_field(buf, 1, self.resource.version.as_str().as_bytes());
        if let Some(body) = self.body {
            put_field(buf, 2, body);
        }
        put_field(buf, 3, self.resource.name.as_str().as_bytes());
        for alias in self.aliases() {
            put_field(buf, 4, alias.as_str().as_bytes());
        }
        if let Some(ttl) = self.ttl {
            put_len(buf, 6, duration_len(ttl));
            put_duration(buf, ttl);
        }
    }
}

/// Returns true if resources of the type contain their own name. Resources of a list collection do not, so that a
/// client could not tell them apart in a SotW response without a wrapper. Every client that knows such a type
/// accepts the wrapper, even without the client feature for TTLs.
fn names_itself(kind: &ResourceType) -> bool {
    match kind {
        ResourceType::Other(_) => !kind.message_name().ends_with("Collection"),
        ResourceType::Cluster
        | ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Listener
        | ResourceType::Route
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig => true,
    }
}

impl Form {
    fn ttl_of(self, resource: &Resource) -> Option<Duration> {
        resource.ttl.filter(|_| self.ttl)
    }
}

/// Writes the wrapper as an `Any` in field 2 of a SotW response.
fn put_any(buf: &mut BytesMut, wrapped: &Wrapped<'_>) {
    put_len(buf, 2, any_len(wrapped));
    put_field(buf, 1, WRAPPER_URL.as_bytes());
    wrapped.put(buf, 2);
}

fn any_len(wrapped: &Wrapped<'_>) -> usize {
    field_len(WRAPPER_URL.len()) + field_len(wrapped.len())
}

/// `google.protobuf.Duration`.
fn put_duration(buf: &mut BytesMut, duration: Duration) {
    buf.put_u8(1 << 3);
    encode_varint(duration.as_secs(), buf);
    buf.put_u8(2 << 3);
    encode_varint(duration.subsec_nanos().into(), buf);
}

fn duration_len(duration: Duration) -> usize {
    2 + encoded_len_varint(duration.as_secs()) + encoded_len_varint(duration.subsec_nanos().into())
}

/// `envoy.service.discovery.v3.ResourceError` (E-1).
fn put_error(buf: &mut BytesMut, tag: u8, error: &ResourceError) {
    const MESSAGE: &str = "no such resource";
    let name = error.name.as_str().as_bytes();
    let code = u64::from(error.code.unsigned_abs());
    let status = 1 + encoded_len_varint(code) + field_len(MESSAGE.len());
    put_len(buf, tag, field_len(field_len(name.len())) + field_len(status));
    put_len(buf, 1, field_len(name.len()));
    put_field(buf, 1, name);
    put_len(buf, 2, status);
    buf.put_u8(1 << 3);
    encode_varint(code, buf);
    put_field(buf, 2, MESSAGE.as_bytes());
}

/// D-12: a name without a virtual host is sent back as its own alias, without a resource.
fn put_unresolved(buf: &mut BytesMut, name: &ResourceName) {
    let name = name.as_str().as_bytes();
    put_len(buf, 2, 2 * field_len(name.len()));
    put_field(buf, 3, name);
    put_field(buf, 4, name);
}

fn payload_len(form: Form, kind: &ResourceType, resources: &[Arc<Resource>], identifier: &str) -> usize {
    let fixed = field_len(kind.type_url().len()) + field_len(field_len(identifier.len()));
    let names_itself = names_itself(kind);
    let lens = resources
        .iter()
        .map(|resource| match (form.variant, form.ttl_of(resource)) {
            (Variant::Sotw, None) if names_itself => field_len(resource.body.len()),
            (Variant::Sotw, ttl) => field_len(any_len(&Wrapped::whole(resource, ttl))),
            (Variant::Delta, ttl) => field_len(Wrapped::whole(resource, ttl).len()),
        });
    fixed + lens.sum::<usize>()
}

/// Fills in the gRPC prefix: not compressed, and the length of a message with `rest` more bytes.
fn set_prefix(buf: &mut BytesMut, rest: usize) {
    let len = u32::try_from(buf.len() - PREFIX + rest).expect("admission keeps a snapshot far below 4 GiB");
    buf[1..PREFIX].copy_from_slice(&len.to_be_bytes());
}

/// Writes a length-delimited field. All tags here are below 16, so a key is one byte.
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
