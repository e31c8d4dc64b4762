//! Builds a message from a tree by its descriptor: strict proto3-JSON, with the line and path of every finding.

mod known;
mod scalar;
mod well_known;

use std::collections::HashMap;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use self::known::WellKnown;
use super::{
    Limits, Severity, any, canonical, codes,
    finding::{Findings, Position, Subject},
    inspect::{Depth, Fault},
    path::Path,
    sensitive, suggest,
    tree::{Key, Node, Tree},
};
use crate::text::names_credential;

/// The key that names the message type of a mapping.
pub(super) const TYPE_KEY: &str = "@type";

/// Builds messages from trees. Each method returns `None` after it has pushed an error.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) limits: &'a Limits,
    pub(super) subject: Subject<'a>,
    pub(super) findings: &'a mut Findings,
    /// True inside a field that holds a secret: findings do not quote its content.
    pub(super) hidden: bool,
}

/// The message of a finding without the value that was given.
fn without_value(message: &str) -> String {
    match message.split_once(", got ") {
        Some((expected, _)) => format!("{expected}; the field holds a secret, and what was given is not shown"),
        None => "malformed; the field holds a secret, and what was given is not shown".to_owned(),
    }
}

/// Returns true if null is a value of this kind, and false if it means an absent field.
fn null_is_a_value(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => message.full_name() == "google.protobuf.Value",
        Kind::Enum(enumeration) => enumeration.full_name() == "google.protobuf.NullValue",
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::String
        | Kind::Bytes => false,
    }
}

// === impl Builder ===

