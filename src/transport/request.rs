//! Parses requests in one scan over their bytes, without a copy of long lists, and without unused messages.
//!
//! The result equals that of decoding: the last value of a repeated field counts, and repeated messages are merged.

use std::borrow::Cow;

use super::{
    error::{Excess, RequestError, at_most, fits},
    identity,
    wire::{Field, Malformed},
};
use crate::{
    proto::{envoy::config::core::v3 as core, google::rpc},
    protocol::{Listing, NameList, ReadNext, Request, StreamLimits, Variant},
    text::{head, without_secrets},
};

/// The maximum length of a node, as a multiple of `node_bytes`: an Envoy lists 100 000 bytes of unused extensions.
const UNUSED_SHARE: usize = 16;
/// The maximum number of fields besides names and versions.
const OTHER_FIELDS: usize = 1000;
/// Bytes around a name: a locator has parameters, which are not used.
const AROUND: usize = 1024;

/// A request, and its node if it has one.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    /// An encoded `envoy.config.core.v3.Node`.
    pub(super) node: Option<Cow<'a, [u8]>>,
    pub(super) request: Request<'a>,
}

/// The meaning of a field of a request.
#[derive(Clone, Copy)]
enum Role {
    Version,
    Node,
    Name,
    /// A locator, which counts as a name.
    NameLocator,
    Unsubscribe,
    UnsubscribeLocator,
    Presented,
    TypeUrl,
    Nonce,
    Error,
    /// The field is not used.
    Unread,
}

/// The fields of a variant by number, and the readers of its lists of names.
struct Fields {
    roles: [Role; 10],
    names: for<'a> fn(&mut &'a [u8]) -> Option<&'a str>,
    unsubscribe: for<'a> fn(&mut &'a [u8]) -> Option<&'a str>,
}

const SOTW: Fields = Fields {
    roles: [
        Role::Unread,
        Role::Version,
        Role::Node,
        Role::Name,
        Role::TypeUrl,
        Role::Nonce,
        Role::Error,
        Role::NameLocator,
        Role::Unread,
        Role::Unread,
    ],
    names: next_name::<3, 7>,
    unsubscribe: next_name::<0, 0>,
};

const DELTA: Fields = Fields {
    roles: [
        Role::Unread,
        Role::Node,
        Role::TypeUrl,
        Role::Name,
        Role::Unsubscribe,
        Role::Presented,
        Role::Nonce,
        Role::Error,
        Role::NameLocator,
        Role::UnsubscribeLocator,
    ],
    names: next_name::<3, 8>,
    unsubscribe: next_name::<4, 9>,
};

/// The field number of `initial_resource_versions`.
const PRESENTED: u64 = 5;

/// The part of a message with all fields of one kind. Other fields may lie between them.
#[derive(Clone, Copy, Default)]
struct Run {
    start: usize,
    end: usize,
    len: usize,
}

