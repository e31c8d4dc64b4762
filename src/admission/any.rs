//! The parts of a `google.protobuf.Any`, and the descriptor of its type URL.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};

use super::suggest;
use crate::{proto, resource::ResourceType};

pub(super) const ANY: &str = "google.protobuf.Any";

const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;

/// A type URL without a descriptor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnknownTypeUrl {
    #[error("the type URL is empty")]
    Empty,
    #[error("\"{0}\" is no type URL: expected type.googleapis.com/some.message.Name{1}")]
    Malformed(String, String),
    #[error("unknown type \"{0}\": no descriptor{1}")]
    NoDescriptor(String, String),
}

/// The descriptor of the message that `type_url` names.
pub(super) fn resolve(type_url: &str) -> Result<MessageDescriptor, UnknownTypeUrl> {
    let pool = proto::descriptors();
    if type_url.is_empty() {
        return Err(UnknownTypeUrl::Empty);
    }
    if ResourceType::from_type_url(type_url).is_none() {
        let hint = pool.get_message_by_name(type_url).map_or_else(String::new, |_| {
            format!("; did you mean \"type.googleapis.com/{type_url}\"?")
        });
        return Err(UnknownTypeUrl::Malformed(type_url.to_owned(), hint));
    }
    let name = type_url.rsplit_once('/').map_or(type_url, |(_, name)| name);
    pool.get_message_by_name(name).ok_or_else(|| {
        let short = name.rsplit_once('.').map_or(name, |(_, short)| short);
        // A message of the same name in another package (v2 for v3), or a misspelling within the package.
        let moved = pool.all_messages().find(|message| message.name() == short);
        let hint = match &moved {
            Some(message) => format!("; did you mean \"{}\"?", message.full_name()),
            None => {
                let package = name.rsplit_once('.').map_or("", |(package, _)| package);
                let siblings: Vec<String> = pool
                    .all_messages()
                    .filter(|message| message.package_name() == package)
                    .map(|message| message.full_name().to_owned())
                    .collect();
                suggest::did_you_mean(name, siblings.iter().map(String::as_str))
            }
        };
        UnknownTypeUrl::NoDescriptor(type_url.to_owned(), hint)
    })
}

pub(super) fn is_any(descriptor: &MessageDescriptor) -> bool {
    descriptor.full_name() == ANY
}

/// The type URL and value of an `Any`.
pub(super) fn parts(any: &DynamicMessage) -> (String, Bytes) {
    let field = |number| any.get_field_by_number(number);
    (
        field(TYPE_URL)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default(),
        field(VALUE)
            .and_then(|value| value.as_bytes().cloned())
            .unwrap_or_default(),
    )
}

/// An `Any` with these parts. `descriptor` is that of `Any`.
pub(super) fn with_parts(descriptor: MessageDescriptor, type_url: &str, value: Bytes) -> DynamicMessage {
    let mut any = DynamicMessage::new(descriptor);
    any.set_field_by_number(TYPE_URL, Value::String(type_url.to_owned()));
    any.set_field_by_number(VALUE, Value::Bytes(value));
    any
}
