//! What is read without decoding is what decoding gives, and nothing but ACKs is read.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::proto::{
    discovery::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator},
    envoy::config::core::v3::{Extension, Node},
    google::rpc,
};

fn node() -> Node {
    Node {
        id: "envoy-1".to_owned(),
        cluster: "edge".to_owned(),
        user_agent_name: "envoy".to_owned(),
        extensions: vec![Extension::default(); 3],
        ..Node::default()
    }
}

fn sotw() -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: "v1".to_owned(),
        node: Some(node()),
        resource_names: vec!["a".to_owned(), "b".to_owned()],
        type_url: "type.googleapis.com/x.Y".to_owned(),
        response_nonce: "n-1".to_owned(),
        ..DiscoveryRequest::default()
    }
}

fn delta() -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(node()),
        type_url: "type.googleapis.com/x.Y".to_owned(),
        response_nonce: "n-1".to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// Of the list of a request.
fn list(names: &[&str]) -> ListPrint {
    let request = DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..sotw()
    };
    read(Variant::Sotw, &request.encode_to_vec()).expect("an ACK").list
}

#[test]
fn sotw_ack_says_what_decoding_says() {
    let message = sotw().encode_to_vec();
    let ack = read(Variant::Sotw, &message).expect("an ACK");
    assert_eq!(ack.node_id, Some("envoy-1"));
    assert_eq!(
        (ack.type_url, ack.version, ack.nonce),
        ("type.googleapis.com/x.Y", "v1", "n-1")
    );
}

#[test]
fn delta_ack_says_what_decoding_says() {
    let message = delta().encode_to_vec();
    let ack = read(Variant::Delta, &message).expect("an ACK");
    assert_eq!(ack.node_id, Some("envoy-1"));
    assert_eq!(
        (ack.type_url, ack.version, ack.nonce),
        ("type.googleapis.com/x.Y", "", "n-1")
    );
}

#[test]
fn lists_that_differ_have_other_prints() {
    let lists: [&[&str]; 7] = [&[], &[""], &["a"], &["b"], &["a", "b"], &["b", "a"], &["ab"]];
    for (index, one) in lists.iter().enumerate() {
        assert_eq!(list(one), list(one));
        for other in &lists[index + 1..] {
            assert_ne!(list(one), list(other), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn what_says_more_than_an_ack_is_not_read() {
    let refusal = DiscoveryRequest {
        error_detail: Some(rpc::Status::default()),
        ..sotw()
    };
    let locator = DiscoveryRequest {
        resource_locators: vec![ResourceLocator::default()],
        ..sotw()
    };
    for request in [refusal, locator] {
        assert!(read(Variant::Sotw, &request.encode_to_vec()).is_none(), "{request:?}");
    }
    let refusal = DeltaDiscoveryRequest {
        error_detail: Some(rpc::Status::default()),
        ..delta()
    };
    let subscription = DeltaDiscoveryRequest {
        resource_names_subscribe: vec!["a".to_owned()],
        ..delta()
    };
    let unsubscription = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec!["a".to_owned()],
        ..delta()
    };
    let reconnect = DeltaDiscoveryRequest {
        initial_resource_versions: [("a".to_owned(), "1".to_owned())].into(),
        ..delta()
    };
    for request in [refusal, subscription, unsubscription, reconnect] {
        assert!(read(Variant::Delta, &request.encode_to_vec()).is_none(), "{request:?}");
    }
}

#[test]
fn text_that_is_no_utf8_is_not_read() {
    let mut message = sotw().encode_to_vec();
    let at = message.windows(3).position(|three| three == b"n-1").expect("the nonce");
    message[at] = 0xff;
    assert!(read(Variant::Sotw, &message).is_none());
}

proptest! {
    #[test]
    fn garbage_is_read_as_decoding_reads_it(message in prop::collection::vec(any::<u8>(), 0..64)) {
        if let (Some(ack), Ok(decoded)) = (read(Variant::Sotw, &message), DiscoveryRequest::decode(&message[..])) {
            prop_assert_eq!(ack.type_url, decoded.type_url);
            prop_assert_eq!(ack.nonce, decoded.response_nonce);
            prop_assert_eq!(ack.version, decoded.version_info);
            prop_assert_eq!(ack.node_id, decoded.node.as_ref().map(|node| node.id.as_str()));
        }
    }

    #[test]
    fn cut_messages_do_no_harm(cut in 0..200_usize) {
        let message = sotw().encode_to_vec();
        let _ = read(Variant::Sotw, &message[..cut.min(message.len())]);
    }
}
