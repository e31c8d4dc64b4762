//! Messages with their own JSON form: Any, Duration, Timestamp, FieldMask, Struct and its kin, wrappers.

use std::{collections::HashMap, str::FromStr as _};

use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, Value};

use super::{Builder, known::WellKnown, scalar};
use crate::admission::{
    codes,
    inspect::Depth,
    path::Path,
    tree::{Node, Tree},
};

/// The longest Duration in seconds: ten thousand years.
const MAX_DURATION: i64 = 315_576_000_000;

impl Builder<'_> {
    pub(super) fn well_known(
        &mut self,
        known: WellKnown,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        match known {
            WellKnown::Any => self.any(descriptor, node, path, depth),
            WellKnown::Struct => self.structure(descriptor, node, path, depth),
            WellKnown::ListValue => self.list_value(descriptor, node, path, depth),
            WellKnown::Value => self.dynamic_value(descriptor, node, path, depth),
            WellKnown::Duration => self.leaf(descriptor, node, path, duration),
            WellKnown::Timestamp => self.leaf(descriptor, node, path, timestamp),
            WellKnown::FieldMask => self.leaf(descriptor, node, path, field_mask),
            WellKnown::Wrapper => self.leaf(descriptor, node, path, |tree| {
                let kind = descriptor.get_field(1).map_or(Kind::String, |field| field.kind());
                Ok(vec![(1, scalar::scalar(&kind, tree)?)])
            }),
        }
    }

    /// Builds a message whose fields come from one leaf.
    fn leaf(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        read: impl FnOnce(&Tree) -> Result<Vec<(u32, Value)>, String>,
    ) -> Option<DynamicMessage> {
        match read(&node.tree) {
            Ok(fields) => Some(with_fields(descriptor, fields)),
            Err(message) => {
                self.error(codes::VALUE, node.at, path, message);
                None
            }
        }
    }

    /// Builds the field `fields` of a Struct, a map from strings to Values.
    fn structure(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        let Tree::Mapping(entries) = &node.tree else {
            self.expected("a mapping", node, path);
            return None;
        };
        // On the wire, a map entry is a message of its own.
        let depth = match depth.into_message(self.limits) {
            Ok(depth) => depth,
            Err(fault) => {
                self.fault(&fault, node.at, path);
                return None;
            }
        };
        let fields = descriptor.get_field(1)?;
        let kind = fields.kind().as_message()?.map_entry_value_field().kind();
        let mut values = HashMap::with_capacity(entries.len());
        for (key, node) in entries {
            if let Some(value) = self.value(&kind, node, &path.key(&key.text), depth) {
                values.insert(MapKey::String(key.text.clone()), value);
            }
        }
        Some(with_fields(descriptor, vec![(1, Value::Map(values))]))
    }

    fn list_value(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        let kind = descriptor.get_field(1)?.kind();
        let values = self.list(&kind, node, path, depth)?;
        Some(with_fields(descriptor, vec![(1, values)]))
    }

    fn dynamic_value(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        let (number, value) = match &node.tree {
            Tree::Null => (1, Value::EnumNumber(0)),
            #[allow(clippy::cast_precision_loss, reason = "a number of a Value is a double")]
            Tree::Unsigned(value) => (2, Value::F64(*value as f64)),
            #[allow(clippy::cast_precision_loss, reason = "a number of a Value is a double")]
            Tree::Signed(value) => (2, Value::F64(*value as f64)),
            Tree::Float(value) => (2, Value::F64(*value)),
            Tree::String(text) => (3, Value::String(text.clone())),
            Tree::Bool(value) => (4, Value::Bool(*value)),
            Tree::Mapping(_) => (5, self.value(&descriptor.get_field(5)?.kind(), node, path, depth)?),
            Tree::Sequence(_) => (6, self.value(&descriptor.get_field(6)?.kind(), node, path, depth)?),
        };
        Some(with_fields(descriptor, vec![(number, value)]))
    }
}

