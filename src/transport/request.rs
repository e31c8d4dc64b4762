//! Requests, read by one scan over their bytes: nothing is copied of lists of up to thousands of names, and no message is
//! decoded that nobody reads.
//!
//! The scan says what decoding would say: of a field that is there twice the last one counts, and two messages are merged.

use std::borrow::Cow;

use super::{
    error::{Excess, RequestError, at_most, fits},
    identity,
    wire::{Field, Malformed},
};
use crate::{
    proto::{envoy::config::core::v3 as core, google::rpc},
    protocol::{ListPrint, Listing, NameList, ReadNext, Request, StreamLimits, Variant},
    text::{head, without_secrets},
};

/// Bytes of a whole node for each that may be used: an Envoy lists its extensions, a hundred thousand bytes that nobody
/// reads.
const UNUSED_SHARE: usize = 16;
/// Fields that are neither names nor versions.
const OTHER_FIELDS: usize = 1000;
/// Bytes of a name with what stands around it: a locator has parameters that nobody reads.
const AROUND: usize = 1024;

/// A request, and what its node says of itself, where it has one.
#[derive(Debug, Default)]
pub(super) struct Incoming<'a> {
    /// An encoded `envoy.config.core.v3.Node`.
    pub(super) node: Option<Cow<'a, [u8]>>,
    pub(super) request: Request<'a>,
}

/// The numbers that fields have in a variant; 0 for one that it does not have.
struct Fields {
    version: u64,
    node: u64,
    names: Names,
    unsubscribe: Names,
    presented: u64,
    type_url: u64,
    nonce: u64,
    error: u64,
}

/// The fields of one list of names.
#[derive(Clone, Copy)]
struct Names {
    texts: u64,
    /// a locator is a name.
    locators: u64,
    next: for<'a> fn(&mut &'a [u8]) -> Option<&'a str>,
}

const SOTW: Fields = Fields {
    version: 1,
    node: 2,
    names: Names::of::<3, 7>(),
    unsubscribe: Names::of::<0, 0>(),
    presented: 0,
    type_url: 4,
    nonce: 5,
    error: 6,
};

const DELTA: Fields = Fields {
    version: 0,
    node: 1,
    names: Names::of::<3, 8>(),
    unsubscribe: Names::of::<4, 9>(),
    presented: 5,
    type_url: 2,
    nonce: 6,
    error: 7,
};

/// The part of a message in which fields of one kind lie; others may lie between them.
#[derive(Clone, Copy, Default)]
struct Run {
    start: usize,
    end: usize,
    len: usize,
}

/// Reads an encoded request. One that holds more than `limits` let it is left where that shows: a scan never costs more
/// than a request that may be served.
pub(super) fn read<'a>(
    variant: Variant,
    message: &'a [u8],
    limits: &StreamLimits,
) -> Result<Incoming<'a>, RequestError> {
    let fields = match variant {
        Variant::Sotw => &SOTW,
        Variant::Delta => &DELTA,
    };
    // Where all bytes are ASCII every text is UTF-8: names need no look of their own.
    let is_ascii = message.is_ascii();
    let (mut incoming, mut error) = (Incoming::default(), None);
    let (mut names, mut unsubscribe, mut presented) = (Run::default(), Run::default(), Run::default());
    let request = &mut incoming.request;
    let (most, longest) = (limits.names_per_type, limits.name_bytes);
    let (mut rest, mut others) = (message, 0);
    loop {
        let start = message.len() - rest.len();
        let Some(field) = Field::next(&mut rest)? else {
            break;
        };
        let end = message.len() - rest.len();
        let number = field.number;
        if fields.names.check(field, is_ascii, longest)? {
            names.add(start, end);
            at_most("resource names", names.len, most)?;
        } else if fields.unsubscribe.check(field, is_ascii, longest)? {
            unsubscribe.add(start, end);
            at_most("resource names to unsubscribe", unsubscribe.len, most)?;
        } else if number == fields.presented {
            let entry = field.bytes()?;
            fits(
                "an entry of initial_resource_versions",
                entry.len(),
                2 * longest + AROUND,
            )?;
            pair(entry)?;
            presented.add(start, end);
            at_most("initial_resource_versions", presented.len, most)?;
        } else {
            others += 1;
            at_most("fields", others, OTHER_FIELDS)?;
            if number == fields.version {
                request.version = short("version_info", field, longest)?;
            } else if number == fields.type_url {
                request.type_url = short("type_url", field, longest)?;
            } else if number == fields.nonce {
                request.nonce = short("response_nonce", field, longest)?;
            } else if number == fields.node {
                merge(&mut incoming.node, field.bytes()?);
            } else if number == fields.error {
                merge(&mut error, field.bytes()?);
            }
        }
    }
    if let Some(node) = &incoming.node {
        check_node(node, limits)?;
    }
    request.names = fields.names.list(message, names, variant);
    request.unsubscribe = fields.unsubscribe.list(message, unsubscribe, variant);
    request.presented = Listing::encoded(presented.of(message), next_pair, presented.len);
    request.error = error.map(|error| status(&error, limits.error_bytes)).transpose()?;
    request.node_id = match &incoming.node {
        Some(Cow::Borrowed(node)) => Some(Cow::Borrowed(node_id(node)?)),
        Some(Cow::Owned(node)) => Some(Cow::Owned(node_id(node)?.to_owned())),
        None => None,
    };
    Ok(incoming)
}

