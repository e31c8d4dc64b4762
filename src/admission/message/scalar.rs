//! Leaves: numbers, booleans, strings, bytes, enums, map keys, by the rules of proto3-JSON.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use prost_reflect::{EnumDescriptor, Kind, MapKey, Value};

use crate::admission::{suggest, tree::Tree};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Builds a leaf of `kind`; the error says what was expected.
pub(super) fn scalar(kind: &Kind, tree: &Tree) -> Result<Value, String> {
    match kind {
        Kind::Double => double(tree).map(Value::F64),
        Kind::Float => float(tree).map(Value::F32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(tree, "int32").map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(tree, "int64").map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(tree, "uint32").map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(tree, "uint64").map(Value::U64),
        Kind::Bool => boolean(tree).map(Value::Bool),
        Kind::String => string(tree).map(|text| Value::String(text.to_owned())),
        Kind::Bytes => bytes(tree).map(Value::Bytes),
        Kind::Enum(descriptor) => enumeration(descriptor, tree).map(Value::EnumNumber),
        Kind::Message(descriptor) => Err(expected(descriptor.full_name(), tree)),
    }
}

/// Builds a map key of `kind` from its text.
pub(super) fn map_key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    let tree = || Tree::String(text.to_owned());
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(&tree(), "int32").map(MapKey::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(&tree(), "int64").map(MapKey::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(&tree(), "uint32").map(MapKey::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(&tree(), "uint64").map(MapKey::U64),
        Kind::Bool => match text {
            "true" => Ok(MapKey::Bool(true)),
            "false" => Ok(MapKey::Bool(false)),
            _ => Err("expected the key true or false".to_owned()),
        },
        Kind::String => Ok(MapKey::String(text.to_owned())),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => {
            Err("not a type that map keys can have".to_owned())
        }
    }
}

pub(super) fn expected(what: &str, tree: &Tree) -> String {
    format!("expected {what}, got {}", tree.describe())
}

/// Accepts numbers, integral floats (`1e3`), and quoted decimal integers.
fn integer<T: TryFrom<i128>>(tree: &Tree, name: &str) -> Result<T, String> {
    let wide = match tree {
        Tree::Unsigned(value) => i128::from(*value),
        Tree::Signed(value) => i128::from(*value),
        #[allow(
            clippy::cast_possible_truncation,
            reason = "integral, and far inside i128 by the check of its size"
        )]
        Tree::Float(value) if value.fract() == 0.0 && value.abs() < 1e30 => *value as i128,
        Tree::Float(_) => return Err(expected(&format!("a whole number ({name})"), tree)),
        Tree::String(text) => decimal(text).ok_or_else(|| format!("expected a number ({name}), got {text:?}"))?,
        Tree::Null | Tree::Bool(_) | Tree::Sequence(_) | Tree::Mapping(_) => {
            return Err(expected(&format!("a number ({name})"), tree));
        }
    };
    T::try_from(wide).map_err(|_| format!("{wide} is out of the range of {name}"))
}

/// Accepts plain decimal digits: no leading zeros, which some readers take for octal, no underscores, no plus.
fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = (digits == "0" || !digits.starts_with('0')) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[allow(clippy::cast_precision_loss, reason = "JSON numbers are floats to begin with")]
fn double(tree: &Tree) -> Result<f64, String> {
    match tree {
        Tree::Unsigned(value) => Ok(*value as f64),
        Tree::Signed(value) => Ok(*value as f64),
        Tree::Float(value) => Ok(*value),
        Tree::String(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            ".inf" | "-.inf" | ".nan" => {
                Err("expected a finite number; the others are written NaN, Infinity and -Infinity".to_owned())
            }
            other => other
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite() && !other.starts_with('+'))
                .ok_or_else(|| format!("expected a number, got {other:?}")),
        },
        Tree::Null | Tree::Bool(_) | Tree::Sequence(_) | Tree::Mapping(_) => Err(expected("a number", tree)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
fn float(tree: &Tree) -> Result<f32, String> {
    let wide = double(tree)?;
    let narrow = wide as f32;
    if wide.is_finite() && !narrow.is_finite() {
        return Err(format!("{wide} is out of the range of float"));
    }
    Ok(narrow)
}

fn boolean(tree: &Tree) -> Result<bool, String> {
    match tree {
        Tree::Bool(value) => Ok(*value),
        Tree::String(text) if matches!(text.as_str(), "yes" | "no" | "on" | "off") => {
            Err(format!("expected true or false, got {text:?}"))
        }
        Tree::Null
        | Tree::Unsigned(_)
        | Tree::Signed(_)
        | Tree::Float(_)
        | Tree::String(_)
        | Tree::Sequence(_)
        | Tree::Mapping(_) => Err(expected("true or false", tree)),
    }
}

pub(super) fn string(tree: &Tree) -> Result<&str, String> {
    match tree {
        Tree::String(text) => Ok(text),
        Tree::Bool(_) | Tree::Unsigned(_) | Tree::Signed(_) | Tree::Float(_) => {
            Err(format!("{}: put it in quotes", expected("a string", tree)))
        }
        Tree::Null | Tree::Sequence(_) | Tree::Mapping(_) => Err(expected("a string", tree)),
    }
}

fn bytes(tree: &Tree) -> Result<Bytes, String> {
    let text = string(tree)?;
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map(Bytes::from)
        .map_err(|_| "expected bytes in base64".to_owned())
}

fn enumeration(descriptor: &EnumDescriptor, tree: &Tree) -> Result<i32, String> {
    if matches!(tree, Tree::Null) && descriptor.full_name() == "google.protobuf.NullValue" {
        return Ok(0);
    }
    if let Tree::String(name) = tree {
        return descriptor
            .get_value_by_name(name)
            .map(|value| value.number())
            .ok_or_else(|| {
                let values: Vec<_> = descriptor.values().collect();
                let names = values.iter().map(|value| value.name());
                let known = names.clone().take(12).collect::<Vec<_>>().join(", ");
                let hint = suggest::did_you_mean(name, names);
                format!("\"{name}\" is no {}: expected {known}{hint}", descriptor.full_name())
            });
    }
    let number: i32 = integer(tree, descriptor.full_name())?;
    descriptor
        .get_value(number)
        .map(|value| value.number())
        .ok_or_else(|| format!("{number} is no {}", descriptor.full_name()))
}
