//! Compares two contents of a resource for people, field by field: paths in proto names, values before and after.
//!
//! A field that holds a secret is reported as changed without its value: values come from the redacted forms alone.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use prost::Message as _;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json};

use super::{
    any,
    json::{Secrets, to_json},
    message::TYPE_KEY,
    path::Path,
    sensitive::REDACTED,
};
use crate::{resource::Resource, text::cut};

/// The longest lists that are aligned by content, without their equal beginning and end; longer ones are compared item
/// by item, since an alignment costs the product of the lengths.
const ALIGNED: usize = 300;

/// Limits on the result of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The number of fields reported; further ones are counted.
    pub fields: usize,
    /// The number of bytes of one value; the rest is cut off.
    pub value_bytes: usize,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The path in proto names: `filter_chains[0].filters[1].typed_config.stat_prefix`,
    /// `metadata.filter_metadata["envoy.lb"]`. Items of lists have their new index, removed ones their old index.
    pub path: String,
    /// The value before, as JSON; `None` if it was not set.
    pub before: Option<String>,
    /// The value after, as JSON; `None` if it is not set.
    pub after: Option<String>,
    /// True if the field holds a secret, which is not shown.
    pub sensitive: bool,
}

/// The fields that differ between two contents of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The first differing fields.
    pub fields: Vec<FieldChange>,
    /// The number of further differing fields.
    pub more: usize,
}

/// Compares two contents of a resource, including aliases and TTL.
#[must_use]
pub fn compare(before: &Resource, after: &Resource, bounds: Bounds) -> Differences {
    let mut comparison = Comparison {
        bounds,
        found: Differences::default(),
    };
    let outside = |resource: &Resource| {
        let mut fields = Map::new();
        if let Some(ttl) = resource.ttl {
            fields.insert("ttl".to_owned(), seconds(ttl).into());
        }
        if !resource.aliases.is_empty() {
            let aliases = resource.aliases.iter().map(ToString::to_string);
            fields.insert("aliases".to_owned(), aliases.collect::<Vec<_>>().into());
        }
        Json::Object(fields)
    };
    let (old, new) = (outside(before), outside(after));
    comparison.both(&Shape::Fields, Side::plain(&old), Side::plain(&new), &Path::ROOT);
    let decoded = |resource: &Resource| prost_types::Any::decode(resource.body.clone()).unwrap_or_default();
    let (old, new) = (decoded(before), decoded(after));
    let (shown_old, shown_new) = (to_json(&old, Secrets::Show), to_json(&new, Secrets::Show));
    let (safe_old, safe_new) = (to_json(&old, Secrets::Redact), to_json(&new, Secrets::Redact));
    let old_side = Side {
        real: &shown_old,
        safe: Some(&safe_old),
    };
    let new_side = Side {
        real: &shown_new,
        safe: Some(&safe_new),
    };
    comparison.both(&Shape::Any, old_side, new_side, &Path::ROOT);
    let mut found = comparison.found;
    if found.fields.is_empty() && before.content != after.content {
        found.fields.push(FieldChange {
            path: "(fields unknown to this server)".to_owned(),
            before: None,
            after: None,
            sensitive: false,
        });
    }
    found
}

struct Comparison {
    bounds: Bounds,
    found: Differences,
}

/// One of the two contents, at one place.
#[derive(Clone, Copy)]
struct Side<'a> {
    real: &'a Json,
    /// The redacted content; `None` if it has no such place.
    safe: Option<&'a Json>,
}

/// The type behind a JSON value, which decides how its path continues.
enum Shape {
    Any,
    Message(MessageDescriptor),
    Map(Kind),
    List(Kind),
    /// The parts of a resource outside its message: aliases and TTL.
    Fields,
    /// A `Struct`, or another value without a descriptor.
    Free,
}

// === impl Shape ===