fn with_fields(descriptor: &MessageDescriptor, fields: Vec<(u32, Value)>) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (number, value) in fields {
        message.set_field_by_number(number, value);
    }
    message
}

/// Reads `1.5s`: decimal seconds with at most nine decimals.
fn duration(tree: &Tree) -> Result<Vec<(u32, Value)>, String> {
    let form = "a duration in seconds, as in \"1.5s\"";
    let Tree::String(text) = tree else {
        return Err(scalar::expected(form, tree));
    };
    let malformed = || format!("expected {form}, got {text:?}");
    let number = text.strip_suffix('s').ok_or_else(malformed)?;
    let (sign, number) = number.strip_prefix('-').map_or((1, number), |number| (-1, number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(malformed());
    }
    let seconds: i64 = whole
        .parse()
        .ok()
        .filter(|seconds| *seconds <= MAX_DURATION)
        .ok_or_else(|| format!("{text:?} is out of the range of google.protobuf.Duration"))?;
    let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| malformed())?;
    Ok(vec![
        (1, Value::I64(sign * seconds)),
        (2, Value::I32(if sign < 0 { -nanos } else { nanos })),
    ])
}

/// Reads an RFC 3339 time.
fn timestamp(tree: &Tree) -> Result<Vec<(u32, Value)>, String> {
    let form = "a time, as in \"2026-01-31T12:00:00Z\"";
    let Tree::String(text) = tree else {
        return Err(scalar::expected(form, tree));
    };
    // The years 1 to 9999, protobuf's own range.
    let range = -62_135_596_800..=253_402_300_799;
    prost_types::Timestamp::from_str(text)
        .ok()
        .filter(|time| text.contains(['T', 't']) && range.contains(&time.seconds))
        .map(|time| vec![(1, Value::I64(time.seconds)), (2, Value::I32(time.nanos))])
        .ok_or_else(|| format!("expected {form}, got {text:?}"))
}

/// Reads `fooBar,baz.quxQuux`: paths in lowerCamelCase, separated by commas.
fn field_mask(tree: &Tree) -> Result<Vec<(u32, Value)>, String> {
    let text = scalar::string(tree)?;
    let paths = text.split(',').filter(|path| !path.is_empty());
    let snake = paths.map(|path| {
        path.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        })
    });
    Ok(vec![(1, Value::List(snake.map(Value::String).collect()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Tree {
        Tree::String(text.to_owned())
    }

    #[test]
    fn durations_are_decimal_seconds() {
        let parts = |written| duration(&text(written));
        assert_eq!(
            parts("1.5s"),
            Ok(vec![(1, Value::I64(1)), (2, Value::I32(500_000_000))])
        );
        assert_eq!(
            parts("-0.25s"),
            Ok(vec![(1, Value::I64(0)), (2, Value::I32(-250_000_000))])
        );
        assert_eq!(parts("0s"), Ok(vec![(1, Value::I64(0)), (2, Value::I32(0))]));
        for bad in [
            "",
            "s",
            "1",
            "1m",
            "1.s",
            ".5s",
            "1.0000000001s",
            "+1s",
            "1e3s",
            "315576000001s",
            "--1s",
            "１s",
        ] {
            assert!(parts(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(
            timestamp(&text("1970-01-01T00:00:01.5Z")),
            Ok(vec![(1, Value::I64(1)), (2, Value::I32(500_000_000))])
        );
        for bad in ["", "yesterday", "1970-01-01", "0000-01-01T00:00:00Z"] {
            assert!(timestamp(&text(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn field_masks_become_proto_names() {
        assert_eq!(
            field_mask(&text("fooBar,baz.quxQuux")),
            Ok(vec![(
                1,
                Value::List(vec![
                    Value::String("foo_bar".to_owned()),
                    Value::String("baz.qux_quux".to_owned())
                ])
            )])
        );
    }
}
