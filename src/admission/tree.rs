//! Parses YAML and JSON documents into one kind of tree; every node knows its line and column.
//!
//! YAML is a superset of JSON, so one strict parser reads both. This module does not know protobuf.

use std::{cell::Cell, fmt, panic::resume_unwind, thread};

use serde::{
    Deserialize,
    de::{self, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, NonFiniteFloatPolicy, Options, Spanned,
    granit_parser::ErrorKind,
};

use super::{Limits, finding::Position};

/// A value with its position.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) tree: Tree,
    pub(super) at: Position,
}

/// A key of a mapping with its position.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Position,
}

/// A value of a document.
#[derive(Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Always below zero; the parser reads other integers as `Unsigned`.
    Signed(i64),
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    /// The entries in document order; the keys are unique.
    Mapping(Vec<(Key, Node)>),
}

/// A document that cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) at: Position,
    pub(super) kind: SyntaxErrorKind,
}

/// The kind of a [`SyntaxError`], which decides the code of its finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyntaxErrorKind {
    Malformed,
    /// More than one document.
    NotOneDocument,
    /// The document is nested too deep.
    Nesting,
    /// The document is larger than [`Limits`] allow.
    TooLarge,
}

/// The nesting of mappings and sequences at which the parser stops.
const MAX_DEPTH: usize = 128;
/// The stack of the parser: a level takes up to 34 kB in unoptimized builds, and a thread has 2 MiB by default.
const STACK: usize = 16 << 20;

/// The number of events that all aliases together may stand for.
const ALIASED: usize = 1_000_000;

thread_local! {
    /// The bytes of text that the document may still have. Aliases count at every use, unlike in the parser's own
    /// limit.
    static TEXT: Cell<usize> = const { Cell::new(0) };
}

/// Subtracts the length of a text from the bytes left.
fn take_text<E: de::Error>(text: &str) -> Result<(), E> {
    match TEXT.get().checked_sub(text.len()) {
        Some(left) => {
            TEXT.set(left);
            Ok(())
        }
        None => Err(E::custom(TOO_MUCH_TEXT)),
    }
}

/// The message for too much text; it begins like the parser's own messages about limits.
const TOO_MUCH_TEXT: &str = "budget breached: text of aliases";

/// Reads one document.
pub(super) fn parse(content: &[u8], limits: &Limits) -> Result<Node, SyntaxError> {
    let text = std::str::from_utf8(content).map_err(|error| not_utf8(content, error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = control_character(text) {
        return Err(SyntaxError {
            message: "unescaped control character".to_owned(),
            at,
            kind: SyntaxErrorKind::Malformed,
        });
    }
    with_room(|| {
        TEXT.set(limits.document_bytes);
        serde_saphyr::from_str_with_options(text, options(limits)).map_err(|error| SyntaxError::from(&error))
    })
}

/// Runs the parser on a stack with room for [`MAX_DEPTH`] levels in every build.
fn with_room<T: Send>(parse: impl Fn() -> T + Send + Sync) -> T {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK);
        match builder.spawn_scoped(scope, &parse) {
            Ok(parser) => parser.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No thread could be started: the caller's stack suffices for what people write.
            Err(_) => parse(),
        }
    })
}

fn options(limits: &Limits) -> Options {
    let nodes = limits.document_values;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            simple_key_max_lookahead: 64 * 1024,
            flow_nesting_limit: MAX_DEPTH,
            max_depth: MAX_DEPTH,
            max_nodes: nodes,
            max_events: nodes.saturating_mul(2),
            max_total_scalar_bytes: limits.document_bytes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: nodes.min(ALIASED),
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn not_utf8(content: &[u8], valid_up_to: usize) -> SyntaxError {
    let before = String::from_utf8_lossy(&content[..valid_up_to]);
    SyntaxError {
        message: format!("not UTF-8: byte 0x{:02x}", content[valid_up_to]),
        at: Position::after(&before),
        kind: SyntaxErrorKind::Malformed,
    }
}

/// The first character that YAML and JSON both forbid unescaped.
fn control_character(text: &str) -> Option<Position> {
    let index = text
        .bytes()
        .position(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))?;
    Some(Position::after(&text[..index]))
}

// === impl Tree ===

