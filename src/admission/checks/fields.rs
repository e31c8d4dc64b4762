//! Reads single fields of a message by their proto names; an unset field reads as empty.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, Value};

use crate::admission::any;

/// The value of a field that is set.
fn value<'m>(message: &'m DynamicMessage, field: &str) -> Option<&'m Value> {
    if !message.has_field_by_name(field) {
        return None;
    }
    match message.get_field_by_name(field)? {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => None,
    }
}

/// Returns true if a field is set. For a field without presence, the default value counts as unset.
pub(in crate::admission) fn has(message: &DynamicMessage, field: &str) -> bool {
    message.has_field_by_name(field)
}

pub(in crate::admission) fn message<'m>(message: &'m DynamicMessage, field: &str) -> Option<&'m DynamicMessage> {
    value(message, field)?.as_message()
}

pub(in crate::admission) fn text<'m>(message: &'m DynamicMessage, field: &str) -> &'m str {
    value(message, field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn bytes<'m>(message: &'m DynamicMessage, field: &str) -> &'m [u8] {
    value(message, field)
        .and_then(Value::as_bytes)
        .map_or(&[], |bytes| bytes)
}

pub(super) fn list<'m>(message: &'m DynamicMessage, field: &str) -> &'m [Value] {
    value(message, field).and_then(Value::as_list).unwrap_or_default()
}

/// The messages in a list field, each with its index.
pub(in crate::admission) fn messages<'m>(
    message: &'m DynamicMessage,
    field: &str,
) -> impl Iterator<Item = (usize, &'m DynamicMessage)> {
    let values = list(message, field).iter().enumerate();
    values.filter_map(|(index, value)| Some((index, value.as_message()?)))
}

/// The strings in a list field.
pub(in crate::admission) fn texts<'m>(message: &'m DynamicMessage, field: &str) -> impl Iterator<Item = &'m str> {
    list(message, field).iter().filter_map(Value::as_str)
}

pub(super) fn number(message: &DynamicMessage, field: &str) -> u64 {
    let value = value(message, field);
    let unsigned = value.and_then(|value| value.as_u32().map(u64::from).or_else(|| value.as_u64()));
    unsigned.unwrap_or_default()
}

/// The value of a `google.protobuf.UInt32Value` or `UInt64Value`.
pub(super) fn wrapped(message: &DynamicMessage, field: &str) -> Option<u64> {
    self::message(message, field).map(|wrapper| number(wrapper, "value"))
}

pub(super) fn flag(message: &DynamicMessage, field: &str) -> bool {
    value(message, field).and_then(Value::as_bool).unwrap_or_default()
}

/// The number of an enum value; 0 if the field is not set.
pub(in crate::admission) fn enumeration(message: &DynamicMessage, field: &str) -> i32 {
    value(message, field)
        .and_then(Value::as_enum_number)
        .unwrap_or_default()
}

/// The seconds and nanoseconds of a `google.protobuf.Duration`.
pub(super) fn duration(message: &DynamicMessage, field: &str) -> Option<(i64, i32)> {
    let duration = self::message(message, field)?;
    let seconds = value(duration, "seconds").and_then(Value::as_i64).unwrap_or_default();
    let nanos = value(duration, "nanos").and_then(Value::as_i32).unwrap_or_default();
    Some((seconds, nanos))
}

/// The full name of the message in an `Any` field; empty if the field is not set.
pub(super) fn type_in_any(message: &DynamicMessage, field: &str) -> String {
    let Some(any) = self::message(message, field) else {
        return String::new();
    };
    let (type_url, _) = any::parts(any);
    type_url
        .rsplit_once('/')
        .map_or_else(String::new, |(_, name)| name.to_owned())
}
