//! Resources without their secrets: walks over a message with its `Any`s and Structs.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use super::{
    KEY_SET, REDACTED, has_private_keys, holds_credential, is_command, is_secret_text, is_sensitive, naming_field,
};
use crate::{
    admission::{
        Limits, any, canonical,
        inspect::{self, Depth},
    },
    text::{ends_as_credential, names_credential},
};

const STRUCT: &str = "google.protobuf.Struct";
/// The field numbers of a `google.protobuf.Value`.
const STRING: u32 = 3;
const STRUCTURE: u32 = 5;
const LIST: u32 = 6;

/// Structs that stand for a message of another type, which they name.
const TYPED_STRUCTS: [&str; 2] = ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"];

/// The `Any` with every sensitive field blanked, including those in nested `Any`s. A value that cannot be decoded is
/// kept, but emptied if it stands in a sensitive field.
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
        // Deeper than anything that is admitted: it cannot be checked, so it is not shown.
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
    let seen = TYPED_STRUCTS.contains(&descriptor.full_name()) && redact_typed_struct(message);
    if sensitive {
        message.take_unknown_fields().for_each(drop);
    }
    let depth = Depth {
        message: depth.message + 1,
        ..depth
    };
    let credential = holds_credential(message, &descriptor);
    let is_struct = descriptor.full_name() == STRUCT;
    let mut cleared = Vec::new();
    for (field, value) in message.fields_mut() {
        if seen && field.name() == "value" {
            continue;
        }
        let sensitive = sensitive || is_sensitive(&field) || (credential && is_content(&field, value, &descriptor));
        if let (KEY_SET, Value::Message(source)) = (field.name(), &mut *value) {
            redact_key_set(source);
        }
        if let (true, Value::Map(entries)) = (is_struct, &mut *value) {
            redact_free_entries(entries, sensitive, limits, depth);
        } else if !redact_value(value, sensitive, limits, depth) {
            cleared.push(field);
        }
    }
    for field in cleared {
        message.clear_field(&field);
    }
}

/// Returns true if a field of a message that names a credential holds the credential, and is not its name or a number.
fn is_content(field: &FieldDescriptor, value: &Value, descriptor: &MessageDescriptor) -> bool {
    let can_hold = matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
    can_hold && naming_field(descriptor) != Some(field.name()) && !value.as_str().is_some_and(is_command)
}