// === impl Incoming ===

impl Incoming<'_> {
    /// What the node says of itself, as far as it is used.
    pub(super) fn decode_node(&self, limits: &StreamLimits) -> Result<Option<core::Node>, RequestError> {
        self.node.as_deref().map(|node| decode_node(node, limits)).transpose()
    }
}

// === impl Names ===

impl Names {
    const fn of<const TEXTS: u64, const LOCATORS: u64>() -> Self {
        Self {
            texts: TEXTS,
            locators: LOCATORS,
            next: next_name::<TEXTS, LOCATORS>,
        }
    }

    /// Whether the field is a name of the list, and a sound one.
    fn check(&self, field: Field<'_>, is_ascii: bool, longest: usize) -> Result<bool, RequestError> {
        if field.number == self.texts {
            if is_ascii {
                field.bytes()?;
            } else {
                field.text()?;
            }
            return Ok(true);
        }
        let is_locator = field.number == self.locators;
        if is_locator {
            fits("a resource locator", field.bytes()?.len(), longest + AROUND)?;
            locator(field.bytes()?)?;
        }
        Ok(is_locator)
    }

    fn list<'a>(&self, message: &'a [u8], run: Run, variant: Variant) -> NameList<'a> {
        let bytes = run.of(message);
        let names = Listing::encoded(bytes, self.next as ReadNext<'a, &'a str>, run.len);
        // Only SotW requests repeat their list.
        let written = match variant {
            Variant::Sotw => bytes,
            Variant::Delta => &[],
        };
        NameList::new(names, ListPrint::of([written]))
    }
}

// === impl Run ===

impl Run {
    const fn add(&mut self, start: usize, end: usize) {
        if self.len == 0 {
            self.start = start;
        }
        self.end = end;
        self.len += 1;
    }

    fn of<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.start..self.end]
    }
}

/// Bytes of two messages of one type, one behind the other, are those of the two merged.
pub(super) fn merge<'a>(message: &mut Option<Cow<'a, [u8]>>, bytes: &'a [u8]) {
    match message {
        Some(before) => before.to_mut().extend_from_slice(bytes),
        None => *message = Some(Cow::Borrowed(bytes)),
    }
}

/// What an encoded `Node` says, as far as it is used.
pub(super) fn decode_node(node: &[u8], limits: &StreamLimits) -> Result<core::Node, RequestError> {
    check_node(node, limits)?;
    identity::read(node, limits.node_bytes)
}

const fn check_node(node: &[u8], limits: &StreamLimits) -> Result<(), Excess> {
    fits("node", node.len(), UNUSED_SHARE.saturating_mul(limits.node_bytes))
}

/// The next name of a run that was checked.
fn next_name<'a, const TEXTS: u64, const LOCATORS: u64>(rest: &mut &'a [u8]) -> Option<&'a str> {
    loop {
        let field = Field::next(rest).ok()??;
        if field.number == TEXTS {
            return field.text().ok();
        }
        if field.number == LOCATORS {
            return locator(field.bytes().ok()?).ok();
        }
    }
}

/// The same for names and the versions that a client holds.
fn next_pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    loop {
        let field = Field::next(rest).ok()??;
        if field.number == DELTA.presented {
            return pair(field.bytes().ok()?).ok();
        }
    }
}

/// The name in an encoded `ResourceLocator`.
fn locator(mut bytes: &[u8]) -> Result<&str, Malformed> {
    let mut name = "";
    while let Some(field) = Field::next(&mut bytes)? {
        if field.number == 1 {
            name = field.text()?;
        }
    }
    Ok(name)
}

/// Key and value of a map from text to text.
fn pair(mut bytes: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut key, mut value) = ("", "");
    while let Some(field) = Field::next(&mut bytes)? {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Code and message of an encoded `google.rpc.Status`, of which one character more is kept than `most` bytes are: enough to
/// see that it was longer. Nobody reads its details. What the client quotes of a secret goes no further.
fn status(mut bytes: &[u8], most: usize) -> Result<rpc::Status, RequestError> {
    let mut status = rpc::Status::default();
    let (mut message, mut fields) = ("", 0);
    while let Some(field) = Field::next(&mut bytes)? {
        fields += 1;
        at_most("fields of error_detail", fields, OTHER_FIELDS)?;
        match field.number {
            1 => status.code = field.int32()?,
            2 => message = field.text()?,
            _ => {}
        }
    }
    let words = head(message, most.saturating_add(4));
    status.message = without_secrets(words).into_owned();
    Ok(status)
}

/// The id of an encoded `Node`.
fn node_id(mut node: &[u8]) -> Result<&str, Malformed> {
    let mut id = "";
    while let Some(field) = Field::next(&mut node)? {
        if field.number == 1 {
            id = field.text()?;
        }
    }
    Ok(id)
}

/// The text of a field, which is not longer than this.
fn short<'a>(name: &'static str, field: Field<'a>, most: usize) -> Result<&'a str, RequestError> {
    fits(name, field.bytes()?.len(), most)?;
    Ok(field.text()?)
}

#[cfg(test)]
mod tests;