impl Shape {
    fn of_field(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Self::Map(entry.map_entry_value_field().kind()),
            kind if field.is_list() => Self::List(kind),
            kind => Self::of_kind(&kind),
        }
    }

    fn of_kind(kind: &Kind) -> Self {
        match kind {
            Kind::Message(message) if any::is_any(message) => Self::Any,
            Kind::Message(message) if !message.full_name().starts_with("google.protobuf.") => {
                Self::Message(message.clone())
            }
            _ => Self::Free,
        }
    }

    fn item(&self) -> Self {
        match self {
            Self::List(kind) => Self::of_kind(kind),
            Self::Any | Self::Message(_) | Self::Map(_) | Self::Fields | Self::Free => Self::Free,
        }
    }

    fn member(&self, name: &str) -> Self {
        match self {
            Self::Message(message) => message
                .get_field_by_name(name)
                .map_or(Self::Free, |field| Self::of_field(&field)),
            Self::Map(kind) => Self::of_kind(kind),
            Self::Any | Self::List(_) | Self::Fields | Self::Free => Self::Free,
        }
    }

    /// Returns true if the members are named by data keys instead of field names.
    const fn has_keys(&self) -> bool {
        match self {
            Self::Map(_) | Self::Free => true,
            Self::Any | Self::Message(_) | Self::List(_) | Self::Fields => false,
        }
    }
}

// === impl Side ===

impl<'a> Side<'a> {
    const fn plain(value: &'a Json) -> Self {
        Self {
            real: value,
            safe: Some(value),
        }
    }

    fn member(self, name: &str) -> Option<Self> {
        Some(Self {
            real: self.real.get(name)?,
            safe: self.safe.and_then(|safe| safe.get(name)),
        })
    }

    fn item(self, index: usize) -> Option<Self> {
        Some(Self {
            real: self.real.get(index)?,
            safe: self.safe.and_then(|safe| safe.get(index)),
        })
    }

    fn is_sensitive(self) -> bool {
        self.safe != Some(self.real)
    }

    /// The value as text, without secrets.
    fn text(self, bytes: usize) -> String {
        let text = match self.safe {
            Some(safe) if !safe.is_null() || self.real.is_null() => safe.to_string(),
            Some(_) | None => Json::from(REDACTED).to_string(),
        };
        cut(&text, bytes)
    }
}

// === impl Comparison ===

impl Comparison {
    /// Compares the two values at one place.
    fn at(&mut self, shape: &Shape, old: Option<Side<'_>>, new: Option<Side<'_>>, path: &Path<'_>) {
        match (old, new) {
            (Some(old), Some(new)) => self.both(shape, old, new, path),
            (old, new) => self.tell(old, new, path),
        }
    }

    fn both(&mut self, shape: &Shape, old: Side<'_>, new: Side<'_>, path: &Path<'_>) {
        if old.real == new.real {
            return;
        }
        match (old.real, new.real) {
            (Json::Object(_), Json::Object(_)) if matches!(shape, Shape::Any) => self.any(old, new, path),
            (Json::Object(before), Json::Object(after)) => self.object(shape, (before, old), (after, new), path),
            (Json::Array(before), Json::Array(after)) => self.list(shape, (before, old), (after, new), path),
            _ => self.tell(Some(old), Some(new), path),
        }
    }

    /// Compares two `Any`s; another type replaces the whole message.
    fn any(&mut self, old: Side<'_>, new: Side<'_>, path: &Path<'_>) {
        let url = |side: Side<'_>| side.real.get(TYPE_KEY).and_then(Json::as_str).map(str::to_owned);
        let (Some(type_url), Json::Object(before), Json::Object(after)) = (url(old), old.real, new.real) else {
            return self.tell(Some(old), Some(new), path);
        };
        if url(new).as_ref() != Some(&type_url) {
            return self.tell(Some(old), Some(new), path);
        }
        let shape = any::resolve(&type_url).map_or(Shape::Fields, Shape::Message);
        self.object(&shape, (before, old), (after, new), path);
    }