impl Builder<'_> {
    pub(super) fn error(&mut self, code: &'static str, at: Position, path: &Path<'_>, message: impl Into<String>) {
        let mut message = message.into();
        if self.hidden && code == codes::VALUE {
            message = without_value(&message);
        }
        let finding = self.subject.finding(Severity::Error, code, at, path, message);
        self.findings.push(finding);
    }

    fn fault(&mut self, fault: &Fault, at: Position, path: &Path<'_>) {
        let code = match fault {
            Fault::UnknownType(_) => codes::UNKNOWN_TYPE,
            Fault::Undecodable { .. } => codes::UNDECODABLE,
            Fault::AnyNesting(_) | Fault::MessageNesting(_) => codes::NESTING,
        };
        self.error(code, at, path, fault.to_string());
    }

    fn expected(&mut self, what: &str, node: &Node, path: &Path<'_>) {
        let message = format!("expected {what}, got {}", node.tree.describe());
        self.error(codes::VALUE, node.at, path, message);
    }

    /// The type URL of a mapping with `@type`, and the descriptor of that type.
    pub(super) fn type_of(&mut self, node: &Node, path: &Path<'_>) -> Option<(String, MessageDescriptor)> {
        if !matches!(node.tree, Tree::Mapping(_)) {
            self.expected(&format!("a mapping with \"{TYPE_KEY}\""), node, path);
            return None;
        }
        let Some(type_node) = node.get(TYPE_KEY) else {
            self.error(codes::UNKNOWN_TYPE, node.at, path, format!("\"{TYPE_KEY}\" is missing"));
            return None;
        };
        let path = &path.field(TYPE_KEY);
        let Some(type_url) = type_node.as_str() else {
            self.expected("a type URL", type_node, path);
            return None;
        };
        match any::resolve(type_url) {
            Ok(descriptor) => Some((type_url.to_owned(), descriptor)),
            Err(unknown) => {
                self.error(codes::UNKNOWN_TYPE, type_node.at, path, unknown.to_string());
                None
            }
        }
    }

    /// The message in a mapping whose `@type` was resolved to `descriptor`. A message with its own JSON form (a
    /// Duration is a string) stands under `value`.
    pub(super) fn typed(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        if WellKnown::of(descriptor).is_none() {
            return self.message(descriptor, node, path, depth);
        }
        let Tree::Mapping(entries) = &node.tree else {
            self.expected("a mapping", node, path);
            return None;
        };
        let mut value = None;
        for (key, node) in entries {
            match key.text.as_str() {
                TYPE_KEY => {}
                "value" => value = Some(node),
                _ => {
                    let rule = format!("unknown field; a {} stands under \"value\"", descriptor.full_name());
                    self.unknown(key, path, self.hidden, rule, "");
                }
            }
        }
        let Some(value) = value else {
            let message = format!("\"value\" is missing: the {} itself", descriptor.full_name());
            self.error(codes::VALUE, node.at, path, message);
            return None;
        };
        self.message(descriptor, value, &path.field("value"), depth)
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        let depth = match depth.into_message(self.limits) {
            Ok(depth) => depth,
            Err(fault) => {
                self.fault(&fault, node.at, path);
                return None;
            }
        };
        match WellKnown::of(descriptor) {
            Some(known) => self.well_known(known, descriptor, node, path, depth),
            None => self.fields(descriptor, node, path, depth, &[TYPE_KEY]),
        }
    }

    /// Builds a message in its ordinary form: a mapping of its fields. Keys in `skip` are ignored.
    pub(super) fn fields(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
        skip: &[&str],
    ) -> Option<DynamicMessage> {
        let Tree::Mapping(entries) = &node.tree else {
            self.expected("a mapping", node, path);
            return None;
        };
        let before = self.findings.errors();
        let credential = sensitive::naming_field(descriptor)
            .and_then(|naming| node.get(naming)?.as_str())
            .is_some_and(names_credential);
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut given: Vec<(FieldDescriptor, &Key)> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if skip.contains(&key.text.as_str()) || self.is_value_of_empty(descriptor, key, node) {
                continue;
            }
            let Some(field) = field_named(descriptor, &key.text) else {
                self.unknown_field(descriptor, key, path, self.hidden || credential);
                continue;
            };
            let path = &path.field(field.name());
            if self.conflicts(&field, key, node, &given, path) {
                continue;
            }
            if !matches!(node.tree, Tree::Null) || (null_is_a_value(&field.kind()) && !field.is_list()) {
                let hidden = self.hidden;
                self.hidden |= credential || sensitive::is_sensitive(&field);
                let value = self.field(&field, node, path, depth);
                self.hidden = hidden;
                if let Some(value) = value {
                    message.set_field(&field, value);
                }
                given.push((field.clone(), key));
            }
        }
        (self.findings.errors() == before).then_some(message)
    }

    /// Inside an `Any`, `google.protobuf.Empty` may be written `value: {}`.
    fn is_value_of_empty(&self, descriptor: &MessageDescriptor, key: &Key, node: &Node) -> bool {
        descriptor.full_name() == "google.protobuf.Empty"
            && key.text == "value"
            && matches!(&node.tree, Tree::Mapping(entries) if entries.is_empty())
    }

    fn unknown_field(&mut self, descriptor: &MessageDescriptor, key: &Key, path: &Path<'_>, hidden: bool) {
        let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
        let hint = suggest::did_you_mean(key.name(), fields.iter().map(FieldDescriptor::name));
        let rule = format!("unknown field of {}", descriptor.full_name());
        self.unknown(key, path, hidden, rule, &hint);
    }

    /// Pushes the error of an unknown key. In a field that holds a secret the key may be the secret itself and is not
    /// shown, unless it resembles a field name: then a space or the field around it was forgotten.
    pub(super) fn unknown(&mut self, key: &Key, path: &Path<'_>, hidden: bool, rule: String, hint: &str) {
        let mut message = rule;
        message.push_str(hint);
        if key.lacks_space() {
            message.push_str("; a space must follow the colon, and what does is not shown");
        }
        if hidden && hint.is_empty() {
            message.push_str("; what is given stands in a field that holds a secret, and is not shown");
            return self.error(codes::UNKNOWN_FIELD, key.at, path, message);
        }
        self.error(codes::UNKNOWN_FIELD, key.at, &path.field(key.name()), message);
    }

    /// Pushes an error, and returns true, if `field` or another member of its oneof was given before.
    fn conflicts(
        &mut self,
        field: &FieldDescriptor,
        key: &Key,
        node: &Node,
        given: &[(FieldDescriptor, &Key)],
        path: &Path<'_>,
    ) -> bool {
        if let Some((_, first)) = given.iter().find(|(other, _)| other.number() == field.number()) {
            let message = format!("given twice, also as \"{}\" in line {}", first.text, first.at.line);
            self.error(codes::CONFLICT, key.at, path, message);
            return true;
        }
        let null = matches!(node.tree, Tree::Null) && !null_is_a_value(&field.kind());
        let Some(oneof) = field.containing_oneof().filter(|_| !null) else {
            return false;
        };
        let Some((other, first)) = given
            .iter()
            .find(|(other, _)| other.containing_oneof().is_some_and(|o| o == oneof))
        else {
            return false;
        };
        let message = format!(
            "only one of oneof {} may be given, and {} is, in line {}",
            oneof.name(),
            other.name(),
            first.at.line
        );
        self.error(codes::CONFLICT, key.at, path, message);
        true
    }

    fn field(&mut self, field: &FieldDescriptor, node: &Node, path: &Path<'_>, depth: Depth) -> Option<Value> {
        if field.is_map() {
            return self.map(field, node, path, depth);
        }
        if field.is_list() {
            return self.list(&field.kind(), node, path, depth);
        }
        self.value(&field.kind(), node, path, depth)
    }

    fn list(&mut self, kind: &Kind, node: &Node, path: &Path<'_>, depth: Depth) -> Option<Value> {
        let Tree::Sequence(nodes) = &node.tree else {
            self.expected("a list", node, path);
            return None;
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            values.extend(self.value(kind, node, &path.index(index), depth));
        }
        Some(Value::List(values))
    }

    fn map(&mut self, field: &FieldDescriptor, node: &Node, path: &Path<'_>, depth: Depth) -> Option<Value> {
        let kind = field.kind();
        let entry = kind.as_message()?;
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
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
        let mut values: HashMap<MapKey, Value> = HashMap::with_capacity(entries.len());
        for (key, node) in entries {
            let path = &path.key(&key.text);
            let value = self.value(&value_kind, node, path, depth);
            match scalar::map_key(&key_kind, &key.text) {
                Ok(map_key) if values.contains_key(&map_key) => {
                    self.error(codes::CONFLICT, key.at, path, "the same key is given twice");
                }
                Ok(map_key) => values.extend(value.map(|value| (map_key, value))),
                Err(message) => self.error(codes::VALUE, key.at, path, message),
            }
        }
        Some(Value::Map(values))
    }

    fn value(&mut self, kind: &Kind, node: &Node, path: &Path<'_>, depth: Depth) -> Option<Value> {
        if let Kind::Message(descriptor) = kind {
            return self.message(descriptor, node, path, depth).map(Value::Message);
        }
        scalar::scalar(kind, &node.tree)
            .map_err(|message| self.error(codes::VALUE, node.at, path, message))
            .ok()
    }

    /// Builds an `Any`; its value is the canonical encoding of the message in it.
    fn any(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
        path: &Path<'_>,
        depth: Depth,
    ) -> Option<DynamicMessage> {
        let depth = match depth.into_any(self.limits) {
            Ok(depth) => depth,
            Err(fault) => {
                self.fault(&fault, node.at, path);
                return None;
            }
        };
        let (type_url, inner) = self.type_of(node, path)?;
        let message = self.typed(&inner, node, path, depth)?;
        let value = Bytes::from(canonical::encode(&message, canonical::Anys::Keep));
        Some(any::with_parts(descriptor.clone(), &type_url, value))
    }
}

/// The field with this proto name or JSON name.
fn field_named(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_name(name)
        .or_else(|| descriptor.get_field_by_json_name(name))
}
