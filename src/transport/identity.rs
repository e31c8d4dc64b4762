//! What a node says of itself in the first request of a stream: only the fields that are used are decoded.

use prost::Message;

use super::{
    error::{RequestError, fits},
    wire::Field,
};
use crate::proto::envoy::config::core::v3 as core;

/// The fields of [`Identity`].
const USED: [u64; 8] = [1, 2, 3, 4, 6, 7, 8, 10];
/// What a field takes besides its bytes: a text is a place in a list.
const OVERHEAD: usize = 8;

/// The fields of a `Node` that decide its group, say what it can take, or are shown to people. A decoder passes over the
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

/// Reads an encoded `Node`, of which at most so many bytes are used: what is made of them is many times as large. Fields that
/// nobody uses are left empty.
pub(super) fn read(node: &[u8], most: usize) -> Result<core::Node, RequestError> {
    let (mut rest, mut used) = (node, 0);
    while let Some(field) = Field::next(&mut rest)? {
        if USED.contains(&field.number) {
            used += field.bytes()?.len() + OVERHEAD;
            fits("what is used of node", used, most)?;
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
    fn nodes_are_read_as_they_are_decoded_but_for_what_nobody_uses() {
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
