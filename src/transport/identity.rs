//! Decodes the node of a stream's first request: the used fields only.

use prost::Message;

use super::{
    error::{RequestError, fits},
    wire::Field,
};
use crate::proto::envoy::config::core::v3 as core;

/// The fields of [`Identity`].
const USED: [u64; 8] = [1, 2, 3, 4, 6, 7, 8, 10];
/// Bytes that a field uses besides its content: a text is an element of a list.
const OVERHEAD: usize = 8;

/// The fields of a `Node` that decide its group, are client features, or are shown to people. A decoder skips the
/// others, of which a client may send any number.
#[derive(Clone, PartialEq, Message)]
struct Identity {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<prost_types::Struct>,
    #[prost(message, optional, tag = "4")]
    locality: Option<core::Locality>,
    #[prost(string, tag = "6")]
    user_agent_name: String,
    #[prost(oneof = "core::node::UserAgentVersionType", tags = "7, 8")]
    user_agent_version_type: Option<core::node::UserAgentVersionType>,
    #[prost(string, repeated, tag = "10")]
    client_features: Vec<String>,
}

/// Decodes an encoded `Node` whose used fields have at most `most` bytes: their decoded form is many times as large.
/// Unused fields are left empty.
pub(super) fn read(node: &[u8], most: usize) -> Result<core::Node, RequestError> {
    let (mut rest, mut used) = (node, 0);
    while let Some(field) = Field::next(&mut rest)? {
        if USED.contains(&field.number) {
            used += field.bytes()?.len() + OVERHEAD;
            fits("the used part of node", used, most)?;
        }
    }
    let Identity {
        id,
        cluster,
        metadata,
        locality,
        user_agent_name,
        user_agent_version_type,
        client_features,
    } = Identity::decode(node)?;
    Ok(core::Node {
        id,
        cluster,
        metadata,
        locality,
        user_agent_name,
        user_agent_version_type,
        client_features,
        ..core::Node::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    #[test]
    fn nodes_are_read_as_they_are_decoded_except_for_unused_fields() {
        let node = core::Node {
            id: "envoy-1".to_owned(),
            cluster: "edge".to_owned(),
            metadata: Some(prost_types::Struct {
                fields: [("a".to_owned(), prost_types::Value::default())].into(),
            }),
            locality: Some(core::Locality {
                zone: "z".to_owned(),
                ..core::Locality::default()
            }),
            user_agent_name: "envoy".to_owned(),
            user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion("1.40.0".to_owned())),
            client_features: vec!["f".to_owned()],
            extensions: vec![core::Extension::default(); 3],
            ..core::Node::default()
        };
        let read = read(&node.encode_to_vec(), 1024).unwrap();
        assert!(read.extensions.is_empty());
        let (read, whole) = (Node::from(read), Node::from(node));
        assert_eq!(format!("{read:?}"), format!("{whole:?}"));
    }
}
