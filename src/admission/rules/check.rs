//! The check of one value, by its kind.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, MapKey, Value};

use super::{
    bytes::Bytes,
    enumeration::Enumeration,
    number::Number,
    text::Text,
    time::{self, Span, Time},
    violation::{Violation, counted, listed, quoted},
};
use crate::{
    admission::{any, codes, inspect, path::Path},
    proto::validate::{AnyRules, BoolRules},
};

/// Receives violations with their paths.
pub(super) type Report<'r> = &'r mut dyn FnMut(&Path<'_>, Violation);

#[derive(Debug)]
pub(super) enum Check {
    Signed(Number<i64>),
    Unsigned(Number<u64>),
    Float(Number<f32>),
    Double(Number<f64>),
    Bool(BoolRules),
    Text(Box<Text>),
    Bytes(Box<Bytes>),
    Enumeration(Enumeration),
    Duration(Box<Number<Span>>),
    Timestamp(Box<Number<Time>>),
    Any(AnyRules),
    /// The check of the value in a `google.protobuf.UInt32Value` or the like.
    Wrapped(Box<Self>),
    Items(Box<Items>),
    Pairs(Box<Pairs>),
}

#[derive(Debug)]
pub(super) struct Items {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) unique: bool,
    pub(super) each: Option<Check>,
    pub(super) ignore_empty: bool,
}

#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) keys: Option<Check>,
    pub(super) values: Option<Check>,
    pub(super) ignore_empty: bool,
}

// === impl Check ===

impl Check {
    /// Reports violations in `value`, which is at `path`. A value of another kind than the rules has none:
    /// protoc-gen-validate refuses such protos.
    pub(super) fn run(&self, value: &Value, path: &Path<'_>, report: Report<'_>) {
        let mut here = |violation| report(path, violation);
        match (self, value) {
            (Self::Signed(rules), Value::I32(value)) => rules.check(i64::from(*value), &mut here),
            (Self::Signed(rules), Value::I64(value)) => rules.check(*value, &mut here),
            (Self::Unsigned(rules), Value::U32(value)) => rules.check(u64::from(*value), &mut here),
            (Self::Unsigned(rules), Value::U64(value)) => rules.check(*value, &mut here),
            (Self::Float(rules), Value::F32(value)) => rules.check(*value, &mut here),
            (Self::Double(rules), Value::F64(value)) => rules.check(*value, &mut here),
            (Self::Bool(rules), Value::Bool(value)) => check_bool(rules, *value, &mut here),
            (Self::Text(rules), Value::String(text)) => rules.check(text, &mut here),
            (Self::Bytes(rules), Value::Bytes(bytes)) => rules.check(bytes, &mut here),
            (Self::Enumeration(rules), Value::EnumNumber(number)) => rules.check(*number, &mut here),
            (Self::Duration(rules), Value::Message(span)) => rules.check(time::nanos_of(span).into(), &mut here),
            (Self::Timestamp(rules), Value::Message(time)) => rules.check(time::nanos_of(time).into(), &mut here),
            (Self::Any(rules), Value::Message(any)) => check_any(rules, any, &mut here),
            (Self::Wrapped(check), Value::Message(wrapper)) => {
                if let Some(value) = wrapper.get_field_by_number(1) {
                    check.run(&value, path, report);
                }
            }
            (Self::Items(rules), Value::List(values)) => rules.run(values, path, report),
            (Self::Pairs(rules), Value::Map(entries)) => rules.run(entries, path, report),
            _ => {}
        }
    }
}

fn check_bool(rules: &BoolRules, value: bool, report: &mut dyn FnMut(Violation)) {
    if let Some(constant) = rules.r#const.filter(|constant| *constant != value) {
        let demand = format!("must be {constant}");
        report(Violation::new(codes::CHOICE, "bool.const", "value", demand).showing(value));
    }
}

