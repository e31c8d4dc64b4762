//! Compiles the options of a message into its checks.

use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{
    bytes::Bytes,
    check::{Check, Items, Pairs},
    compiled::{FieldRules, MessageRules, RequiredOneof},
    enumeration::Enumeration,
    text::Text,
};
use crate::{
    admission::{
        any::{self, ANY},
        path::Path,
        sensitive,
    },
    proto::{
        self,
        validate::{self, MapRules, RepeatedRules, field_rules::Type},
    },
};

struct Options {
    rules: ExtensionDescriptor,
    required: ExtensionDescriptor,
    disabled: ExtensionDescriptor,
    ignored: ExtensionDescriptor,
}

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let extension = |name| {
        proto::descriptors()
            .get_extension_by_name(name)
            .expect("Envoy's protos import validate/validate.proto")
    };
    Options {
        rules: extension("validate.rules"),
        required: extension("validate.required"),
        disabled: extension("validate.disabled"),
        ignored: extension("validate.ignored"),
    }
});

pub(super) fn message(descriptor: &MessageDescriptor) -> MessageRules {
    let mut rules = MessageRules {
        exempt: is_exempt(descriptor),
        ..MessageRules::default()
    };
    for field in descriptor.fields() {
        if sensitive::is_sensitive(&field) {
            rules.hidden.push(field.name().to_owned());
        }
        let Some(of_field) = field_options(&field) else {
            continue;
        };
        if skips(&of_field, &field) {
            rules.skipped.push(field.name().to_owned());
        }
        rules.fields.extend(field_rules(field, of_field));
    }
    for oneof in descriptor.oneofs() {
        if is_set(&oneof.options(), &OPTIONS.required) {
            let members = oneof.fields().collect();
            rules.oneofs.push(RequiredOneof { oneof, members });
        }
    }
    rules
}

fn is_exempt(descriptor: &MessageDescriptor) -> bool {
    let options = descriptor.options();
    is_set(&options, &OPTIONS.disabled) || is_set(&options, &OPTIONS.ignored)
}

fn is_set(options: &DynamicMessage, extension: &ExtensionDescriptor) -> bool {
    options.get_extension(extension).as_bool() == Some(true)
}

fn field_options(field: &FieldDescriptor) -> Option<validate::FieldRules> {
    let options = field.options();
    if !options.has_extension(&OPTIONS.rules) {
        return None;
    }
    let rules = options.get_extension(&OPTIONS.rules);
    rules.as_message()?.transcode_to().ok()
}

/// Returns true if messages in the field are not checked: the rules say `skip`, or they are those of an `Any` on
/// another message, which Envoy does not check either.
fn skips(rules: &validate::FieldRules, field: &FieldDescriptor) -> bool {
    let skip = |rules: &validate::FieldRules| rules.message.is_some_and(|message| message.skip());
    let skip_inner = match &rules.r#type {
        Some(Type::Repeated(list)) => list.items.as_deref().is_some_and(skip),
        Some(Type::Map(map)) => map.values.as_deref().is_some_and(skip),
        Some(Type::Any(_)) => field.kind().as_message().is_some_and(|message| !any::is_any(message)),
        _ => false,
    };
    skip(rules) || skip_inner
}

fn field_rules(field: FieldDescriptor, rules: validate::FieldRules) -> Option<FieldRules> {
    let is_message = matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map();
    // Members of a oneof are checked only if given, so `required` means nothing for them.
    let required = required(&rules).filter(|_| is_message && field.containing_oneof().is_none());
    let check = match rules.r#type {
        Some(Type::Repeated(rules)) if field.is_list() => Some(list(*rules, &field.kind())),
        Some(Type::Map(rules)) if field.is_map() => map(*rules, &field.kind()),
        Some(rules) => value(rules, &field.kind()),
        None => None,
    };
    if required.is_none() && check.is_none() {
        return None;
    }
    let check_absent = !field.supports_presence()
        && check
            .as_ref()
            .is_some_and(|check| !passes(check, &field.default_value()));
    Some(FieldRules {
        field,
        required,
        check,
        check_absent,
    })
}

