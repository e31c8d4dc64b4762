//! ACKs, read off the bytes of a request without decoding it.
//!
//! Nearly every request of a stream only names a nonce, and repeats a list of up to thousands of names and all that a node
//! says of itself to do so. What is read here is a hint: a request that is anything else is decoded as a whole.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::FixedState;

use crate::protocol::{Ack, ListPrint, Variant};

/// Wire types of protobuf that a request's own fields have.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// The fields of a request by which an ACK is known.
struct Fields {
    version: Option<u64>,
    node: u64,
    /// Names, which an ACK repeats in SotW and does without in delta.
    names: Option<u64>,
    type_url: u64,
    nonce: u64,
}

const SOTW: Fields = Fields {
    version: Some(1),
    node: 2,
    names: Some(3),
    type_url: 4,
    nonce: 5,
};

const DELTA: Fields = Fields {
    version: None,
    node: 1,
    names: None,
    type_url: 2,
    nonce: 6,
};

/// What `message` says, where it has no field that an ACK has not.
pub(super) fn read(variant: Variant, message: &[u8]) -> Option<Ack<'_>> {
    let fields = match variant {
        Variant::Sotw => SOTW,
        Variant::Delta => DELTA,
    };
    let (mut version, mut node, mut type_url, mut nonce) = ("", None, "", "");
    let mut names = FixedState::with_seed(0).build_hasher();
    let mut rest = message;
    while !rest.is_empty() {
        let before = rest;
        let (number, value) = field(&mut rest)?;
        if Some(number) == fields.names {
            // With its key and length, so that lists cannot be mistaken for each other by where a name ends.
            names.write(&before[..before.len() - rest.len()]);
        } else if Some(number) == fields.version {
            version = text(value)?;
        } else if number == fields.type_url {
            type_url = text(value)?;
        } else if number == fields.nonce {
            nonce = text(value)?;
        } else if number == fields.node && node.is_none() {
            node = Some(node_id(value)?);
        } else {
            return None;
        }
    }
    Some(Ack {
        node_id: node,
        type_url,
        version,
        nonce,
        list: ListPrint(names.finish()),
    })
}

/// The id of an encoded `envoy.config.core.v3.Node`.
fn node_id(mut node: &[u8]) -> Option<&str> {
    let mut id = "";
    while !node.is_empty() {
        let (number, value) = field(&mut node)?;
        if number == 1 {
            id = text(value)?;
        }
    }
    Some(id)
}

/// The next field, of those kinds that requests and nodes have.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(rest)?;
    let len = match key & 7 {
        BYTES => usize::try_from(varint(rest)?).ok()?,
        VARINT => {
            varint(rest)?;
            0
        }
        _ => return None,
    };
    let (value, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some((key >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests;
