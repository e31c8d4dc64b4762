//! ACKs, read off the bytes of a request without decoding it.
//!
//! Nearly every request of a stream only names a nonce, and repeats a list of up to thousands of names and all that a node
//! says of itself to do so. What is read here is a hint: a request that is anything else is decoded as a whole.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::FixedState;

use super::wire::{self, Field};
use crate::protocol::{Ack, ListPrint, Variant};

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
        let field = Field::next(&mut rest)?;
        let number = field.number;
        if Some(number) == fields.names {
            // With its key and length, so that lists cannot be mistaken for each other by where a name ends.
            names.write(&before[..before.len() - rest.len()]);
        } else if Some(number) == fields.version {
            version = field.text()?;
        } else if number == fields.type_url {
            type_url = field.text()?;
        } else if number == fields.nonce {
            nonce = field.text()?;
        } else if number == fields.node && node.is_none() {
            node = Some(wire::node_id(field.bytes()?)?);
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

#[cfg(test)]
mod tests;