/// Parses an encoded request. Stops where it exceeds `limits`, so that no scan costs more than a valid request.
pub(super) fn read<'a>(
    variant: Variant,
    message: &'a [u8],
    limits: &StreamLimits,
) -> Result<Incoming<'a>, RequestError> {
    let fields = match variant {
        Variant::Sotw => &SOTW,
        Variant::Delta => &DELTA,
    };
    // If all bytes are ASCII, every text is UTF-8 without a check of each name.
    let is_ascii = message.is_ascii();
    let (mut version, mut type_url, mut nonce) = ("", "", "");
    let (mut node, mut error) = (None, None);
    let (mut names, mut unsubscribe, mut presented) = (Run::default(), Run::default(), Run::default());
    let (most, longest) = (limits.names_per_type, limits.name_bytes);
    let (mut rest, mut all) = (message, 0);
    loop {
        let start = message.len() - rest.len();
        let Some(field) = Field::next(&mut rest)? else {
            break;
        };
        let end = message.len() - rest.len();
        let role = usize::try_from(field.number).ok().and_then(|at| fields.roles.get(at));
        let role = *role.unwrap_or(&Role::Unread);
        match role {
            Role::Name | Role::NameLocator => {
                check_name(field, role, is_ascii, longest)?;
                names.add(start, end);
                at_most("resource names", names.len, most)?;
            }
            Role::Unsubscribe | Role::UnsubscribeLocator => {
                check_name(field, role, is_ascii, longest)?;
                unsubscribe.add(start, end);
                at_most("resource names to unsubscribe", unsubscribe.len, most)?;
            }
            Role::Presented => {
                let entry = field.bytes()?;
                fits(
                    "an entry of initial_resource_versions",
                    entry.len(),
                    2 * longest + AROUND,
                )?;
                pair(entry)?;
                presented.add(start, end);
                at_most("initial_resource_versions", presented.len, most)?;
            }
            Role::Version => version = short("version_info", field, longest)?,
            Role::TypeUrl => type_url = short("type_url", field, longest)?,
            Role::Nonce => nonce = short("response_nonce", field, longest)?,
            Role::Node => merge(&mut node, field.bytes()?),
            Role::Error => merge(&mut error, field.bytes()?),
            Role::Unread => {}
        }
        all += 1;
        at_most(
            "fields",
            all - names.len - unsubscribe.len - presented.len,
            OTHER_FIELDS,
        )?;
    }
    let node_id = match &node {
        Some(node) => {
            check_node(node, limits)?;
            Some(match node {
                Cow::Borrowed(node) => Cow::Borrowed(node_id(node)?),
                Cow::Owned(node) => Cow::Owned(node_id(node)?.to_owned()),
            })
        }
        None => None,
    };
    let request = Request {
        node_id,
        type_url,
        version,
        nonce,
        error: error.map(|error| status(&error, limits.error_bytes)).transpose()?,
        names: names.list(message, fields.names),
        unsubscribe: unsubscribe.list(message, fields.unsubscribe),
        presented: Listing::encoded(presented.of(message), next_pair, presented.len),
    };
    Ok(Incoming { node, request })
}

// === impl Incoming ===

impl Incoming<'_> {
    /// Decodes the used fields of the node.
    pub(super) fn decode_node(&self, limits: &StreamLimits) -> Result<Option<core::Node>, RequestError> {
        self.node.as_deref().map(|node| decode_node(node, limits)).transpose()
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

    fn list<'a>(&self, message: &'a [u8], next: ReadNext<'a, &'a str>) -> NameList<'a> {
        let bytes = self.of(message);
        NameList::new(Listing::encoded(bytes, next, self.len), bytes)
    }
}

#[inline]
fn check_name(field: Field<'_>, role: Role, is_ascii: bool, longest: usize) -> Result<(), RequestError> {
    let bytes = field.bytes()?;
    if matches!(role, Role::NameLocator | Role::UnsubscribeLocator) {
        fits("a resource locator", bytes.len(), longest + AROUND)?;
        locator(bytes)?;
    } else if !is_ascii {
        field.text()?;
    }
    Ok(())
}

/// Merges a repeated message: the concatenated bytes of two messages encode the merged message.
pub(super) fn merge<'a>(message: &mut Option<Cow<'a, [u8]>>, bytes: &'a [u8]) {
    match message {
        Some(before) => before.to_mut().extend_from_slice(bytes),
        None => *message = Some(Cow::Borrowed(bytes)),
    }
}

/// Decodes the used fields of an encoded `Node`.
pub(super) fn decode_node(node: &[u8], limits: &StreamLimits) -> Result<core::Node, RequestError> {
    check_node(node, limits)?;
    identity::read(node, limits.node_bytes)
}

const fn check_node(node: &[u8], limits: &StreamLimits) -> Result<(), Excess> {
    fits("node", node.len(), UNUSED_SHARE.saturating_mul(limits.node_bytes))
}

/// The next name of a checked run.
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

/// The next name and held version of a checked run.
fn next_pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    loop {
        let field = Field::next(rest).ok()??;
        if field.number == PRESENTED {
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

/// The key and the value of an encoded map entry with texts.
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

/// The code and the message of an encoded `google.rpc.Status`. The message is cut to `most` bytes and up to one more
/// character, which shows that it was longer. Details are not read. Quoted secrets are removed.
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

/// The text of a field with at most `most` bytes.
fn short<'a>(name: &'static str, field: Field<'a>, most: usize) -> Result<&'a str, RequestError> {
    fits(name, field.bytes()?.len(), most)?;
    Ok(field.text()?)
}

#[cfg(test)]
mod tests;