fn check_any(rules: &AnyRules, any: &DynamicMessage, report: &mut dyn FnMut(Violation)) {
    let (type_url, _) = any::parts(any);
    let mut tell = |rule, demand| {
        let violation = Violation::new(codes::CHOICE, rule, "type", demand);
        report(violation.showing(quoted(&type_url)));
    };
    if !rules.r#in.is_empty() && !rules.r#in.contains(&type_url) {
        tell("any.in", format!("must be one of {}", listed(&rules.r#in)));
    }
    if rules.not_in.contains(&type_url) {
        tell("any.not_in", format!("must be none of {}", listed(&rules.not_in)));
    }
}

/// The violation of a limit on the number of items.
fn check_count(
    (min_rule, min): (&str, Option<u64>),
    (max_rule, max): (&str, Option<u64>),
    count: usize,
    words: [&'static str; 3],
    report: &mut dyn FnMut(Violation),
) {
    let count = count as u64;
    let [subject, one, many] = words;
    let mut tell = |rule: &str, demand: &str, limit| {
        let demand = format!("must have {demand} {}", counted(limit, one, many));
        let violation = Violation::new(codes::ITEMS, rule, subject, demand);
        report(violation.showing(format!("of {}", counted(count, one, many))));
    };
    if let Some(min) = min.filter(|min| count < *min) {
        tell(min_rule, "at least", min);
    }
    if let Some(max) = max.filter(|max| count > *max) {
        tell(max_rule, "at most", max);
    }
}

// === impl Items ===

impl Items {
    fn run(&self, values: &[Value], path: &Path<'_>, report: Report<'_>) {
        if self.ignore_empty && values.is_empty() {
            return;
        }
        let min = ("repeated.min_items", self.min);
        let max = ("repeated.max_items", self.max);
        check_count(min, max, values.len(), ["list", "item", "items"], &mut |violation| {
            report(path, violation);
        });
        if self.unique {
            check_unique(values, path, report);
        }
        if let Some(each) = &self.each {
            for (index, value) in values.iter().enumerate() {
                each.run(value, &path.index(index), &mut |path, violation| {
                    report(path, violation.within("repeated.items."));
                });
            }
        }
    }
}

/// Reports equal items, for values without fields: protoc-gen-validate has no such rule for messages.
fn check_unique(values: &[Value], path: &Path<'_>, report: Report<'_>) {
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let Some(key) = identity(value) else {
            return;
        };
        if let Some(first) = seen.get(&key) {
            let demand = format!("must differ from all others, and equals item {first}");
            let violation = Violation::new(codes::UNIQUE, "repeated.unique", "item", demand);
            report(&path.index(index), violation.showing(index));
        } else {
            seen.insert(key, index);
        }
    }
}

/// Bytes that are equal for equal values of one kind.
fn identity(value: &Value) -> Option<Vec<u8>> {
    // Zero has two forms, and NaN equals nothing; no list of unique items in Envoy's protos holds floats.
    Some(match value {
        Value::Bool(value) => vec![u8::from(*value)],
        Value::I32(value) | Value::EnumNumber(value) => value.to_le_bytes().to_vec(),
        Value::I64(value) => value.to_le_bytes().to_vec(),
        Value::U32(value) => value.to_le_bytes().to_vec(),
        Value::U64(value) => value.to_le_bytes().to_vec(),
        Value::F32(value) => (value + 0.0).to_le_bytes().to_vec(),
        Value::F64(value) => (value + 0.0).to_le_bytes().to_vec(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Message(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

// === impl Pairs ===

impl Pairs {
    fn run(&self, entries: &HashMap<MapKey, Value>, path: &Path<'_>, report: Report<'_>) {
        if self.ignore_empty && entries.is_empty() {
            return;
        }
        let min = ("map.min_pairs", self.min);
        let max = ("map.max_pairs", self.max);
        check_count(min, max, entries.len(), ["map", "entry", "entries"], &mut |violation| {
            report(path, violation);
        });
        if self.keys.is_none() && self.values.is_none() {
            return;
        }
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        for (key, value) in sorted {
            let text = inspect::key_text(key);
            let path = &path.key(&text);
            if let Some(keys) = &self.keys {
                keys.run(&Value::from(key.clone()), path, &mut |path, violation| {
                    report(path, violation.within("map.keys."));
                });
            }
            if let Some(values) = &self.values {
                values.run(value, path, &mut |path, violation| {
                    report(path, violation.within("map.values."));
                });
            }
        }
    }
}
