//! What is read off the bytes is what decoding gives, whatever the order of the fields and whatever else is among them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message as _;

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

/// All that a request says. Names and versions in any order: protobuf's maps have none, and locators come after names.
type Said = (Request<'static>, [Vec<String>; 2], BTreeMap<String, String>);

fn said(request: &Request<'_>) -> Said {
    let sorted = |names: &NameList<'_>| {
        let mut names: Vec<String> = names.to_vec().into_iter().map(str::to_owned).collect();
        assert_eq!(names.len(), names.iter().len());
        names.sort();
        names
    };
    let leaked = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let presented = request.presented.to_vec().into_iter();
    let presented = presented.map(|(name, version)| (name.to_owned(), version.to_owned()));
    let rest = Request {
        node_id: request.node_id.as_deref().map(|id| id.to_owned().into()),
        type_url: leaked(request.type_url),
        version: leaked(request.version),
        nonce: leaked(request.nonce),
        error: request.error.clone(),
        ..Request::default()
    };
    (
        rest,
        [sorted(&request.names), sorted(&request.unsubscribe)],
        presented.collect(),
    )
}

/// What is read says what decoding says. What cannot be read cannot be decoded either.
fn check<'a, M>(
    read: Result<&Incoming<'_>, &Malformed>,
    decoded: Result<&'a M, &prost::DecodeError>,
) -> Result<(), TestCaseError>
where
    Request<'a>: From<&'a M>,
{
    match (read, decoded) {
        (Ok(incoming), Ok(decoded)) => {
            let request = &incoming.request;
            prop_assert_eq!(request.names.len(), request.names.to_vec().len());
            prop_assert_eq!(said(request), said(&decoded.into()));
        }
        (Err(malformed), Ok(_)) => prop_assert!(false, "decoded, but not read: {malformed}"),
        // A decoder looks into messages that nobody reads.
        (_, Err(_)) => {}
    }
    Ok(())
}

fn check_sotw(message: &[u8]) -> Result<(), TestCaseError> {
    let decoded = DiscoveryRequest::decode(message);
    let read = read(Variant::Sotw, message);
    if let (Ok(incoming), Ok(decoded)) = (&read, &decoded) {
        let node = incoming.node.as_deref().map(|node| Node::decode(node).unwrap());
        prop_assert_eq!(&node, &decoded.node);
    }
    check(read.as_ref(), decoded.as_ref())
}

fn check_delta(message: &[u8]) -> Result<(), TestCaseError> {
    let decoded = DeltaDiscoveryRequest::decode(message);
    check(read(Variant::Delta, message).as_ref(), decoded.as_ref())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn sotw_request_is_read_as_it_is_decoded(message in message(sotw_request())) {
        check_sotw(&message)?;
    }

    #[test]
    fn delta_request_is_read_as_it_is_decoded(message in message(delta_request())) {
        check_delta(&message)?;
    }

    #[test]
    fn sound_requests_are_read(state in sotw_request(), changes in delta_request()) {
        prop_assert!(read(Variant::Sotw, &state.encode_to_vec()).is_ok());
        prop_assert!(read(Variant::Delta, &changes.encode_to_vec()).is_ok());
    }

    #[test]
    fn garbage_is_read_as_it_is_decoded(message in prop::collection::vec(any::<u8>(), 0..40)) {
        check_sotw(&message)?;
        check_delta(&message)?;
    }

    #[test]
    fn lists_have_the_print_of_what_they_say(a in texts(), b in texts()) {
        let read_print = |names: &[String]| {
            let request = DiscoveryRequest { resource_names: names.to_vec(), ..DiscoveryRequest::default() };
            let message = request.encode_to_vec();
            format!("{:?}", read(Variant::Sotw, &message).unwrap().request.names)
        };
        prop_assert_eq!(read_print(&a) == read_print(&b), a == b);
    }
}

/// What ends a stream, and why.
#[test]
fn bytes_that_are_no_request_are_refused_with_the_reason() {
    for (message, reason) in [
        (&[4 << 3, 1][..], Malformed::WireType(4)),
        (&[4 << 3 | 2, 5, b'x'], Malformed::Truncated),
        (&[4 << 3 | 2, 1, 0xff], Malformed::Text(4)),
        (&[3 << 3 | 2, 1, 0xff], Malformed::Text(3)),
        (&[3 << 3, 1], Malformed::WireType(3)),
        (&[0], Malformed::Key),
        (&[0x7e, 1], Malformed::Key),
        (&[0xff; 11], Malformed::Varint),
        (&[5 << 3 | 3], Malformed::Truncated),
    ] {
        assert_eq!(read(Variant::Sotw, message).unwrap_err(), reason, "{message:?}");
    }
    let deep = [0xa3, 0x06].repeat(200);
    assert_eq!(read(Variant::Delta, &deep).unwrap_err(), Malformed::Depth);
}

#[test]
fn two_nodes_are_merged_as_are_two_errors() {
    let one = DiscoveryRequest {
        node: Some(Node {
            id: "one".to_owned(),
            cluster: "c".to_owned(),
            ..Node::default()
        }),
        error_detail: Some(rpc::Status {
            code: 13,
            ..rpc::Status::default()
        }),
        ..DiscoveryRequest::default()
    };
    let two = DiscoveryRequest {
        node: Some(Node {
            id: "two".to_owned(),
            ..Node::default()
        }),
        error_detail: Some(rpc::Status {
            message: "no".to_owned(),
            ..rpc::Status::default()
        }),
        ..DiscoveryRequest::default()
    };
    let message = [one.encode_to_vec(), two.encode_to_vec()].concat();
    let incoming = read(Variant::Sotw, &message).unwrap();
    assert_eq!(incoming.request.node_id.as_deref(), Some("two"));
    let error = incoming.request.error.unwrap();
    assert_eq!((error.code, error.message.as_str()), (13, "no"));
    let node = identity::read(&incoming.node.unwrap()).unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("two", "c"));
}
