//! Secrets: the fields and values that must not be shown, by annotation, name or content.
//!
//! Envoy's annotation (`udpa.annotations.sensitive`) marks some fields, but not those of older messages, headers that
//! carry credentials, or private keys in a field for public ones. Those are listed here.

mod redaction;

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::Value as Json;

pub use self::redaction::redact;
use crate::{proto, text::names_credential};

pub(super) const REDACTED: &str = "[redacted]";

const DATA_SOURCE: &str = "envoy.config.core.v3.DataSource";

/// Field names that hold a secret in every message, if the field is a string, bytes or a DataSource.
const NAMES: [&str; 11] = [
    "access_token",
    "authorization_token",
    "backend_token",
    "google_refresh_token",
    "json_key",
    "password",
    "private_key",
    "secret",
    "secret_access_key",
    "session_token",
    "token",
];

/// Messages of which one field names the content of the others.
const NAMED: [(&str, &str); 5] = [
    ("envoy.config.core.v3.HeaderValue", "key"),
    ("envoy.config.core.v3.KeyValue", "key"),
    ("envoy.config.core.v3.KeyValuePair", "key"),
    ("envoy.config.route.v3.HeaderMatcher", "name"),
    ("envoy.config.route.v3.QueryParameterMatcher", "name"),
];

/// The field of a JSON Web Key Set, which may also hold private keys.
const KEY_SET: &str = "local_jwks";

/// The private members of a JSON Web Key: those of RSA and EC keys, and the whole of a symmetric key.
const PRIVATE_MEMBERS: [&str; 8] = ["k", "d", "p", "q", "dp", "dq", "qi", "oth"];

/// The numbers of the fields of each message that always hold secrets.
static SENSITIVE: LazyLock<HashMap<String, Vec<u32>>> = LazyLock::new(|| {
    let pool = proto::descriptors();
    let annotation = pool
        .get_extension_by_name("udpa.annotations.sensitive")
        .expect("Envoy's protos import udpa/annotations/sensitive.proto");
    let is_annotated = |field: &FieldDescriptor| field.options().get_extension(&annotation).as_bool() == Some(true);
    let mut sensitive: HashMap<String, Vec<u32>> = HashMap::new();
    for field in pool
        .all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
    {
        if is_annotated(&field) || is_sensitive_by_name(&field) {
            let message = field.parent_message().full_name().to_owned();
            sensitive.entry(message).or_default().push(field.number());
        }
    }
    sensitive
});

fn is_sensitive_by_name(field: &FieldDescriptor) -> bool {
    let holds = match field.kind() {
        Kind::String | Kind::Bytes => !field.is_map(),
        Kind::Message(message) => message.full_name() == DATA_SOURCE,
        _ => false,
    };
    holds && NAMES.contains(&field.name())
}

/// Returns true if the content of `field` is secret.
pub(super) fn is_sensitive(field: &FieldDescriptor) -> bool {
    let of_message = SENSITIVE.get(field.parent_message().full_name());
    of_message.is_some_and(|numbers| numbers.contains(&field.number()))
}

/// The field that names the content of a message, as `key` of a HeaderValue does.
pub(super) fn naming_field(descriptor: &MessageDescriptor) -> Option<&'static str> {
    let full_name = descriptor.full_name();
    NAMED
        .iter()
        .find_map(|(message, field)| (*message == full_name).then_some(*field))
}

/// Returns true if a message holds a credential by its name, as an `authorization` header does.
pub(super) fn holds_credential(message: &DynamicMessage, descriptor: &MessageDescriptor) -> bool {
    naming_field(descriptor).is_some_and(|field| {
        let name = message.get_field_by_name(field);
        name.as_deref().and_then(Value::as_str).is_some_and(names_credential)
    })
}

/// Returns true if a text is secret by its form: a private key, or a URL with a password.
pub(super) fn is_secret_text(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") || has_password(text)
}

/// Matches `scheme://user:password@host`.
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = &text[at + separator.len()..];
        let authority = rest.split(['/', '?', '#', ' ', '"']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// Returns true if a text is one of Envoy's commands, as in `%REQ(authorization)%`, which names the source of a value.
fn is_command(text: &str) -> bool {
    let inner = text.strip_prefix('%').and_then(|text| text.strip_suffix('%'));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains('%'))
}

/// Returns true if a JSON Web Key Set holds private keys, or cannot be read.
fn has_private_keys(key_set: &[u8]) -> bool {
    let Ok(key_set) = serde_json::from_slice::<Json>(key_set) else {
        return true;
    };
    let is_private = |key: &Json| {
        let Json::Object(members) = key else {
            return true;
        };
        members.get("kty").and_then(Json::as_str) == Some("oct")
            || PRIVATE_MEMBERS.iter().any(|member| members.contains_key(*member))
    };
    match key_set.get("keys") {
        Some(Json::Array(keys)) => keys.iter().any(is_private) || is_private(&key_set),
        Some(_) | None => is_private(&key_set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::without_secrets;

    #[test]
    fn a_field_that_is_hidden_by_its_name_is_hidden_where_a_node_quotes_it() {
        for name in NAMES {
            let quoted = format!("{name}: \"CANARY\"");
            assert!(!without_secrets(&quoted).contains("CANARY"), "{quoted}");
        }
    }
}
