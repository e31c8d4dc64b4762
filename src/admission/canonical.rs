//! The deterministic encoding: fields by number, map entries by key, nested `Any`s likewise.
//!
//! Equal content has equal bytes, regardless of the written order (S-19). prost-reflect keeps maps in hash maps, so its
//! own encoding differs from run to run.

use std::collections::HashMap;

use bytes::Bytes;
use prost::encoding::{self, WireType};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, UnknownField, Value};

use super::any;

/// The treatment of `Any` values inside a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anys {
    /// Keep the values, which are canonical already.
    Keep,
    /// Decode the values and encode them canonically.
    Canonicalize,
}

/// The deterministic encoding of `message`. The caller limits its nesting.
pub(super) fn encode(message: &DynamicMessage, anys: Anys) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(message, anys, &mut out);
    out
}

/// The value of a known field, or a field that the descriptor does not have.
enum FieldContent<'a> {
    Known { kind: Kind, packed: bool, value: &'a Value },
    Unknown(&'a UnknownField),
}

fn encode_message(message: &DynamicMessage, anys: Anys, out: &mut Vec<u8>) {
    if anys == Anys::Canonicalize && any::is_any(&message.descriptor()) {
        return encode_any(message, out);
    }
    let mut parts: Vec<(u32, FieldContent<'_>)> = Vec::new();
    for (field, value) in message.fields() {
        let (kind, packed) = (field.kind(), field.is_packed());
        parts.push((field.number(), FieldContent::Known { kind, packed, value }));
    }
    for (field, value) in message.extensions() {
        let (kind, packed) = (field.kind(), field.is_packed());
        parts.push((field.number(), FieldContent::Known { kind, packed, value }));
    }
    for field in message.unknown_fields() {
        parts.push((field.number(), FieldContent::Unknown(field)));
    }
    // The sort is stable: repeated unknown fields of one number keep their order.
    parts.sort_by_key(|(number, _)| *number);
    for (number, part) in parts {
        match part {
            FieldContent::Known { kind, packed, value } => encode_field(number, &kind, packed, value, anys, out),
            FieldContent::Unknown(field) => field.encode(out),
        }
    }
}

/// Encodes the value of a known type canonically; keeps a value that cannot be decoded.
fn encode_any(message: &DynamicMessage, out: &mut Vec<u8>) {
    let (type_url, value) = any::parts(message);
    let canonical = any::resolve(&type_url)
        .ok()
        .and_then(|descriptor| DynamicMessage::decode(descriptor, value.clone()).ok())
        .map_or(value, |inner| Bytes::from(encode(&inner, Anys::Canonicalize)));
    if !type_url.is_empty() {
        encoding::string::encode(1, &type_url, out);
    }
    if !canonical.is_empty() {
        encoding::bytes::encode(2, &canonical, out);
    }
}

fn encode_field(number: u32, kind: &Kind, packed: bool, value: &Value, anys: Anys, out: &mut Vec<u8>) {
    match value {
        Value::List(values) if packed => {
            let mut elements = Vec::new();
            for value in values {
                encode_packed_element(kind, value, &mut elements);
            }
            encode_bytes(number, &elements, out);
        }
        Value::List(values) => {
            for value in values {
                encode_value(number, kind, value, anys, out);
            }
        }
        Value::Map(entries) => encode_map(number, kind, entries, anys, out),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_) => encode_value(number, kind, value, anys, out),
    }
}

fn encode_map(number: u32, kind: &Kind, entries: &HashMap<MapKey, Value>, anys: Anys, out: &mut Vec<u8>) {
    let Kind::Message(entry) = kind else {
        return;
    };
    let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    let mut sorted: Vec<(&MapKey, &Value)> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    for (key, value) in sorted {
        let mut encoded = Vec::new();
        encode_value(1, &key_kind, &Value::from(key.clone()), anys, &mut encoded);
        encode_value(2, &value_kind, value, anys, &mut encoded);
        encode_bytes(number, &encoded, out);
    }
}

fn encode_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Encodes one value with its key. Lists and maps do not nest directly.
fn encode_value(number: u32, kind: &Kind, value: &Value, anys: Anys, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => encode_bytes(number, text.as_bytes(), out),
        Value::Bytes(bytes) => encode_bytes(number, bytes, out),
        Value::Message(message) => encode_bytes(number, &encode(message, anys), out),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::EnumNumber(_) => {
            encoding::encode_key(number, kind.wire_type(), out);
            encode_packed_element(kind, value, out);
        }
        Value::List(_) | Value::Map(_) => {}
    }
}

/// Encodes one scalar without its key.
#[allow(clippy::cast_sign_loss, reason = "two's complement is the wire format")]
fn encode_packed_element(kind: &Kind, value: &Value, out: &mut Vec<u8>) {
    match (value, kind) {
        (Value::Bool(value), _) => encoding::encode_varint(u64::from(*value), out),
        (Value::I32(value), Kind::Sint32) => {
            encoding::encode_varint(u64::from(((value << 1) ^ (value >> 31)) as u32), out);
        }
        (Value::I32(value), Kind::Sfixed32) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::I32(value) | Value::EnumNumber(value), _) => encoding::encode_varint(i64::from(*value) as u64, out),
        (Value::I64(value), Kind::Sint64) => encoding::encode_varint(((value << 1) ^ (value >> 63)) as u64, out),
        (Value::I64(value), Kind::Sfixed64) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::I64(value), _) => encoding::encode_varint(*value as u64, out),
        (Value::U32(value), Kind::Fixed32) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::U32(value), _) => encoding::encode_varint(u64::from(*value), out),
        (Value::U64(value), Kind::Fixed64) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::U64(value), _) => encoding::encode_varint(*value, out),
        (Value::F32(value), _) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::F64(value), _) => out.extend_from_slice(&value.to_le_bytes()),
        (Value::String(_) | Value::Bytes(_) | Value::Message(_) | Value::List(_) | Value::Map(_), _) => {}
    }
}