impl Tree {
    /// The name of the value's kind, for "expected …, got …".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Unsigned(value) => format!("the number {value}"),
            Self::Signed(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::String(_) => "a string".to_owned(),
            Self::Sequence(_) => "a list".to_owned(),
            Self::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

// === impl Node ===

impl Node {
    /// The value under `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Tree::Mapping(entries) = &self.tree else {
            return None;
        };
        entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The string, if this is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.tree {
            Tree::String(text) => Some(text),
            Tree::Null
            | Tree::Bool(_)
            | Tree::Unsigned(_)
            | Tree::Signed(_)
            | Tree::Float(_)
            | Tree::Sequence(_)
            | Tree::Mapping(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            tree: spanned.value,
            at: spanned.defined.into(),
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(u64::try_from(value).map_or(Tree::Signed(value), Tree::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        take_text(value)?;
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Tree, E> {
        take_text(&value)?;
        Ok(Tree::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = sequence.next_element()? {
            nodes.push(node);
        }
        // Most lists have one element, but a capacity of four; large documents need small trees.
        nodes.shrink_to_fit();
        Ok(Tree::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = mapping.next_key()? {
            entries.push((key, mapping.next_value()?));
        }
        entries.shrink_to_fit();
        Ok(Tree::Mapping(entries))
    }
}

// === impl Key ===

impl Key {
    /// The field name at the beginning of the key: without a space, `password:hunter2` is one key in YAML.
    pub(super) fn name(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// Returns true if the key has a colon, after which a space is missing.
    pub(super) fn lacks_space(&self) -> bool {
        self.text.contains(':')
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<KeyText>::deserialize(deserializer)?;
        Ok(Self {
            text: spanned.value.0,
            at: spanned.defined.into(),
        })
    }
}

/// A key as text, even if YAML would read a number: `200: OK` has the key "200", as in JSON.
struct KeyText(String);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = KeyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key that is a string")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<KeyText, E> {
                take_text(value)?;
                Ok(KeyText(value.to_owned()))
            }

            fn visit_string<E: de::Error>(self, value: String) -> Result<KeyText, E> {
                take_text(&value)?;
                Ok(KeyText(value))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

// === impl Position ===

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line: short(location.line()),
            column: short(location.column()),
        }
    }
}

// === impl SyntaxError ===

impl From<&Error> for SyntaxError {
    fn from(error: &Error) -> Self {
        let at = error.location().map(Position::from).unwrap_or_default();
        let text = error.to_string();
        // Findings have a field for the place, and advice about the parser's settings does not help operators.
        let text = text.split(" at line ").next().unwrap_or_default();
        let (kind, message) = match error {
            Error::MultipleDocuments { .. } => (
                SyntaxErrorKind::NotOneDocument,
                "more than one YAML document in one file".to_owned(),
            ),
            Error::DuplicateMappingKey { .. } => (
                SyntaxErrorKind::Malformed,
                text.split(", set ").next().unwrap_or_default().to_owned(),
            ),
            // The tag may be an unquoted password, so it is not shown.
            Error::UnsupportedTag { .. } => (
                SyntaxErrorKind::Malformed,
                "unsupported tag: a text that begins with ! stands in quotes".to_owned(),
            ),
            Error::RecursiveReferencesRequireWeakTypes { .. } => (
                SyntaxErrorKind::Malformed,
                "an alias inside the value it stands for".to_owned(),
            ),
            Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => {
                (SyntaxErrorKind::TooLarge, too_large())
            }
            // The parser wraps the limit's error in that of the alias where it occurred.
            _ if text.starts_with("budget breached: Depth") => (SyntaxErrorKind::Nesting, too_deep()),
            _ if text.starts_with("budget breached") => (SyntaxErrorKind::TooLarge, too_large()),
            _ if text == ErrorKind::RecursionLimitExceeded.to_string() => (SyntaxErrorKind::Nesting, too_deep()),
            _ => (SyntaxErrorKind::Malformed, text.to_owned()),
        };
        Self { message, at, kind }
    }
}

fn too_large() -> String {
    "holds more values than are read, those of aliases included".to_owned()
}

fn too_deep() -> String {
    format!("lists and mappings nested deeper than {MAX_DEPTH}")
}

#[cfg(test)]
mod tests;
