//! Resources that need no decoding, because they equal an admitted one byte for byte.

use std::{fmt, sync::Arc};

use prost::Message as _;

use super::name::Envelope;
use crate::resource::{Resource, ResourceName, ResourceType};

/// Resources that were admitted under the same limits and had no warnings.
pub trait Known: fmt::Debug {
    /// The resource of this type and name.
    fn find(&self, resource_type: &ResourceType, name: &str) -> Option<Arc<Resource>>;
}

/// The known resource that equals an encoded one. Bytes, name, aliases and TTL must be equal, so the name to look up
/// may be a guess.
pub(super) fn same(
    known: &dyn Known,
    envelope: &Envelope,
    any: &prost_types::Any,
) -> Option<(ResourceType, Arc<Resource>)> {
    let resource_type = ResourceType::from_type_url(&any.type_url)?;
    let name = envelope.name.as_deref().or_else(|| first_text(&any.value))?;
    let resource = known.find(&resource_type, name)?;
    let aliases = resource.aliases.iter().map(ResourceName::as_str);
    let same = resource.ttl == envelope.ttl
        && aliases.eq(envelope.aliases.iter().map(String::as_str))
        && resource.body.len() == any.encoded_len()
        && resource.body == any.encode_to_vec();
    same.then_some((resource_type, resource))
}

/// The first field of a message, if it is field 1 and a string: every type with a name field has it there.
fn first_text(mut message: &[u8]) -> Option<&str> {
    const TEXT_1: u8 = 1 << 3 | 2;
    if *message.split_off_first()? != TEXT_1 {
        return None;
    }
    let len = prost::encoding::decode_varint(&mut message).ok()?;
    let text = message.get(..usize::try_from(len).ok()?)?;
    std::str::from_utf8(text).ok()
}
