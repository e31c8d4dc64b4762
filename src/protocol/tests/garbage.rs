//! Requests of any bytes, between meaningful requests. A request that decodes is accepted or refused, nothing panics,
//! and a stream that goes on is served as before.

use proptest::prelude::*;
use prost::Message as _;

use super::{fixture::*, model::cases};
use crate::{
    proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
    protocol::{ProtocolError, Response, Variant},
    resource::ResourceType,
};

/// A meaningful request, before it is mutated.
#[derive(Clone, Debug)]
struct Meant {
    kind: usize,
    names: Vec<&'static str>,
    dropped: Vec<&'static str>,
    /// The index of the response that it answers; beyond the responses so far, it answers none.
    answers: usize,
    refuses: bool,
}

/// One message.
#[derive(Clone, Debug)]
enum Noise {
    /// The request unchanged.
    Meant(Meant),
    /// The request with some bytes replaced, and then cut or extended.
    Mutated(Meant, Vec<(prop::sample::Index, u8)>, Vec<u8>),
    /// Arbitrary bytes.
    Bytes(Vec<u8>),
}

const KINDS: [ResourceType; 5] = [Cluster, Endpoint, Listener, Route, VirtualHost];
const NAMES: [&str; 9] = [
    "a",
    "b",
    "*",
    "",
    "x/*",
    "xdstp://a/b/*?z=1&a=%41",
    "xdstp://%",
    "r/a",
    "ä",
];

fn noise() -> impl Strategy<Value = Noise> {
    let names = || prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..4);
    let meant = || {
        (0..KINDS.len(), names(), names(), 0..8_usize, any::<bool>()).prop_map(
            |(kind, names, dropped, answers, refuses)| Meant {
                kind,
                names,
                dropped,
                answers,
                refuses,
            },
        )
    };
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = prop::collection::vec(any::<u8>(), 0..8);
    prop_oneof![
        4 => meant().prop_map(Noise::Meant),
        4 => (meant(), changes, tail).prop_map(|(meant, changes, tail)| Noise::Mutated(meant, changes, tail)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Noise::Bytes),
    ]
}

impl Meant {
    fn encode(&self, variant: Variant, sent: &[Response]) -> Vec<u8> {
        let kind = &KINDS[self.kind];
        let answered = sent.get(self.answers).map(|response| &response.delivery);
        let nonce = answered.map_or_else(String::new, |delivery| delivery.nonce.to_string());
        let error_detail = (self.refuses && answered.is_some()).then(crate::proto::google::rpc::Status::default);
        match variant {
            Variant::Sotw => {
                let mut request = sotw(kind, &self.names, "", &nonce);
                request.error_detail = error_detail;
                request.encode_to_vec()
            }
            Variant::Delta => {
                let mut request = delta(kind, &self.names, &self.dropped);
                request.response_nonce = nonce;
                request.error_detail = error_detail;
                request.encode_to_vec()
            }
        }
    }
}

impl Noise {
    fn encode(&self, variant: Variant, sent: &[Response]) -> Vec<u8> {
        match self {
            Self::Meant(meant) => meant.encode(variant, sent),
            Self::Mutated(meant, changes, tail) => {
                let mut bytes = meant.encode(variant, sent);
                for (at, byte) in changes.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                bytes.extend(tail);
                bytes
            }
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// Gives the stream a request, if the bytes decode.
fn give(stream: &mut Stream, variant: Variant, bytes: &[u8]) -> Result<(), ProtocolError> {
    match variant {
        Variant::Sotw => {
            DiscoveryRequest::decode(bytes).map_or(Ok(()), |request| stream.session.on_request(&(&request).into()))
        }
        Variant::Delta => {
            DeltaDiscoveryRequest::decode(bytes).map_or(Ok(()), |request| stream.session.on_request(&(&request).into()))
        }
    }
}

/// Checks what must hold of every response.
fn check(response: &Response) {
    let names: Vec<_> = response
        .resources
        .as_slice()
        .iter()
        .map(|resource| &resource.name)
        .collect();
    assert!(
        names.windows(2).all(|pair| pair[0] < pair[1]),
        "sorted, each once: {names:?}"
    );
    assert!(
        response.removed.iter().all(|removed| !names.contains(&removed)),
        "disjoint: {response:?}"
    );
    let failed = response.errors.iter().map(|error| &error.name);
    assert!(
        failed.clone().all(|failed| !names.contains(&failed)),
        "disjoint: {response:?}"
    );
}

fn run(variant: Variant, noise: &[Noise]) {
    let config = Config::default()
        .eds_cluster("a", "1")
        .with(Endpoint, "a", "1")
        .refers(Route, "r", "1", &[(Cluster, "a")])
        .refers(Listener, "l", "1", &[(Route, "r")])
        .with(VirtualHost, "r/a", "1");
    let mut stream = Stream::new(variant);
    let mut sent = Vec::new();
    for (number, noise) in noise.iter().enumerate() {
        if number % 5 == 0 {
            stream.publish(&config.clone().with(Cluster, "b", &number.to_string()));
        }
        if give(&mut stream, variant, &noise.encode(variant, &sent)).is_err() {
            return;
        }
        let more = stream.drain();
        more.iter().for_each(check);
        sent.extend(more);
    }
    stream.publish(&config.with(Secret, "s", "1"));
    stream.drain();
    match variant {
        Variant::Sotw => stream.sotw(&Secret, &["s"]),
        Variant::Delta => stream.delta(&Secret, &["s"], &[]),
    }
    let answered = stream.drain().iter().any(|response| gist(response) == "secret[s]");
    assert!(answered, "an open stream is served");
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn any_bytes_leave_a_stream_served_or_ended(variant in prop_oneof![Just(Variant::Sotw), Just(Variant::Delta)],
                                                noise in prop::collection::vec(noise(), 1..40)) {
        run(variant, &noise);
    }
}
