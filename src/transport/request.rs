//! Requests, read by one scan over their bytes: nothing is copied of lists of up to thousands of names, and no message is
//! decoded that nobody reads.
//!
//! The scan says what decoding would say: of a field that is there twice the last one counts, and two messages are merged.

use std::borrow::Cow;

use super::{
    identity,
    wire::{Field, Malformed},
};
use crate::{
    access::Denial,
    proto::{envoy::config::core::v3 as core, google::rpc},
    protocol::{ListPrint, Listing, NameList, ProtocolError, ReadNext, Request, Variant},
};

/// A request, and what its node says of itself, where it has one.
#[derive(Debug, Default)]
pub(super) struct Incoming<'a> {
    /// An encoded `envoy.config.core.v3.Node`.
    pub(super) node: Option<Cow<'a, [u8]>>,
    pub(super) request: Request<'a>,
}

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Its bytes are no request.
    #[error("the request is not what its method takes: {0}")]
    Malformed(#[from] Malformed),
    /// The node in it is none.
    #[error("the request is not what its method takes: node: {0}")]
    Node(#[from] prost::DecodeError),
    /// The session refuses it.
    #[error(transparent)]
    Refused(#[from] ProtocolError),
    /// Whoever sends it may not be its node.
    #[error(transparent)]
    Denied(#[from] Denial),
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

/// Reads an encoded request.
pub(super) fn read(variant: Variant, message: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let fields = match variant {
        Variant::Sotw => &SOTW,
        Variant::Delta => &DELTA,
    };
    // Where all bytes are ASCII every text is UTF-8: names need no look of their own.
    let is_ascii = message.is_ascii();
    let (mut incoming, mut error) = (Incoming::default(), None);
    let (mut names, mut unsubscribe, mut presented) = (Run::default(), Run::default(), Run::default());
    let request = &mut incoming.request;
    let mut rest = message;
    loop {
        let start = message.len() - rest.len();
        let Some(field) = Field::next(&mut rest)? else {
            break;
        };
        let end = message.len() - rest.len();
        let number = field.number;
        if fields.names.check(field, is_ascii)? {
            names.add(start, end);
        } else if fields.unsubscribe.check(field, is_ascii)? {
            unsubscribe.add(start, end);
        } else if number == fields.presented {
            pair(field.bytes()?)?;
            presented.add(start, end);
        } else if number == fields.version {
            request.version = field.text()?;
        } else if number == fields.type_url {
            request.type_url = field.text()?;
        } else if number == fields.nonce {
            request.nonce = field.text()?;
        } else if number == fields.node {
            merge(&mut incoming.node, field.bytes()?);
        } else if number == fields.error {
            merge(&mut error, field.bytes()?);
        }
    }
    request.names = fields.names.list(message, names, variant);
    request.unsubscribe = fields.unsubscribe.list(message, unsubscribe, variant);
    request.presented = Listing::encoded(presented.of(message), next_pair, presented.len);
    request.error = error.as_deref().map(status).transpose()?;
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
    pub(super) fn decode_node(&self) -> Result<Option<core::Node>, prost::DecodeError> {
        self.node.as_deref().map(identity::read).transpose()
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
    fn check(&self, field: Field<'_>, is_ascii: bool) -> Result<bool, Malformed> {
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
fn merge<'a>(message: &mut Option<Cow<'a, [u8]>>, bytes: &'a [u8]) {
    match message {
        Some(before) => before.to_mut().extend_from_slice(bytes),
        None => *message = Some(Cow::Borrowed(bytes)),
    }
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

/// Code and message of an encoded `google.rpc.Status`. Nobody reads its details.
fn status(mut bytes: &[u8]) -> Result<rpc::Status, Malformed> {
    let mut status = rpc::Status::default();
    while let Some(field) = Field::next(&mut bytes)? {
        match field.number {
            1 => status.code = field.int32()?,
            2 => field.text()?.clone_into(&mut status.message),
            _ => {}
        }
    }
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

#[cfg(test)]
mod tests;
