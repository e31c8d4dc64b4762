//! Tests of frames: messages decode to the response, and streams share their bytes.

use prost::Message as _;

use super::*;
use crate::{
    proto::discovery::{DeltaDiscoveryResponse, DiscoveryResponse},
    protocol::{Delivery, Nonce},
    resource::{ContentHash, Version},
    snapshot::{Revision, TypeResources},
};

fn resource(name: &str, bytes: usize) -> Arc<Resource> {
    let any = prost_types::Any {
        type_url: ResourceType::Cluster.type_url().to_owned(),
        value: vec![b'x'; bytes],
    };
    let name = ResourceName::from(name);
    let content = ContentHash::of(&ResourceType::Cluster, &name, &[], None, &any.value);
    Arc::new(Resource {
        name,
        version: Version::from(content),
        content,
        aliases: Box::new(["other".into()]),
        ttl: Some(Duration::from_millis(1500)),
        body: any.encode_to_vec().into(),
        references: Box::default(),
        places: Box::default(),
        warming: crate::resource::Warming::default(),
    })
}

fn response(resources: Contents) -> Response {
    let delivery = Delivery {
        resource_type: ResourceType::Cluster,
        version: Version::from("v1"),
        nonce: Nonce::from("n-1".to_owned()),
        revision: Revision(1),
    };
    Response {
        resources,
        removed: vec!["gone".into()],
        unresolved: vec!["r/unknown".into()],
        ..Response::empty(delivery)
    }
}

fn message(chunks: Chunks) -> Vec<u8> {
    let whole: Vec<u8> = chunks.flatten().collect();
    let len = u32::from_be_bytes(whole[1..5].try_into().unwrap()) as usize;
    assert_eq!(
        (whole[0], len),
        (0, whole.len() - 5),
        "the gRPC prefix tells the length"
    );
    whole[5..].to_vec()
}

#[test]
fn sotw_message_decodes_to_what_was_meant() {
    for bytes in [10, 100_000] {
        let made = resource("a", bytes);
        let frames = Frames::new("chancery".into());
        let chunks = frames.encode(Variant::Sotw, &response(Contents::Chosen(vec![made.clone()])));
        let decoded = DiscoveryResponse::decode(&*message(chunks)).unwrap();
        assert_eq!(decoded.version_info, "v1");
        assert_eq!(decoded.nonce, "n-1");
        assert_eq!(decoded.type_url, ResourceType::Cluster.type_url());
        assert_eq!(decoded.control_plane.as_ref().unwrap().identifier, "chancery");
        assert_eq!(decoded.resources[0].encode_to_vec(), made.body);
    }
}

#[test]
fn delta_message_decodes_to_what_was_meant() {
    for bytes in [10, 100_000] {
        let made = resource("a", bytes);
        let frames = Frames::new("chancery".into());
        let chunks = frames.encode(Variant::Delta, &response(Contents::Chosen(vec![made.clone()])));
        let decoded = DeltaDiscoveryResponse::decode(&*message(chunks)).unwrap();
        assert_eq!(decoded.system_version_info, "v1");
        assert_eq!(decoded.nonce, "n-1");
        assert_eq!(decoded.removed_resources, ["gone"]);
        assert_eq!(decoded.control_plane.as_ref().unwrap().identifier, "chancery");
        let [unresolved, wrapped] = &decoded.resources[..] else {
            panic!("two resources: {decoded:?}")
        };
        assert_eq!(
            (unresolved.name.as_str(), unresolved.resource.is_none()),
            ("r/unknown", true)
        );
        assert_eq!(unresolved.aliases, ["r/unknown"]);
        assert_eq!(wrapped.name, "a");
        assert_eq!(wrapped.version, made.version.as_str());
        assert_eq!(wrapped.aliases, ["other"]);
        assert_eq!(wrapped.resource.as_ref().unwrap().encode_to_vec(), made.body);
        assert_eq!(wrapped.ttl, None, "for clients that say that they take it");
    }
}

const TTL: prost_types::Duration = prost_types::Duration {
    seconds: 1,
    nanos: 500_000_000,
};

/// Unwraps a wrapped SotW resource.
fn unwrapped(any: &prost_types::Any) -> crate::proto::discovery::Resource {
    assert_eq!(any.type_url, WRAPPER_URL);
    crate::proto::discovery::Resource::decode(&*any.value).unwrap()
}

//
#[test]
fn list_collections_are_wrapped_in_sotw_with_their_names() {
    for bytes in [10, 100_000] {
        let frames = Frames::new("chancery".into());
        let kind = ResourceType::from_message_name("envoy.config.endpoint.v3.LbEndpointCollection");
        let mut response = response(Contents::Chosen(vec![resource("a", bytes), resource("b", bytes)]));
        response.delivery.resource_type = kind.clone();
        let decoded = DiscoveryResponse::decode(&*message(frames.encode(Variant::Sotw, &response))).unwrap();
        assert_eq!(decoded.type_url, kind.type_url());
        let wrapped: Vec<_> = decoded.resources.iter().map(unwrapped).collect();
        assert_eq!([&wrapped[0].name, &wrapped[1].name], ["a", "b"]);
        assert_eq!(
            wrapped[0].resource.as_ref().unwrap().encode_to_vec(),
            resource("a", bytes).body
        );
        assert!(wrapped.iter().all(|wrapped| wrapped.ttl.is_none()));
    }
}

