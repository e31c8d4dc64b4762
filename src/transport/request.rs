//! Requests read off their bytes: nothing is copied of lists of up to thousands of names.
//!
//! What is read says what decoding says. Whatever is rare or broken is not read, and left to prost.

use std::borrow::Cow;

use prost::Message as _;

use super::wire::{self, Field};
use crate::{
    proto::{envoy::config::core::v3 as core, google::rpc},
    protocol::{DeltaRequest, SotwRequest},
};

/// Who sent a request, where it says so, and the request.
pub(super) type Incoming<R> = (Option<core::Node>, R);

/// An encoded `DiscoveryRequest`.
pub(super) fn sotw(message: &[u8]) -> Option<Incoming<SotwRequest<'_>>> {
    let (mut node, mut request) = (None, SotwRequest::default());
    let mut rest = message;
    while !rest.is_empty() {
        let field = Field::next(&mut rest)?;
        match field.number {
            1 => request.version = field.text()?,
            2 => request.node_id = Some(only_node(&mut node, field)?),
            3 => request.names.push(Cow::Borrowed(field.text()?)),
            4 => request.type_url = field.text()?,
            5 => request.nonce = field.text()?,
            6 => only_error(&mut request.error, field)?,
            // Locators.
            7 => return None,
            _ => {}
        }
    }
    Some((node, request))
}

/// An encoded `DeltaDiscoveryRequest`.
pub(super) fn delta(message: &[u8]) -> Option<Incoming<DeltaRequest<'_>>> {
    let (mut node, mut request) = (None, DeltaRequest::default());
    let mut rest = message;
    while !rest.is_empty() {
        let field = Field::next(&mut rest)?;
        match field.number {
            1 => request.node_id = Some(only_node(&mut node, field)?),
            2 => request.type_url = field.text()?,
            3 => request.subscribe.push(Cow::Borrowed(field.text()?)),
            4 => request.unsubscribe.push(Cow::Borrowed(field.text()?)),
            5 => {
                let (name, version) = pair(field.bytes()?)?;
                request.presented.push((Cow::Borrowed(name), version));
            }
            6 => request.nonce = field.text()?,
            7 => only_error(&mut request.error, field)?,
            // Locators.
            8 | 9 => return None,
            _ => {}
        }
    }
    Some((node, request))
}

/// Takes the node, and gives its id. A second one would have to be merged with the first.
fn only_node<'a>(node: &mut Option<core::Node>, field: Field<'a>) -> Option<&'a str> {
    let bytes = field.bytes()?;
    let decoded = core::Node::decode(bytes).ok()?;
    node.replace(decoded).is_none().then_some(())?;
    wire::node_id(bytes)
}

/// The same for the reason of a refusal.
fn only_error(error: &mut Option<rpc::Status>, field: Field<'_>) -> Option<()> {
    let decoded = rpc::Status::decode(field.bytes()?).ok()?;
    error.replace(decoded).is_none().then_some(())
}

/// Key and value of a map from text to text.
fn pair(mut bytes: &[u8]) -> Option<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    while !bytes.is_empty() {
        let field = Field::next(&mut bytes)?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Some((key, value))
}

#[cfg(test)]
mod tests;
