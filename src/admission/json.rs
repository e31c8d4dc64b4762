//! Shows resources to people: an `Any` as proto3-JSON with proto field names.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, SerializeOptions, Value};
use serde_json::{Map, Value as Json, value::Serializer};

use super::{
    Limits, any,
    inspect::{self, Depth},
    message::TYPE_KEY,
    sensitive,
};

/// The treatment of fields that hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Show the values.
    Show,
    /// Replace the values by `[redacted]`.
    Redact,
}

/// The `Any` as JSON: `@type` and the message's fields under their proto names. An `Any` without a descriptor, or one
/// that cannot be decoded or is nested too deep, becomes `{"@type", "value"}` with its bytes in base64.
#[must_use]
pub fn to_json(any: &prost_types::Any, secrets: Secrets) -> Json {
    let limits = Limits::default();
    match secrets {
        Secrets::Show => any_json(&any.type_url, &any.value.clone().into(), &limits, Depth::default()),
        Secrets::Redact => {
            let any = sensitive::redact(any);
            any_json(&any.type_url, &any.value.into(), &limits, Depth::default())
        }
    }
}

fn any_json(type_url: &str, value: &bytes::Bytes, limits: &Limits, depth: Depth) -> Json {
    let inner = depth
        .into_any(limits)
        .and_then(|depth| depth.into_message(limits))
        .and_then(|depth| Ok((inspect::decode(type_url, value.clone())?, depth)));
    let mut object = Map::new();
    object.insert(TYPE_KEY.to_owned(), type_url.into());
    match inner {
        Err(_) => {
            object.insert("value".to_owned(), STANDARD.encode(value).into());
        }
        Ok((message, depth)) => match message_json(&message, limits, depth) {
            Json::Object(fields) if !is_well_known(&message) => object.extend(fields),
            value => {
                object.insert("value".to_owned(), value);
            }
        },
    }
    Json::Object(object)
}

/// Returns true if the JSON of the message stands under `value` inside an `Any`.
fn is_well_known(message: &DynamicMessage) -> bool {
    let descriptor = message.descriptor();
    let full_name = descriptor.full_name();
    full_name.starts_with("google.protobuf.")
        && full_name != "google.protobuf.Empty"
        && descriptor.parent_file().name() != "google/protobuf/descriptor.proto"
}

fn message_json(message: &DynamicMessage, limits: &Limits, depth: Depth) -> Json {
    if any::is_any(&message.descriptor()) {
        let (type_url, value) = any::parts(message);
        return any_json(&type_url, &value, limits, depth);
    }
    if is_well_known(message) {
        let options = SerializeOptions::new().use_proto_field_name(true);
        if let Ok(json) = message.serialize_with_options(Serializer, &options) {
            return json;
        }
    }
    // A decoded message is nested no deeper than protobuf's own limit, so only `Any`s need to check `depth`.
    let depth = Depth {
        message: depth.message + 1,
        ..depth
    };
    let mut object = Map::new();
    for (field, value) in message.fields() {
        object.insert(field.name().to_owned(), field_json(&field, value, limits, depth));
    }
    Json::Object(object)
}

fn field_json(field: &FieldDescriptor, value: &Value, limits: &Limits, depth: Depth) -> Json {
    let kind = field.kind();
    match (value, &kind) {
        (Value::Map(entries), Kind::Message(entry)) if field.is_map() => {
            let value_kind = entry.map_entry_value_field().kind();
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            let pairs = sorted
                .into_iter()
                .map(|(key, value)| (inspect::key_text(key), value_json(&value_kind, value, limits, depth)));
            Json::Object(pairs.collect())
        }
        (Value::List(values), _) => {
            let values = values.iter().map(|value| value_json(&kind, value, limits, depth));
            Json::Array(values.collect())
        }
        (value, kind) => value_json(kind, value, limits, depth),
    }
}

fn value_json(kind: &Kind, value: &Value, limits: &Limits, depth: Depth) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        // proto3-JSON writes 64-bit integers as strings, since many JSON readers know only doubles.
        Value::I64(value) => value.to_string().into(),
        Value::U64(value) => value.to_string().into(),
        // Via the shortest text of the float: 0.1 must not become 0.10000000149011612.
        Value::F32(value) => float_json(value.to_string().parse().unwrap_or_else(|_| f64::from(*value))),
        Value::F64(value) => float_json(*value),
        Value::String(text) => text.clone().into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::EnumNumber(number) => kind
            .as_enum()
            .and_then(|descriptor| descriptor.get_value(*number))
            .map_or_else(|| (*number).into(), |value| value.name().into()),
        Value::Message(message) => message_json(message, limits, depth),
        Value::List(_) | Value::Map(_) => Json::Null,
    }
}

fn float_json(value: f64) -> Json {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    value.into()
}