#[test]
fn ttl_goes_with_a_resource_where_the_client_takes_it() {
    for bytes in [10, 100_000] {
        let made = resource("a", bytes);
        let mut plain = Resource::clone(&made);
        (plain.name, plain.ttl) = ("b".into(), None);
        let frames = Frames::new("chancery".into());
        let response = Response {
            ttl: true,
            unresolved: Vec::new(),
            ..response(Contents::Chosen(vec![Arc::clone(&made), Arc::new(plain)]))
        };
        let sotw = DiscoveryResponse::decode(&*message(frames.encode(Variant::Sotw, &response))).unwrap();
        assert_eq!(sotw.resources[1].encode_to_vec(), made.body, "without a TTL as it is");
        let delta = DeltaDiscoveryResponse::decode(&*message(frames.encode(Variant::Delta, &response))).unwrap();
        assert_eq!(delta.resources[1].ttl, None);
        for wrapped in [unwrapped(&sotw.resources[0]), delta.resources[0].clone()] {
            assert_eq!((wrapped.name.as_str(), wrapped.ttl), ("a", Some(TTL)));
            assert_eq!(wrapped.version, made.version.as_str());
            assert_eq!(wrapped.resource.as_ref().unwrap().encode_to_vec(), made.body);
        }
    }
}

#[test]
fn heartbeat_is_a_wrapper_without_its_resource_but_in_sotw() {
    let made = resource("a", 10);
    let frames = Frames::new("chancery".into());
    let response = Response {
        heartbeats: vec![Arc::clone(&made)],
        ttl: true,
        ..Response::empty(response(Contents::default()).delivery)
    };
    let sotw = DiscoveryResponse::decode(&*message(frames.encode(Variant::Sotw, &response))).unwrap();
    let delta = DeltaDiscoveryResponse::decode(&*message(frames.encode(Variant::Delta, &response))).unwrap();
    let (sotw, delta) = (unwrapped(&sotw.resources[0]), delta.resources[0].clone());
    for wrapped in [&sotw, &delta] {
        assert_eq!((wrapped.name.as_str(), wrapped.ttl), ("a", Some(TTL)));
        assert_eq!(wrapped.version, made.version.as_str());
    }
    assert_eq!((delta.resource, delta.aliases), (None, Vec::new()));
    assert_eq!(
        sotw.resource.unwrap().encode_to_vec(),
        made.body,
        "Envoy renews by it alone"
    );
}

#[test]
fn errors_of_resources_name_them() {
    let frames = Frames::new("chancery".into());
    let error = ResourceError {
        name: "z".into(),
        code: 5,
    };
    let response = Response {
        errors: vec![error],
        ..Response::empty(response(Contents::default()).delivery)
    };
    let sotw = DiscoveryResponse::decode(&*message(frames.encode(Variant::Sotw, &response))).unwrap();
    let delta = DeltaDiscoveryResponse::decode(&*message(frames.encode(Variant::Delta, &response))).unwrap();
    for errors in [sotw.resource_errors, delta.resource_errors] {
        let [error] = &errors[..] else {
            panic!("one error: {errors:?}")
        };
        assert_eq!(error.resource_name.as_ref().unwrap().name, "z");
        let detail = error.error_detail.as_ref().unwrap();
        assert_eq!((detail.code, detail.message.as_str()), (5, "no such resource"));
    }
}

#[test]
fn streams_that_are_sent_the_same_share_its_bytes() {
    let all = Arc::new(TypeResources::new(vec![resource("a", 100_000)]).unwrap());
    let frames = Frames::new("chancery".into());
    let shared = |variant, contents| frames.encode(variant, &response(contents)).nth(1).unwrap();
    let one = shared(Variant::Sotw, Contents::All(Arc::clone(&all)));
    let two = shared(Variant::Sotw, Contents::All(Arc::clone(&all)));
    assert_eq!(one.as_ptr(), two.as_ptr());
    let chosen = || Contents::Chosen(all.as_slice().to_vec());
    let three = shared(Variant::Sotw, chosen());
    let four = shared(Variant::Sotw, chosen());
    assert_eq!(three.as_ptr(), four.as_ptr());
    let delta = shared(Variant::Delta, chosen());
    assert_ne!(delta, three);
}

#[test]
fn kept_payloads_are_bounded() {
    let frames = Frames::new("chancery".into());
    for n in 0..40 {
        drop(frames.encode(
            Variant::Sotw,
            &response(Contents::Chosen(vec![resource(&n.to_string(), 2_000_000)])),
        ));
    }
    let payloads = frames.lock();
    let bytes: usize = payloads.kept.iter().map(|payload| payload.bytes.len()).sum();
    assert!(payloads.kept.len() <= KEPT && bytes <= KEPT_BYTES);
}
