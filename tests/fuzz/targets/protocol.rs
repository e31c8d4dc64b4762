//! Sequences of operations of a client and of publishers on a session. The first byte selects SotW or delta; then each byte is
//! an operation, followed by its arguments. A record of the client's resources is checked against the session.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
        google::rpc,
    },
    protocol::{Policy, Response, Scope, Session, Variant},
    resource::ResourceType,
};
use prost::Message as _;

use super::{input::Input, world};

const KINDS: [ResourceType; 6] = [
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::Listener,
    ResourceType::Route,
    ResourceType::VirtualHost,
    ResourceType::Secret,
];
const NAMES: [&str; 8] = ["a", "b", "l", "r", "r/a", "*", "xdstp://x/s/t?a=%31", "xdstp://x/s/*"];
/// A type that is requested only at the end, by the check that the stream is served.
const LAST: ResourceType = ResourceType::Runtime;

struct Client {
    variant: Variant,
    session: Session,
    now: Instant,
    /// Responses without an answer.
    waiting: Vec<Response>,
    nonces: BTreeSet<String>,
    /// For each type the names of the last request (SotW), and the last accepted version.
    asked: BTreeMap<ResourceType, (Vec<String>, String)>,
    revision: u64,
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let variant = *input.pick(&[Variant::Sotw, Variant::Delta]);
    let session = Session::new(
        variant,
        Scope::Aggregated,
        Arc::new(Policy::default()),
        "s".into(),
        "node".to_owned(),
    );
    let mut client = Client {
        variant,
        session,
        now: Instant::now(),
        waiting: Vec::new(),
        nonces: BTreeSet::new(),
        asked: BTreeMap::new(),
        revision: 0,
    };
    // A longer sequence of a client covers nothing new.
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        if client.act(&mut input).is_none() {
            return;
        }
    }
    client.end();
}

