//! Secrets: which fields hold them (`udpa.annotations.sensitive`), and resources without them.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use super::{
    Limits, any, canonical,
    inspect::{self, Depth},
};
use crate::proto;

pub(super) const REDACTED: &str = "[redacted]";

/// Structs that stand for a message of another type, which they name.
const TYPED_STRUCTS: [&str; 2] = ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"];

/// (message, field number) of every field annotated as sensitive.
static SENSITIVE: LazyLock<HashSet<(String, u32)>> = LazyLock::new(|| {
    let pool = proto::descriptors();
    let annotation = pool
        .get_extension_by_name("udpa.annotations.sensitive")
        .expect("Envoy's protos import udpa/annotations/sensitive.proto");
    pool.all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| field.options().get_extension(&annotation).as_bool() == Some(true))
        .map(|field| (field.parent_message().full_name().to_owned(), field.number()))
        .collect()
});

/// Whether nobody may see what is in `field`.
pub(super) fn is_sensitive(field: &FieldDescriptor) -> bool {
    SENSITIVE.contains(&(field.parent_message().full_name().to_owned(), field.number()))
}

/// The same `Any` with every sensitive field blanked, those in nested `Any`s too. What cannot be looked into (no descriptor,
/// undecodable) is kept as it is where it is the resource itself, and emptied where it stands in a sensitive field.
#[must_use]
pub fn redact(any: &prost_types::Any) -> prost_types::Any {
    let value = Bytes::from(any.value.clone());
    let redacted = redact_any(&any.type_url, value, false, &Limits::default(), Depth::default());
    prost_types::Any {
        type_url: any.type_url.clone(),
        value: redacted.into(),
    }
}

fn redact_any(type_url: &str, value: Bytes, sensitive: bool, limits: &Limits, depth: Depth) -> Bytes {
    let Ok(depth) = depth.into_any(limits).and_then(|depth| depth.into_message(limits)) else {
        // Deeper than anything admitted: it cannot be looked into, so it is not shown.
        return Bytes::new();
    };
    match inspect::decode(type_url, value.clone()) {
        Ok(mut message) => {
            redact_message(&mut message, sensitive, limits, depth);
            canonical::encode(&message, canonical::Anys::Keep).into()
        }
        Err(_) if sensitive => Bytes::new(),
        Err(_) => value,
    }
}

fn redact_message(message: &mut DynamicMessage, sensitive: bool, limits: &Limits, depth: Depth) {
    let descriptor = message.descriptor();
    if any::is_any(&descriptor) {
        let (type_url, value) = any::parts(message);
        let value = redact_any(&type_url, value, sensitive, limits, depth);
        *message = any::with_parts(descriptor, &type_url, value);
        return;
    }
    if TYPED_STRUCTS.contains(&descriptor.full_name()) {
        redact_typed_struct(message);
    }
    if sensitive {
        message.take_unknown_fields().for_each(drop);
    }
    let depth = Depth {
        message: depth.message + 1,
        ..depth
    };
    let mut cleared = Vec::new();
    for (field, value) in message.fields_mut() {
        let sensitive = sensitive || SENSITIVE.contains(&(descriptor.full_name().to_owned(), field.number()));
        if !redact_value(value, sensitive, limits, depth) {
            cleared.push(field);
        }
    }
    for field in cleared {
        message.clear_field(&field);
    }
}

/// `false` where the value must go altogether: a number has no way to say that it is hidden.
fn redact_value(value: &mut Value, sensitive: bool, limits: &Limits, depth: Depth) -> bool {
    match value {
        Value::Message(message) => redact_message(message, sensitive, limits, depth),
        Value::List(values) => values.retain_mut(|value| redact_value(value, sensitive, limits, depth)),
        Value::Map(entries) => entries.retain(|_, value| redact_value(value, sensitive, limits, depth)),
        Value::String(text) if sensitive => REDACTED.clone_into(text),
        Value::Bytes(bytes) if sensitive => *bytes = Bytes::from_static(REDACTED.as_bytes()),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::EnumNumber(_) => return !sensitive,
        Value::String(_) | Value::Bytes(_) => {}
    }
    true
}

/// A TypedStruct has the fields of the message it names, so it has that message's secrets.
fn redact_typed_struct(message: &mut DynamicMessage) {
    let type_url = message
        .get_field_by_name("type_url")
        .and_then(|url| url.as_str().map(str::to_owned))
        .unwrap_or_default();
    let Ok(descriptor) = any::resolve(&type_url) else {
        return;
    };
    if let Some(Value::Message(structure)) = message.get_field_by_name_mut("value") {
        redact_struct(structure, &descriptor);
    }
}

fn redact_struct(structure: &mut DynamicMessage, descriptor: &MessageDescriptor) {
    let Some(Value::Map(entries)) = structure.get_field_by_number_mut(1) else {
        return;
    };
    redact_entries(entries, descriptor);
}

fn redact_entries(entries: &mut HashMap<MapKey, Value>, descriptor: &MessageDescriptor) {
    // An `Any` in a Struct is a mapping with `@type`.
    let named = any::is_any(descriptor)
        .then(|| entries.get(&MapKey::String("@type".to_owned())))
        .flatten()
        .and_then(|value| value.as_message()?.get_field_by_number(3)?.as_str().map(str::to_owned))
        .and_then(|type_url| any::resolve(&type_url).ok());
    let descriptor = named.as_ref().unwrap_or(descriptor);
    for (key, value) in entries {
        let (MapKey::String(key), Value::Message(value)) = (key, value) else {
            continue;
        };
        let field = descriptor
            .get_field_by_name(key)
            .or_else(|| descriptor.get_field_by_json_name(key));
        let Some(field) = field else {
            continue;
        };
        if SENSITIVE.contains(&(descriptor.full_name().to_owned(), field.number())) {
            redact_message(value, true, &Limits::default(), Depth::default());
        } else if let Kind::Message(inner) = field.kind() {
            let inner = if field.is_map() {
                inner.map_entry_value_field().kind()
            } else {
                Kind::Message(inner)
            };
            if let Kind::Message(inner) = inner {
                redact_struct_value(value, &inner, field.is_map());
            }
        }
    }
}

/// `value` is a `google.protobuf.Value`: a message, a list of them, or a map of them.
fn redact_struct_value(value: &mut DynamicMessage, descriptor: &MessageDescriptor, is_map: bool) {
    const STRUCT: u32 = 5;
    const LIST: u32 = 6;
    if value.has_field_by_number(STRUCT)
        && let Some(Value::Message(structure)) = value.get_field_by_number_mut(STRUCT)
    {
        if !is_map {
            return redact_struct(structure, descriptor);
        }
        let Some(Value::Map(entries)) = structure.get_field_by_number_mut(1) else {
            return;
        };
        for value in entries.values_mut() {
            if let Value::Message(value) = value {
                redact_struct_value(value, descriptor, false);
            }
        }
    } else if value.has_field_by_number(LIST)
        && let Some(Value::Message(list)) = value.get_field_by_number_mut(LIST)
        && let Some(Value::List(values)) = list.get_field_by_number_mut(1)
    {
        for value in values {
            if let Value::Message(value) = value {
                redact_struct_value(value, descriptor, false);
            }
        }
    }
}
