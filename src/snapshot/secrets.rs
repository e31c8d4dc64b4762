//! The values of a secret that a node's messages must not show: keys, passwords, tickets and generic secrets.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Message, Oneof};

/// `google.protobuf.Any`. Its value shares the bytes of the resource, as do the messages below.
#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `envoy.extensions.transport_sockets.tls.v3.Secret`, without the kinds that hide nothing.
#[derive(Clone, PartialEq, Message)]
struct Secret {
    #[prost(oneof = "Kind", tags = "2, 3, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(message, tag = "2")]
    Certificate(TlsCertificate),
    #[prost(message, tag = "3")]
    TicketKeys(TicketKeys),
    #[prost(message, tag = "5")]
    Generic(GenericSecret),
}

#[derive(Clone, PartialEq, Message)]
struct TlsCertificate {
    #[prost(message, optional, tag = "2")]
    private_key: Option<DataSource>,
    #[prost(message, optional, tag = "3")]
    password: Option<DataSource>,
    #[prost(message, optional, tag = "8")]
    pkcs12: Option<DataSource>,
}

#[derive(Clone, PartialEq, Message)]
struct TicketKeys {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<DataSource>,
}

#[derive(Clone, PartialEq, Message)]
struct GenericSecret {
    #[prost(message, optional, tag = "1")]
    secret: Option<DataSource>,
    #[prost(map = "string, message", tag = "2")]
    secrets: HashMap<String, DataSource>,
}

/// Text is read as bytes.
#[derive(Clone, PartialEq, Message)]
struct DataSource {
    #[prost(oneof = "Inline", tags = "2, 3")]
    inline: Option<Inline>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Inline {
    #[prost(bytes = "bytes", tag = "2")]
    Bytes(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    Text(Bytes),
}

/// The hidden values of a secret in its encoded `Any`; empty for any other message.
#[must_use]
pub fn secret_values(body: &Bytes) -> Vec<Bytes> {
    let body = Body::decode(body.clone()).ok();
    let secret = body.and_then(|body| Secret::decode(body.value).ok());
    let sources: Vec<DataSource> = match secret.and_then(|secret| secret.kind) {
        Some(Kind::Certificate(of)) => [of.private_key, of.password, of.pkcs12].into_iter().flatten().collect(),
        Some(Kind::TicketKeys(of)) => of.keys,
        Some(Kind::Generic(of)) => of.secret.into_iter().chain(of.secrets.into_values()).collect(),
        None => Vec::new(),
    };
    let inline = sources.into_iter().filter_map(|source| source.inline);
    inline
        .map(|(Inline::Bytes(value) | Inline::Text(value))| value)
        .collect()
}

#[cfg(test)]
mod tests {
    use prost_reflect::DynamicMessage;
    use serde_json::{Value, json};

    use super::*;
    use crate::{proto, resource::ResourceType};

    /// The values of a secret that is encoded with the descriptors of Envoy's protos.
    fn values(json: Value) -> Vec<Vec<u8>> {
        let descriptor = proto::descriptors()
            .get_message_by_name("envoy.extensions.transport_sockets.tls.v3.Secret")
            .unwrap();
        let any = prost_types::Any {
            type_url: ResourceType::Secret.type_url().to_owned(),
            value: DynamicMessage::deserialize(descriptor, json).unwrap().encode_to_vec(),
        };
        let mut values: Vec<_> = secret_values(&any.encode_to_vec().into())
            .iter()
            .map(|value| value.to_vec())
            .collect();
        values.sort();
        values
    }

    #[test]
    fn hidden_values_of_every_kind_of_secret_are_found_and_no_others() {
        let text = |text: &str| json!({"inline_string": text});
        let certificate = json!({"name": "s", "tls_certificate": {
            "certificate_chain": text("chain"), "private_key": text("key"), "password": text("pass"),
            "pkcs12": {"inline_bytes": "cDEy"}, "ocsp_staple": text("staple"),
        }});
        assert_eq!(
            values(certificate),
            [b"key".to_vec(), b"p12".to_vec(), b"pass".to_vec()]
        );
        let tickets = json!({"session_ticket_keys": {"keys": [text("one"), {"filename": "/two"}, text("three")]}});
        assert_eq!(values(tickets), [b"one".to_vec(), b"three".to_vec()]);
        let generic = json!({"generic_secret": {"secret": text("a"), "secrets": {"x": text("b")}}});
        assert_eq!(values(generic), [b"a".to_vec(), b"b".to_vec()]);
        let public = json!({"validation_context": {"trusted_ca": text("ca")}});
        assert!(values(public).is_empty());
    }

    #[test]
    fn every_field_that_envoys_protos_call_sensitive_is_read() {
        let pool = proto::descriptors();
        let sensitive = pool.get_extension_by_name("udpa.annotations.sensitive").unwrap();
        let found = ["TlsCertificate", "TlsSessionTicketKeys", "GenericSecret"].map(|message| {
            let name = format!("envoy.extensions.transport_sockets.tls.v3.{message}");
            let fields = pool.get_message_by_name(&name).unwrap();
            let marked = fields
                .fields()
                .filter(|field| field.options().get_extension(&sensitive).as_bool() == Some(true));
            marked.map(|field| field.number()).collect::<Vec<_>>()
        });
        assert_eq!(found, [vec![2, 3, 8], vec![1], vec![1, 2]]);
    }

    #[test]
    fn bytes_that_are_no_secret_have_no_values() {
        for body in ["", "no message at all", "\u{12}\u{1}"] {
            assert!(secret_values(&Bytes::from_static(body.as_bytes())).is_empty());
        }
    }
}