fn passes(check: &Check, value: &Value) -> bool {
    let mut passes = true;
    check.run(value, &Path::ROOT, &mut |_, _| passes = false);
    passes
}

/// The rule that makes a message field required.
fn required(rules: &validate::FieldRules) -> Option<&'static str> {
    match &rules.r#type {
        Some(Type::Any(rules)) if rules.required() => Some("any.required"),
        Some(Type::Duration(rules)) if rules.required() => Some("duration.required"),
        Some(Type::Timestamp(rules)) if rules.required() => Some("timestamp.required"),
        _ => rules
            .message
            .is_some_and(|message| message.required())
            .then_some("message.required"),
    }
}

fn list(rules: RepeatedRules, kind: &Kind) -> Check {
    Check::Items(Box::new(Items {
        min: rules.min_items,
        max: rules.max_items,
        unique: rules.unique(),
        ignore_empty: rules.ignore_empty(),
        each: rules.items.and_then(|each| value(each.r#type?, kind)),
    }))
}

fn map(rules: MapRules, kind: &Kind) -> Option<Check> {
    let entry = kind.as_message()?;
    let (keys, values) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    // `no_sparse` matters only in languages where a value may be null.
    Some(Check::Pairs(Box::new(Pairs {
        min: rules.min_pairs,
        max: rules.max_pairs,
        ignore_empty: rules.ignore_empty(),
        keys: rules.keys.and_then(|rules| value(rules.r#type?, &keys)),
        values: rules.values.and_then(|rules| value(rules.r#type?, &values)),
    })))
}

/// The check of a single value of `kind`; `None` if the rules do not apply to it.
fn value(rules: Type, kind: &Kind) -> Option<Check> {
    if let Kind::Message(message) = kind {
        return match (rules, message.full_name()) {
            (Type::Duration(rules), "google.protobuf.Duration") => Some(Check::Duration(Box::new(rules.into()))),
            (Type::Timestamp(rules), "google.protobuf.Timestamp") => Some(Check::Timestamp(Box::new(rules.into()))),
            (Type::Any(rules), ANY) => Some(Check::Any(rules)),
            (rules, name) if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                let inner = value(rules, &message.get_field(1)?.kind())?;
                Some(Check::Wrapped(Box::new(inner)))
            }
            _ => None,
        };
    }
    Some(match (rules, kind) {
        (Type::Float(rules), Kind::Float) => Check::Float(rules.into()),
        (Type::Double(rules), Kind::Double) => Check::Double(rules.into()),
        (Type::Int32(rules), Kind::Int32) => Check::Signed(rules.into()),
        (Type::Int64(rules), Kind::Int64) => Check::Signed(rules.into()),
        (Type::Uint32(rules), Kind::Uint32) => Check::Unsigned(rules.into()),
        (Type::Uint64(rules), Kind::Uint64) => Check::Unsigned(rules.into()),
        (Type::Sint32(rules), Kind::Sint32) => Check::Signed(rules.into()),
        (Type::Sint64(rules), Kind::Sint64) => Check::Signed(rules.into()),
        (Type::Fixed32(rules), Kind::Fixed32) => Check::Unsigned(rules.into()),
        (Type::Fixed64(rules), Kind::Fixed64) => Check::Unsigned(rules.into()),
        (Type::Sfixed32(rules), Kind::Sfixed32) => Check::Signed(rules.into()),
        (Type::Sfixed64(rules), Kind::Sfixed64) => Check::Signed(rules.into()),
        (Type::Bool(rules), Kind::Bool) => Check::Bool(rules),
        (Type::String(rules), Kind::String) => Check::Text(Box::new(Text::new(rules))),
        (Type::Bytes(rules), Kind::Bytes) => Check::Bytes(Box::new(Bytes::new(rules))),
        (Type::Enum(rules), Kind::Enum(descriptor)) => Check::Enumeration(Enumeration::new(rules, descriptor.clone())),
        _ => return None,
    })
}
