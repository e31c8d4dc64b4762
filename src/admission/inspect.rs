//! The walk over a decoded resource: a visitor sees every message with its path, including those inside `Any`s.
//!
//! The depth is checked before each step, so no input makes the walk recurse deeper than [`Limits`] allow. References,
//! rules and unknown fields are each found by a [`Visit`].

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};

use super::{Limits, any, codes, path::Path};

/// A visitor of the messages of a resource.
pub(super) trait Visit {
    /// Called for each message, parents first. For an `Any`, only the message in it is visited.
    fn message(&mut self, message: &DynamicMessage, path: &Path<'_>);

    /// Called for each visited message, after everything in it.
    fn leave(&mut self) {}

    /// Called for a part that cannot be visited; the walk continues beside it.
    fn fault(&mut self, fault: Fault, path: &Path<'_>);
}

/// The reason why a part of a resource cannot be visited.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    UnknownType(#[from] any::UnknownTypeUrl),
    #[error("not a {message}: {cause}")]
    Undecodable { message: String, cause: prost::DecodeError },
    #[error("more than {0} google.protobuf.Any inside one another")]
    AnyNesting(usize),
    #[error("more than {0} messages inside one another")]
    MessageNesting(usize),
}

/// The depth of a place in a resource.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Depth {
    /// The number of `Any`s around it, the resource's own included.
    pub(super) any: usize,
    /// The number of messages around it, across `Any`s.
    pub(super) message: usize,
}

// === impl Fault ===

impl Fault {
    /// The code of the finding.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => codes::UNKNOWN_TYPE,
            Self::Undecodable { .. } => codes::UNDECODABLE,
            Self::AnyNesting(_) | Self::MessageNesting(_) => codes::NESTING,
        }
    }
}

// === impl Depth ===

impl Depth {
    /// The depth of the resource itself: inside one `Any`.
    pub(super) const RESOURCE: Self = Self { any: 1, message: 0 };

    /// The depth one message further in.
    pub(super) const fn into_message(self, limits: &Limits) -> Result<Self, Fault> {
        if self.message >= limits.message_depth {
            return Err(Fault::MessageNesting(limits.message_depth));
        }
        Ok(Self {
            message: self.message + 1,
            ..self
        })
    }

    /// The depth one `Any` further in.
    pub(super) const fn into_any(self, limits: &Limits) -> Result<Self, Fault> {
        if self.any >= limits.any_depth {
            return Err(Fault::AnyNesting(limits.any_depth));
        }
        Ok(Self {
            any: self.any + 1,
            ..self
        })
    }
}

/// Decodes the value of an `Any`.
pub(super) fn decode(type_url: &str, value: bytes::Bytes) -> Result<DynamicMessage, Fault> {
    let descriptor = any::resolve(type_url)?;
    let message = descriptor.full_name().to_owned();
    DynamicMessage::decode(descriptor, value).map_err(|cause| Fault::Undecodable { message, cause })
}

/// Visits `message` and everything in it.
pub(super) fn walk(message: &DynamicMessage, limits: &Limits, visitor: &mut dyn Visit) {
    Walk { limits, visitor }.message(message, &Path::ROOT, Depth::RESOURCE);
}

struct Walk<'a> {
    limits: &'a Limits,
    visitor: &'a mut dyn Visit,
}

// === impl Walk ===

impl Walk<'_> {
    fn message(&mut self, message: &DynamicMessage, path: &Path<'_>, depth: Depth) {
        let depth = match depth.into_message(self.limits) {
            Ok(depth) => depth,
            Err(fault) => return self.visitor.fault(fault, path),
        };
        if any::is_any(&message.descriptor()) {
            return self.any(message, path, depth);
        }
        self.visitor.message(message, path);
        for (field, value) in message.fields() {
            match value {
                Value::Message(inner) => self.message(inner, &path.field(field.name()), depth),
                Value::List(values) => self.list(values, &path.field(field.name()), depth),
                Value::Map(entries) => self.map(entries, &path.field(field.name()), depth),
                Value::Bool(_)
                | Value::I32(_)
                | Value::I64(_)
                | Value::U32(_)
                | Value::U64(_)
                | Value::F32(_)
                | Value::F64(_)
                | Value::String(_)
                | Value::Bytes(_)
                | Value::EnumNumber(_) => {}
            }
        }
        self.visitor.leave();
    }

    fn list(&mut self, values: &[Value], path: &Path<'_>, depth: Depth) {
        for (index, value) in values.iter().enumerate() {
            if let Some(inner) = value.as_message() {
                self.message(inner, &path.index(index), depth);
            }
        }
    }

    /// Sorted by key, so that findings come in the same order each time.
    fn map(&mut self, entries: &std::collections::HashMap<MapKey, Value>, path: &Path<'_>, depth: Depth) {
        let mut sorted: Vec<_> = entries
            .iter()
            .filter_map(|(key, value)| value.as_message().map(|inner| (key, inner)))
            .collect();
        sorted.sort_by_key(|(key, _)| *key);
        // On the wire, a map entry is a message of its own.
        let depth = match depth.into_message(self.limits) {
            Ok(depth) => depth,
            Err(fault) => return self.visitor.fault(fault, path),
        };
        for (key, inner) in sorted {
            self.message(inner, &path.key(&key_text(key)), depth);
        }
    }

    fn any(&mut self, message: &DynamicMessage, path: &Path<'_>, depth: Depth) {
        let (type_url, value) = any::parts(message);
        if type_url.is_empty() && value.is_empty() {
            return;
        }
        let inner = depth
            .into_any(self.limits)
            .and_then(|depth| Ok((decode(&type_url, value)?, depth)));
        match inner {
            Ok((inner, depth)) => self.message(&inner, path, depth),
            Err(fault) => self.visitor.fault(fault, path),
        }
    }
}

/// The key of a map entry, as findings show it.
pub(super) fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