    fn object(
        &mut self,
        shape: &Shape,
        (before, old): (&Map<String, Json>, Side<'_>),
        (after, new): (&Map<String, Json>, Side<'_>),
        path: &Path<'_>,
    ) {
        let mut seen = BTreeSet::new();
        for name in before.keys().chain(after.keys()).filter(|name| seen.insert(*name)) {
            let path = if shape.has_keys() {
                path.key(name)
            } else {
                path.field(name)
            };
            self.at(&shape.member(name), old.member(name), new.member(name), &path);
        }
    }

    fn list(
        &mut self,
        shape: &Shape,
        (before, old): (&[Json], Side<'_>),
        (after, new): (&[Json], Side<'_>),
        path: &Path<'_>,
    ) {
        let shape = shape.item();
        for (was, is) in pairs(before, after) {
            let index = is.or(was).unwrap_or_default();
            let (old, new) = (was.and_then(|at| old.item(at)), is.and_then(|at| new.item(at)));
            self.at(&shape, old, new, &path.index(index));
        }
    }

    fn tell(&mut self, old: Option<Side<'_>>, new: Option<Side<'_>>, path: &Path<'_>) {
        if self.found.fields.len() >= self.bounds.fields {
            self.found.more += 1;
            return;
        }
        let text = |side: Side<'_>| side.text(self.bounds.value_bytes);
        self.found.fields.push(FieldChange {
            path: path.to_string(),
            before: old.map(text),
            after: new.map(text),
            sensitive: [old, new].into_iter().flatten().any(Side::is_sensitive),
        });
    }
}

// === lists ===

/// The index of an item before and after.
type Pair = (Option<usize>, Option<usize>);

/// The pairs of items to compare; equal items are left out.
fn pairs(old: &[Json], new: &[Json]) -> Vec<Pair> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tails = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = tails.take_while(|(a, b)| a == b).count();
    let (was, is) = (start..old.len() - end, start..new.len() - end);
    let mut pairs = Vec::new();
    if was.len() > ALIGNED || is.len() > ALIGNED {
        match_up(old, new, &was.collect::<Vec<_>>(), &is.collect::<Vec<_>>(), &mut pairs);
        return pairs;
    }
    let equal = common(&old[was.clone()], &new[is.clone()]);
    let (mut at_old, mut at_new) = (start, start);
    let ends = std::iter::once((was.end - start, is.end - start));
    for (i, j) in equal.into_iter().chain(ends) {
        let gap: (Vec<_>, Vec<_>) = ((at_old..start + i).collect(), (at_new..start + j).collect());
        match_up(old, new, &gap.0, &gap.1, &mut pairs);
        (at_old, at_new) = (start + i + 1, start + j + 1);
    }
    pairs
}

/// Pairs the items of a gap: first those with equal names, then the rest in order.
fn match_up(old: &[Json], new: &[Json], was: &[usize], is: &[usize], pairs: &mut Vec<Pair>) {
    let name = |item: &Json| item.get("name").and_then(Json::as_str).map(str::to_owned);
    let mut free: Vec<usize> = is.to_vec();
    let mut left = Vec::new();
    for &at in was {
        let named = name(&old[at]);
        let same = free
            .iter()
            .position(|&other| named.is_some() && name(&new[other]) == named);
        match same {
            Some(found) => pairs.push((Some(at), Some(free.remove(found)))),
            None => left.push(at),
        }
    }
    let longest = left.len().max(free.len());
    pairs.extend((0..longest).map(|n| (left.get(n).copied(), free.get(n).copied())));
    pairs.sort_by_key(|(was, is)| is.or(*was));
}

/// A longest common subsequence of both lists, as indexes.
fn common(old: &[Json], new: &[Json]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    let mut longest = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// A duration as proto3-JSON writes it.
fn seconds(span: Duration) -> String {
    let mut text = span.as_secs().to_string();
    if span.subsec_nanos() > 0 {
        let fraction = format!("{:09}", span.subsec_nanos());
        write!(text, ".{}", fraction.trim_end_matches('0')).ok();
    }
    text + "s"
}

#[cfg(test)]
mod tests;
