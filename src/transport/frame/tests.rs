//! Messages decode to what was meant, and streams share their bytes.

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
        ttl: Some(std::time::Duration::from_millis(1500)),
        body: any.encode_to_vec().into(),
        references: Box::default(),
    })
}

fn response(resources: Contents) -> Response {
    Response {
        delivery: Delivery {
            resource_type: ResourceType::Cluster,
            version: Version::from("v1"),
            nonce: Nonce::from("n-1".to_owned()),
            revision: Revision(1),
        },
        resources,
        removed: vec!["gone".into()],
        unresolved: vec!["r/unknown".into()],
    }
}

fn message(chunks: &[Bytes]) -> Vec<u8> {
    let whole: Vec<u8> = chunks.iter().flatten().copied().collect();
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
        let decoded = DiscoveryResponse::decode(&*message(&chunks)).unwrap();
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
        let decoded = DeltaDiscoveryResponse::decode(&*message(&chunks)).unwrap();
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
    }
}

#[test]
fn streams_that_are_sent_the_same_share_its_bytes() {
    let all = Arc::new(TypeResources::new(vec![resource("a", 100_000)]).unwrap());
    let frames = Frames::new("chancery".into());
    let one = frames.encode(Variant::Sotw, &response(Contents::All(Arc::clone(&all))));
    let two = frames.encode(Variant::Sotw, &response(Contents::All(Arc::clone(&all))));
    assert_eq!(one[1].as_ptr(), two[1].as_ptr());
    let chosen = || Contents::Chosen(all.as_slice().to_vec());
    let three = frames.encode(Variant::Sotw, &response(chosen()));
    let four = frames.encode(Variant::Sotw, &response(chosen()));
    assert_eq!(three[1].as_ptr(), four[1].as_ptr());
    let delta = frames.encode(Variant::Delta, &response(chosen()));
    assert_ne!(delta[1], three[1]);
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
