//! Tests of the scan: its result equals that of decoding, for any order of fields and with unknown fields.

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

/// An unknown field of any wire type.
fn unknown() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0xa2, 0x06, 2, b'x', b'y']),
        Just(vec![0xa0, 0x06, 0xff, 0x01]),
        Just(vec![0xa5, 0x06, 1, 2, 3, 4]),
        Just(vec![0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]),
        Just(vec![0xa3, 0x06, 0xa4, 0x06]),
    ]
}

/// Concatenated requests: fields repeated and in another order, sometimes with an unknown field or a broken byte.
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

fn read(variant: Variant, message: &[u8]) -> Result<Incoming<'_>, Malformed> {
    match super::read(variant, message, &StreamLimits::default()) {
        Ok(incoming) => Ok(incoming),
        Err(RequestError::Malformed(malformed)) => Err(malformed),
        Err(error) => panic!("{error}"),
    }
}

/// The content of a request. Names and versions are sorted: maps have no order, and locators come last.
type Content = (Request<'static>, [Vec<String>; 2], BTreeMap<String, String>);

fn content(request: &Request<'_>) -> Content {
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
        // The scan removes quoted secrets.
        error: request.error.clone().map(|status| rpc::Status {
            message: without_secrets(&status.message).into_owned(),
            ..status
        }),
        ..Request::default()
    };
    (
        rest,
        [sorted(&request.names), sorted(&request.unsubscribe)],
        presented.collect(),
    )
}

/// Checks that the scan and a decoder agree. A message that the scan refuses must not decode either.
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
            prop_assert_eq!(content(request), content(&decoded.into()));
        }
        (Err(malformed), Ok(_)) => prop_assert!(false, "decoded, but not read: {malformed}"),
        // A decoder also looks into unused messages.
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
    fn lists_have_the_fingerprint_of_their_names(a in texts(), b in texts()) {
        let read_fingerprint = |names: &[String]| {
            let request = DiscoveryRequest { resource_names: names.to_vec(), ..DiscoveryRequest::default() };
            let message = request.encode_to_vec();
            format!("{:?}", read(Variant::Sotw, &message).unwrap().request.names)
        };
        prop_assert_eq!(read_fingerprint(&a) == read_fingerprint(&b), a == b);
    }
}

/// The errors that end a stream.
#[test]
fn bytes_that_are_not_a_request_are_refused_with_the_reason() {
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
    let node = identity::read(&incoming.node.unwrap(), 1024).unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("two", "c"));
}

/// Each would be many times its size once decoded, and the scan stops before its end.
#[test]
fn requests_that_hold_too_much_are_refused_by_their_place_and_limit() {
    let limits = StreamLimits {
        names_per_type: 100,
        name_bytes: 50,
        ..StreamLimits::default()
    };
    let refused = |variant, message: &[u8]| match super::read(variant, message, &limits) {
        Err(RequestError::Excess(excess)) => excess.to_string(),
        other => panic!("{other:?}"),
    };
    let names = [3 << 3 | 2, 0].repeat(101);
    for variant in [Variant::Sotw, Variant::Delta] {
        assert_eq!(
            refused(variant, &names),
            "resource names: more than 100 of them in one request"
        );
    }
    for (field, text) in [
        (8, "resource names: more than 100 of them in one request"),
        (4, "resource names to unsubscribe: more than 100 of them in one request"),
        (9, "resource names to unsubscribe: more than 100 of them in one request"),
        (5, "initial_resource_versions: more than 100 of them in one request"),
    ] {
        assert_eq!(refused(Variant::Delta, &[field << 3 | 2, 0].repeat(101)), text);
        assert!(super::read(Variant::Delta, &[field << 3 | 2, 0].repeat(100), &limits).is_ok());
    }
    // Unknown fields, empty nodes, empty errors.
    for field in [15, 2, 6] {
        let message = [field << 3 | 2, 0].repeat(1_000_000);
        assert_eq!(
            refused(Variant::Sotw, &message),
            "fields: more than 1000 of them in one request"
        );
    }
    let details = encoded(6, &[3 << 3 | 2, 0].repeat(1_000_000));
    assert_eq!(
        refused(Variant::Sotw, &details),
        "fields of error_detail: more than 1000 of them in one request"
    );
    for (field, text) in [
        (1, "version_info is 51 bytes long, more than 50"),
        (4, "type_url is 51 bytes long, more than 50"),
        (5, "response_nonce is 51 bytes long, more than 50"),
    ] {
        assert_eq!(refused(Variant::Sotw, &encoded(field, &[b'x'; 51])), text);
    }
    let entry = refused(Variant::Delta, &encoded(5, &[0; 2000]));
    assert_eq!(
        entry,
        "an entry of initial_resource_versions is 2000 bytes long, more than 1124"
    );
    let locator = refused(Variant::Sotw, &encoded(7, &[0; 2000]));
    assert_eq!(locator, "a resource locator is 2000 bytes long, more than 1074");
}

#[test]
fn nodes_that_hold_too_much_are_refused_before_they_are_decoded() {
    let limits = StreamLimits {
        node_bytes: 1000,
        ..StreamLimits::default()
    };
    let node = |node: &[u8]| {
        let message = encoded(2, node);
        let incoming = super::read(Variant::Sotw, &message, &limits)?;
        incoming.decode_node(&limits).map(Option::unwrap)
    };
    let refused = |bytes: &[u8]| node(bytes).unwrap_err().to_string();
    // Extensions are not used: they cost only their bytes.
    let extensions = [9 << 3 | 2, 0].repeat(1000);
    assert!(node(&extensions).unwrap().extensions.is_empty());
    assert_eq!(
        refused(&[9 << 3 | 2, 0].repeat(10_000)),
        "node is 20000 bytes long, more than 16000"
    );
    // Empty features and empty values in metadata, which have thirteen times their size or more once decoded.
    let features = [10 << 3 | 2, 0].repeat(1000);
    assert!(
        refused(&features).starts_with("the used part of node is "),
        "{}",
        refused(&features)
    );
    let metadata = encoded(3, &[1 << 3 | 2, 0].repeat(600));
    assert!(refused(&metadata).starts_with("the used part of node is "));
    let long = encoded(2, &[b'x'; 1001]);
    assert!(refused(&long).starts_with("the used part of node is "));
    assert_eq!(node(&encoded(2, b"edge")).unwrap().cluster, "edge");
}

#[test]
fn long_messages_of_a_nack_are_cut_before_they_are_copied() {
    let limits = StreamLimits {
        error_bytes: 10,
        ..StreamLimits::default()
    };
    let kept = |text: &str| {
        let message = encoded(6, &encoded(2, text.as_bytes()));
        let incoming = super::read(Variant::Sotw, &message, &limits).unwrap();
        incoming.request.error.unwrap().message
    };
    assert_eq!(kept("no"), "no");
    assert_eq!(kept(&"x".repeat(1 << 20)), "x".repeat(14));
    assert_eq!(kept(&"é".repeat(1 << 20)), "é".repeat(7));
}

fn encoded(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut message);
    message.extend_from_slice(bytes);
    message
}