/// Redacts a value; returns `false` if the value must be removed instead, as a number must.
fn redact_value(value: &mut Value, sensitive: bool, limits: &Limits, depth: Depth) -> bool {
    match value {
        Value::Message(message) => redact_message(message, sensitive, limits, depth),
        Value::List(values) => values.retain_mut(|value| redact_value(value, sensitive, limits, depth)),
        Value::Map(entries) => entries.retain(|_, value| redact_value(value, sensitive, limits, depth)),
        Value::String(text) if sensitive || is_secret_text(text) => REDACTED.clone_into(text),
        Value::Bytes(bytes) if sensitive || std::str::from_utf8(bytes).is_ok_and(is_secret_text) => {
            *bytes = Bytes::from_static(REDACTED.as_bytes());
        }
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

/// Redacts a DataSource that holds private keys in a key set.
fn redact_key_set(source: &mut DynamicMessage) {
    for (_, value) in source.fields_mut() {
        match value {
            Value::String(text) if has_private_keys(text.as_bytes()) => REDACTED.clone_into(text),
            Value::Bytes(bytes) if has_private_keys(bytes) => *bytes = Bytes::from_static(REDACTED.as_bytes()),
            _ => {}
        }
    }
}

/// Redacts the entries of a Struct without a descriptor, by their keys.
fn redact_free_entries(entries: &mut HashMap<MapKey, Value>, sensitive: bool, limits: &Limits, depth: Depth) {
    for (key, value) in entries {
        let named = matches!(key, MapKey::String(key) if ends_as_credential(key)) && !is_command_value(value);
        redact_value(value, sensitive || named, limits, depth);
    }
}

/// The string of a `google.protobuf.Value`, if it is one.
fn text_of(value: &Value) -> Option<String> {
    let field = value.as_message()?.get_field_by_number(STRING)?;
    Some(field.as_str()?.to_owned())
}

fn is_command_value(value: &Value) -> bool {
    text_of(value).is_some_and(|text| is_command(&text))
}

/// Redacts a TypedStruct with the descriptor of the message that it names; returns `false` without a descriptor.
fn redact_typed_struct(message: &mut DynamicMessage) -> bool {
    let type_url = message
        .get_field_by_name("type_url")
        .and_then(|url| url.as_str().map(str::to_owned))
        .unwrap_or_default();
    let Ok(descriptor) = any::resolve(&type_url) else {
        return false;
    };
    if let Some(Value::Message(structure)) = message.get_field_by_name_mut("value") {
        redact_struct(structure, &descriptor);
    }
    true
}

fn redact_struct(structure: &mut DynamicMessage, descriptor: &MessageDescriptor) {
    let Some(Value::Map(entries)) = structure.get_field_by_number_mut(1) else {
        return;
    };
    redact_entries(entries, descriptor);
}

fn redact_entries(entries: &mut HashMap<MapKey, Value>, descriptor: &MessageDescriptor) {
    let text = |key: &str| entries.get(&MapKey::String(key.to_owned())).and_then(text_of);
    // In a Struct, an `Any` is a mapping with `@type`.
    let named = any::is_any(descriptor)
        .then(|| text("@type"))
        .flatten()
        .and_then(|type_url| any::resolve(&type_url).ok());
    let descriptor = named.as_ref().unwrap_or(descriptor);
    let naming = naming_field(descriptor);
    let credential = naming.and_then(text).is_some_and(|name| names_credential(&name));
    let (limits, depth) = (Limits::default(), Depth::default());
    for (key, value) in entries {
        let MapKey::String(key) = key else {
            continue;
        };
        let field = descriptor
            .get_field_by_name(key)
            .or_else(|| descriptor.get_field_by_json_name(key));
        let Some(field) = field else {
            let named = ends_as_credential(key) && !is_command_value(value);
            redact_value(value, named, &limits, depth);
            continue;
        };
        let content = credential && naming != Some(field.name()) && !is_command_value(value);
        if is_sensitive(&field) || content {
            redact_value(value, true, &limits, depth);
        } else if let Kind::Message(inner) = field.kind() {
            if field.name() == KEY_SET {
                redact_key_set_struct(value);
            }
            let inner = if field.is_map() {
                inner.map_entry_value_field().kind()
            } else {
                Kind::Message(inner)
            };
            match (inner, &mut *value) {
                (Kind::Message(inner), Value::Message(value)) => redact_struct_value(value, &inner, field.is_map()),
                (_, value) => {
                    redact_value(value, false, &limits, depth);
                }
            }
        } else {
            redact_value(value, false, &limits, depth);
        }
    }
}

/// Redacts a DataSource that holds private keys in a key set, written as a Struct.
fn redact_key_set_struct(source: &mut Value) {
    let structure = source.as_message_mut().and_then(|value| member_mut(value, STRUCTURE));
    let entries = structure.and_then(|structure| structure.get_field_by_number_mut(1));
    let Some(Value::Map(entries)) = entries else {
        return;
    };
    for (key, value) in entries {
        let MapKey::String(key) = key else {
            continue;
        };
        let Some(text) = text_of(value) else {
            continue;
        };
        let hides = match key.as_str() {
            "inline_string" | "inlineString" => has_private_keys(text.as_bytes()),
            "inline_bytes" | "inlineBytes" => STANDARD.decode(&text).map_or(true, |text| has_private_keys(&text)),
            _ => false,
        };
        if hides {
            redact_value(value, true, &Limits::default(), Depth::default());
        }
    }
}

/// Redacts a `google.protobuf.Value` that is a message, a list or map of messages, or a message in its leaf form.
fn redact_struct_value(value: &mut DynamicMessage, descriptor: &MessageDescriptor, is_map: bool) {
    if let Some(structure) = member_mut(value, STRUCTURE) {
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
    } else if let Some(list) = member_mut(value, LIST) {
        let Some(Value::List(values)) = list.get_field_by_number_mut(1) else {
            return;
        };
        for value in values {
            if let Value::Message(value) = value {
                redact_struct_value(value, descriptor, false);
            }
        }
    } else {
        redact_message(value, false, &Limits::default(), Depth::default());
    }
}

/// The message in this member of a `google.protobuf.Value`, if the member is set.
fn member_mut(value: &mut DynamicMessage, number: u32) -> Option<&mut DynamicMessage> {
    if !value.has_field_by_number(number) {
        return None;
    }
    match value.get_field_by_number_mut(number) {
        Some(Value::Message(message)) => Some(message),
        Some(_) | None => None,
    }
}
