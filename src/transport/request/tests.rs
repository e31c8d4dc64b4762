//! What is read off the bytes is what decoding gives, whatever the order of the fields and whatever else is among them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::proto::{
    discovery::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator},
    envoy::config::core::v3::{Extension, Locality, Node},
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,3}", "xdstp://a/[a-c]{1}\\?b&a", "\\PC{0,6}", "[a-c]{130}"]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..4)
}

fn node() -> impl Strategy<Value = Node> {
    (text(), text(), prop::collection::vec(text(), 0..3)).prop_map(|(id, cluster, extensions)| Node {
        id,
        locality: (!cluster.is_empty()).then(|| Locality {
            zone: cluster.clone(),
            ..Locality::default()
        }),
        cluster,
        extensions: extensions
            .into_iter()
            .map(|name| Extension {
                name,
                ..Extension::default()
            })
            .collect(),
        ..Node::default()
    })
}

fn error() -> impl Strategy<Value = rpc::Status> {
    (any::<i32>(), text()).prop_map(|(code, message)| rpc::Status {
        code,
        message,
        ..rpc::Status::default()
    })
}

fn rarely<T: std::fmt::Debug + Clone>(some: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.2, some)
}

fn locators() -> impl Strategy<Value = Vec<ResourceLocator>> {
    rarely(text()).prop_map(|name| {
        let locator = |name| ResourceLocator {
            name,
            ..ResourceLocator::default()
        };
        name.map(locator).into_iter().collect()
    })
}

fn sotw_request() -> impl Strategy<Value = DiscoveryRequest> {
    (
        text(),
        rarely(node()),
        texts(),
        text(),
        text(),
        rarely(error()),
        locators(),
    )
        .prop_map(
            |(version_info, node, resource_names, type_url, response_nonce, error_detail, resource_locators)| {
                DiscoveryRequest {
                    version_info,
                    node,
                    resource_names,
                    type_url,
                    response_nonce,
                    error_detail,
                    resource_locators,
                }
            },
        )
}

fn delta_request() -> impl Strategy<Value = DeltaDiscoveryRequest> {
    let names = (texts(), texts(), locators(), locators());
    let presented = prop::collection::hash_map(text(), text(), 0..5);
    (rarely(node()), text(), names, presented, text(), rarely(error())).prop_map(
        |(node, type_url, (subscribe, unsubscribe, more, less), presented, response_nonce, error_detail)| {
            DeltaDiscoveryRequest {
                node,
                type_url,
                resource_names_subscribe: subscribe,
                resource_names_unsubscribe: unsubscribe,
                resource_locators_subscribe: more,
                resource_locators_unsubscribe: less,
                initial_resource_versions: presented,
                response_nonce,
                error_detail,
            }
        },
    )
}

/// A field that no version of the message has yet, of any wire type.
fn unknown() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0xa2, 0x06, 2, b'x', b'y']),
        Just(vec![0xa0, 0x06, 0xff, 0x01]),
        Just(vec![0xa5, 0x06, 1, 2, 3, 4]),
        Just(vec![0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]),
        Just(vec![0xa3, 0x06, 0xa4, 0x06]),
    ]
}

/// Whole requests one behind the other, which is a request with its fields repeated and in another order; sometimes with
/// a field that is unknown, or a byte that is broken.
fn message<M: prost::Message + Clone>(request: impl Strategy<Value = M>) -> impl Strategy<Value = Vec<u8>> {
    let requests = prop::collection::vec(request, 1..4);
    let broken = rarely((any::<prop::sample::Index>(), any::<u8>()));
    (requests, rarely(unknown()), broken).prop_map(|(requests, unknown, broken)| {
        let mut message: Vec<u8> = requests.iter().flat_map(|request| request.encode_to_vec()).collect();
        message.splice(0..0, unknown.into_iter().flatten());
        if let Some((at, byte)) = broken.filter(|_| !message.is_empty()) {
            let at = at.index(message.len());
            message[at] = byte;
        }
        message
    })
}

/// The versions, of which the last of a name counts.
fn last_of_each(mut request: DeltaRequest<'_>) -> (DeltaRequest<'_>, BTreeMap<String, &str>) {
    let presented = std::mem::take(&mut request.presented).into_iter();
    let presented = presented.map(|(name, version)| (name.into_owned(), version)).collect();
    (request, presented)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn sotw_request_is_read_as_it_is_decoded(message in message(sotw_request())) {
        let decoded = DiscoveryRequest::decode(&message[..]);
        if let Some((node, request)) = sotw(&message) {
            let decoded = decoded.expect("what is read can be decoded");
            prop_assert_eq!(request, SotwRequest::from(&decoded));
            prop_assert_eq!(node, decoded.node);
        }
    }

    #[test]
    fn delta_request_is_read_as_it_is_decoded(message in message(delta_request())) {
        let decoded = DeltaDiscoveryRequest::decode(&message[..]);
        if let Some((node, request)) = delta(&message) {
            let decoded = decoded.expect("what is read can be decoded");
            prop_assert_eq!(last_of_each(request), last_of_each(DeltaRequest::from(&decoded)));
            prop_assert_eq!(node, decoded.node);
        }
    }

    #[test]
    fn requests_without_locators_are_read(mut state in sotw_request(), mut changes in delta_request()) {
        state.resource_locators.clear();
        changes.resource_locators_subscribe.clear();
        changes.resource_locators_unsubscribe.clear();
        prop_assert!(sotw(&state.encode_to_vec()).is_some());
        prop_assert!(delta(&changes.encode_to_vec()).is_some());
    }

    #[test]
    fn garbage_is_read_as_it_is_decoded(message in prop::collection::vec(any::<u8>(), 0..40)) {
        if sotw(&message).is_some() {
            prop_assert!(DiscoveryRequest::decode(&message[..]).is_ok());
        }
        if delta(&message).is_some() {
            prop_assert!(DeltaDiscoveryRequest::decode(&message[..]).is_ok());
        }
    }
}

#[test]
fn number_where_text_belongs_is_left_to_the_decoder() {
    // Field 4 of SotW, field 2 of delta: the type URL, as a number.
    assert!(sotw(&[4 << 3, 1]).is_none());
    assert!(delta(&[2 << 3, 1]).is_none());
}

#[test]
fn nodes_that_would_have_to_be_merged_are_left_to_the_decoder() {
    let request = DiscoveryRequest {
        node: Some(Node::default()),
        ..DiscoveryRequest::default()
    };
    let message = request.encode_to_vec();
    assert!(sotw(&message).is_some());
    assert!(sotw(&[&message[..], &message].concat()).is_none());
}