impl Client {
    /// Performs one operation; `None` if the session ends the stream.
    fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte() % 8 {
            0 | 1 => self.publish(input.byte().into()),
            2 | 3 => self.subscribe(input)?,
            4 | 5 => self.answer(input.byte(), None)?,
            6 => self.answer(input.byte(), Some(input.byte()))?,
            _ => match input.byte() {
                255 => self.garbage(input.part())?,
                seconds => self.now += Duration::from_secs(seconds.into()),
            },
        }
        self.drain();
        Some(())
    }

    fn publish(&mut self, revision: u64) {
        self.revision += 256;
        let types = world::types(revision);
        self.session.on_snapshot(world::of(self.revision | revision, types));
    }

    fn subscribe(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.pick(&KINDS).clone();
        let names = |byte: u8| -> Vec<String> {
            let chosen = NAMES.iter().enumerate().filter(|(index, _)| byte >> index & 1 == 1);
            chosen.map(|(_, name)| (*name).to_owned()).collect()
        };
        let (first, second) = (names(input.byte()), names(input.byte()));
        match self.variant {
            Variant::Sotw => {
                let version = self
                    .asked
                    .get(&kind)
                    .map(|(_, version)| version.clone())
                    .unwrap_or_default();
                self.asked.insert(kind.clone(), (first.clone(), version.clone()));
                let nonce = self.last_nonce(&kind);
                self.send_sotw(&kind, first, version, nonce, None)
            }
            Variant::Delta => self.send(&DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: first,
                resource_names_unsubscribe: second,
                ..DeltaDiscoveryRequest::default()
            }),
        }
    }

    fn last_nonce(&self, kind: &ResourceType) -> String {
        let last = self
            .waiting
            .iter()
            .rev()
            .find(|response| response.delivery.resource_type == *kind);
        last.map(|response| response.delivery.nonce.to_string())
            .unwrap_or_default()
    }

    /// Answers one of the waiting responses with an ACK or a NACK.
    fn answer(&mut self, which: u8, refusal: Option<u8>) -> Option<()> {
        if self.waiting.is_empty() {
            return Some(());
        }
        let response = self.waiting.remove(usize::from(which) % self.waiting.len());
        let delivery = &response.delivery;
        let kind = delivery.resource_type.clone();
        let error = refusal.map(|code| rpc::Status {
            code: code.into(),
            message: response
                .resources
                .iter()
                .map(|resource| resource.name.as_str())
                .collect(),
            details: Vec::new(),
        });
        let nonce = delivery.nonce.to_string();
        match self.variant {
            Variant::Sotw => {
                let (names, before) = self.asked.get(&kind).cloned().unwrap_or_default();
                let version = if error.is_some() {
                    before
                } else {
                    delivery.version.to_string()
                };
                self.asked.insert(kind.clone(), (names.clone(), version.clone()));
                self.send_sotw(&kind, names, version, nonce, error)
            }
            Variant::Delta => self.send(&DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                response_nonce: nonce,
                error_detail: error,
                ..DeltaDiscoveryRequest::default()
            }),
        }
    }

    fn send_sotw(
        &mut self,
        kind: &ResourceType,
        resource_names: Vec<String>,
        version_info: String,
        response_nonce: String,
        error_detail: Option<rpc::Status>,
    ) -> Option<()> {
        let request = DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names,
            version_info,
            response_nonce,
            error_detail,
            ..DiscoveryRequest::default()
        };
        self.session.on_request(&(&request).into()).ok()
    }

    fn send(&mut self, request: &DeltaDiscoveryRequest) -> Option<()> {
        self.session.on_request(&request.into()).ok()
    }

    /// Sends a request of arbitrary bytes, if they decode.
    fn garbage(&mut self, bytes: &[u8]) -> Option<()> {
        match self.variant {
            Variant::Sotw => {
                let Ok(request) = DiscoveryRequest::decode(bytes) else {
                    return Some(());
                };
                self.session.on_request(&(&request).into()).ok()
            }
            Variant::Delta => {
                let Ok(request) = DeltaDiscoveryRequest::decode(bytes) else {
                    return Some(());
                };
                self.session.on_request(&(&request).into()).ok()
            }
        }
    }

    fn drain(&mut self) -> Vec<Response> {
        let mut all = Vec::new();
        while let Some(response) = self.session.poll_response(self.now) {
            self.check(&response);
            all.push(response);
            assert!(all.len() < 1000, "a session that never stops talking");
        }
        while self.session.poll_outcome().is_some() {}
        self.waiting.extend(all.iter().cloned());
        all
    }

    /// Checks that hold for every response.
    fn check(&mut self, response: &Response) {
        assert!(
            self.nonces.insert(response.delivery.nonce.to_string()),
            "a nonce is given once"
        );
        let names: Vec<_> = response.resources.iter().map(|resource| &resource.name).collect();
        assert!(
            names.is_sorted_by(|one, other| one < other),
            "sorted, each once: {names:?}"
        );
        let removed = response.removed.iter();
        assert!(
            removed.clone().all(|name| !names.contains(&name)),
            "there or gone: {response:?}"
        );
        let failed = response.errors.iter().map(|error| &error.name);
        assert!(
            failed.clone().all(|name| !names.contains(&name)),
            "there or in error: {response:?}"
        );
        if self.variant == Variant::Sotw {
            let kind = &response.delivery.resource_type;
            let waiting = self
                .waiting
                .iter()
                .filter(|waiting| waiting.delivery.resource_type == *kind);
            // S-6: a new response follows the answer to the last one, or a new request.
            assert!(
                removed.len() == 0 && waiting.count() < 1000,
                "nothing is removed in SotW"
            );
        }
    }

    /// An open stream is served, whatever its history.
    fn end(mut self) {
        let mut types = world::types(255);
        types.insert(LAST, world::one(&LAST, "last"));
        self.session.on_snapshot(world::of(self.revision + 256, types));
        self.drain();
        let name = vec!["last".to_owned()];
        let asked = match self.variant {
            Variant::Sotw => self.send_sotw(&LAST, name, String::new(), String::new(), None),
            Variant::Delta => self.send(&DeltaDiscoveryRequest {
                type_url: LAST.type_url().to_owned(),
                resource_names_subscribe: name,
                ..DeltaDiscoveryRequest::default()
            }),
        };
        // Arbitrary bytes may have subscribed to the type, or to too many types.
        if asked.is_none() {
            return;
        }
        self.drain();
        let served = self.waiting.iter().any(|response| {
            response.delivery.resource_type == LAST && response.resources.iter().any(|it| it.name.as_str() == "last")
        });
        assert!(served, "a stream that lives is served");
    }
}
