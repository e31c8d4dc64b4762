//! What need not be decoded, because it is byte for byte what was admitted before.

use std::{fmt, sync::Arc};

use prost::Message as _;

use super::name::Envelope;
use crate::resource::{Resource, ResourceName, ResourceType};

/// Resources that were admitted by the same limits, and had nothing to be warned of.
pub trait Known: fmt::Debug {
    /// The one of this type and name.
    fn find(&self, resource_type: &ResourceType, name: &str) -> Option<Arc<Resource>>;
}

/// The known resource that an encoded one would become again. Only equal bytes under equal names are, so the name that is
/// looked for may be a guess.
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

/// Field 1, where it comes first and is a text: where all types that have their name in themselves have it.
fn first_text(mut message: &[u8]) -> Option<&str> {
    const TEXT_1: u8 = 1 << 3 | 2;
    if *message.split_off_first()? != TEXT_1 {
        return None;
    }
    let len = prost::encoding::decode_varint(&mut message).ok()?;
    let text = message.get(..usize::try_from(len).ok()?)?;
    std::str::from_utf8(text).ok()
}
