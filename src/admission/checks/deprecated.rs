//! Deprecated fields and enum values, by the annotations in Envoy's protos.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::Report;
use crate::{
    admission::{codes, path::Path},
    proto,
};

/// The field `deprecated` of FieldOptions and of EnumValueOptions.
const FIELD_DEPRECATED: u32 = 3;
const VALUE_DEPRECATED: u32 = 1;

/// Envoy's annotations of deprecated fields.
struct Annotations {
    disallowed: &'static str,
    since: &'static str,
}

const OF_FIELD: Annotations = Annotations {
    disallowed: "envoy.annotations.disallowed_by_default",
    since: "envoy.annotations.deprecated_at_minor_version",
};
const OF_VALUE: Annotations = Annotations {
    disallowed: "envoy.annotations.disallowed_by_default_enum",
    since: "envoy.annotations.deprecated_at_minor_version_enum",
};

#[derive(Clone, Debug)]
struct Deprecation {
    /// The API version that deprecated the field; may be empty.
    since: String,
    /// True if Envoy refuses the field or value unless its runtime allows it.
    disallowed: bool,
}

/// The deprecations of one field.
#[derive(Debug)]
struct Deprecated {
    number: u32,
    field: Option<Deprecation>,
    /// The deprecated values of an enum field, by number.
    values: Vec<(i32, String, Deprecation)>,
}

/// The deprecations of each message, by its full name.
static DEPRECATED: LazyLock<HashMap<String, Vec<Deprecated>>> = LazyLock::new(|| {
    let messages = proto::descriptors().all_messages();
    let found = messages.filter_map(|message| {
        let fields: Vec<Deprecated> = message.fields().filter_map(|field| of_field(&field)).collect();
        (!fields.is_empty()).then(|| (message.full_name().to_owned(), fields))
    });
    found.collect()
});

fn of_field(field: &FieldDescriptor) -> Option<Deprecated> {
    let values = match field.kind() {
        Kind::Enum(enumeration) => {
            let values = enumeration.values();
            let deprecated = values.filter_map(|value| {
                let deprecation = deprecation(&value.options(), VALUE_DEPRECATED, &OF_VALUE)?;
                Some((value.number(), value.name().to_owned(), deprecation))
            });
            deprecated.collect()
        }
        _ => Vec::new(),
    };
    let own = deprecation(&field.options(), FIELD_DEPRECATED, &OF_FIELD);
    (own.is_some() || !values.is_empty()).then(|| Deprecated {
        number: field.number(),
        field: own,
        values,
    })
}

fn deprecation(options: &DynamicMessage, deprecated: u32, annotations: &Annotations) -> Option<Deprecation> {
    let flag = options.get_field_by_number(deprecated)?;
    let extension = |name| {
        let extension = proto::descriptors().get_extension_by_name(name)?;
        options
            .has_extension(&extension)
            .then(|| options.get_extension(&extension).into_owned())
    };
    let disallowed = extension(annotations.disallowed)
        .and_then(|value| value.as_bool())
        .unwrap_or(false);
    let since = extension(annotations.since).and_then(|value| value.as_str().map(str::to_owned));
    (flag.as_bool() == Some(true) || disallowed).then(|| Deprecation {
        since: since.unwrap_or_default(),
        disallowed,
    })
}

/// Warns of each deprecated field that is set, and of each deprecated value.
pub(super) fn check(
    message: &DynamicMessage,
    descriptor: &MessageDescriptor,
    path: &Path<'_>,
    report: &mut dyn Report,
) {
    for deprecated in DEPRECATED.get(descriptor.full_name()).into_iter().flatten() {
        let Some(field) = descriptor.get_field(deprecated.number) else {
            continue;
        };
        let is_set = message.has_field(&field);
        let path = &path.field(field.name());
        if let Some(deprecation) = deprecated.field.as_ref().filter(|_| is_set) {
            warn(deprecation, "", path, report);
        }
        if is_set {
            match &*message.get_field(&field) {
                Value::EnumNumber(number) => of_value(deprecated, *number, path, report),
                Value::List(values) => {
                    for (index, number) in values.iter().enumerate() {
                        if let Some(number) = number.as_enum_number() {
                            of_value(deprecated, number, &path.index(index), report);
                        }
                    }
                }
                _ => {}
            }
        } else if !field.is_list() && field.containing_oneof().is_none() {
            // An absent enum field has the value 0; if Envoy refuses that value, another one must be given.
            let default = deprecated.values.iter().find(|(number, ..)| *number == 0);
            if let Some((_, name, deprecation)) = default.filter(|(.., deprecation)| deprecation.disallowed) {
                warn(
                    deprecation,
                    &format!("without a value it is {name}, which "),
                    path,
                    report,
                );
            }
        }
    }
}

fn of_value(deprecated: &Deprecated, number: i32, path: &Path<'_>, report: &mut dyn Report) {
    if let Some((_, name, deprecation)) = deprecated.values.iter().find(|(value, ..)| *value == number) {
        warn(deprecation, &format!("the value {name} "), path, report);
    }
}

fn warn(deprecation: &Deprecation, what: &str, path: &Path<'_>, report: &mut dyn Report) {
    let since = match deprecation.since.as_str() {
        "" => String::new(),
        since => format!(" since version {since} of Envoy's API"),
    };
    if deprecation.disallowed {
        let message = format!(
            "{what}is no longer allowed{since}: Envoy refuses it, unless its runtime allows deprecated features"
        );
        report.warn(codes::DISALLOWED, path, message);
    } else {
        report.warn(codes::DEPRECATED, path, format!("{what}is deprecated{since}"));
    }
}
