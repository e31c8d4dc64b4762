//! The messages that have their own JSON form.

use prost_reflect::MessageDescriptor;

/// A message with its own JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WellKnown {
    Any,
    Duration,
    Timestamp,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// `google.protobuf.StringValue` and the like: the bare value.
    Wrapper,
}

// === impl WellKnown ===

impl WellKnown {
    /// The form of `descriptor`; `None` for messages that are mappings of their fields.
    pub(super) fn of(descriptor: &MessageDescriptor) -> Option<Self> {
        match descriptor.full_name().strip_prefix("google.protobuf.")? {
            "Any" => Some(Self::Any),
            "Duration" => Some(Self::Duration),
            "Timestamp" => Some(Self::Timestamp),
            "FieldMask" => Some(Self::FieldMask),
            "Struct" => Some(Self::Struct),
            "Value" => Some(Self::Value),
            "ListValue" => Some(Self::ListValue),
            "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value" | "UInt32Value" | "UInt64Value"
            | "BoolValue" | "StringValue" | "BytesValue" => Some(Self::Wrapper),
            _ => None,
        }
    }
}
