//! Registrations, and the endpoints that are published for them.

use std::time::Duration;

use tokio::time::Instant;

use super::{task::AUTHOR, *};
use crate::{
    admission::{self, Candidate, Document, Format, Secrets},
    node::NodeGroup,
    publisher::{PatchRequest, PublishOptions, PublisherSettings, RemovalGuard, ReplaceRequest},
    resource::ResourceType,
    revision::{MemoryStore, Origin},
};
use prost::Message as _;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn at(port: u16) -> Registration {
    Registration::new("a", [10, 0, 0, 1].into(), port)
}

fn shared() -> NodeGroup {
    NodeGroup::from(NodeGroup::SHARED)
}

struct Fixture {
    publisher: Arc<Publisher>,
    registry: Registry,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Fixture {
    fn new() -> Self {
        Self::over(Publisher::in_memory())
    }

    /// A registry over published endpoints.
    fn over(publisher: Arc<Publisher>) -> Self {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let (registry, task) = Registry::new(Arc::clone(&publisher), tracker.clone(), shutdown.clone()).unwrap();
        tracker.spawn(task.run());
        Self {
            publisher,
            registry,
            tracker,
            shutdown,
        }
    }

    async fn stop(self) -> Arc<Publisher> {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.publisher
    }

    async fn register(&self, registration: Registration) -> EndpointId {
        self.registry.register(registration, None).await.unwrap().id.unwrap()
    }

    /// The published ports of a cluster; `None` without any.
    fn published(&self, cluster: &str) -> Option<Vec<u64>> {
        let (_, snapshot) = self.publisher.get(&shared(), None).ok()?;
        let resource = snapshot.resource(&ResourceType::Endpoint, cluster)?;
        let any = prost_types::Any::decode(resource.body.clone()).unwrap();
        let json = admission::to_json(&any, Secrets::Show);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let groups = list(&json["endpoints"]);
        let endpoints = groups.iter().flat_map(|group| list(&group["lb_endpoints"]));
        let port = |one: Value| one["endpoint"]["address"]["socket_address"]["port_value"].as_u64();
        Some(endpoints.filter_map(port).collect())
    }

    fn revision(&self) -> u64 {
        self.publisher
            .get(&shared(), None)
            .map_or(0, |(info, _)| info.revision.0)
    }

    async fn eventually(&self, holds: impl Fn() -> bool) {
        let poll = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("it comes to hold");
    }
}

fn by_hand(resources: &Value) -> Candidate {
    Candidate {
        documents: vec![Document {
            name: "hand.json".to_owned(),
            content: json!({ "resources": resources }).to_string().into_bytes().into(),
            format: Format::Json,
        }],
        resources: Vec::new(),
    }
}

fn assignment_by_hand(cluster: &str) -> Value {
    let address = json!({ "socket_address": { "address": "10.9.9.9", "port_value": 9 } });
    json!([{
        "@type": ResourceType::Endpoint.type_url(),
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    }])
}

#[tokio::test]
async fn registrations_are_published_before_they_are_answered() {
    let fixture = Fixture::new();
    let first = fixture.register(at(1)).await;
    assert_eq!(fixture.published("a"), Some(vec![1]));
    fixture.register(at(2)).await;
    assert_eq!(fixture.published("a"), Some(vec![1, 2]));
    fixture.registry.deregister(first).await.unwrap();
    assert_eq!(fixture.published("a"), Some(vec![2]));
    assert!(matches!(
        fixture.registry.deregister(first).await,
        Err(RegistryError::NotFound(id)) if id == first
    ));
}

#[tokio::test]
async fn the_last_to_go_leaves_an_empty_cluster_not_none() {
    let fixture = Fixture::new();
    let only = fixture.register(at(1)).await;
    fixture.registry.deregister(only).await.unwrap();
    assert_eq!(fixture.published("a"), Some(vec![]));
}

#[tokio::test]
async fn a_burst_is_few_revisions() {
    let fixture = Fixture::new();
    let registering = (1..=200).map(|port| {
        let registry = fixture.registry.clone();
        fixture
            .tracker
            .spawn(async move { registry.register(at(port), None).await })
    });
    for task in registering.collect::<Vec<_>>() {
        assert!(task.await.unwrap().unwrap().created);
    }
    assert_eq!(fixture.published("a").unwrap().len(), 200);
    assert!(
        fixture.revision() < 100,
        "{} revisions for 200 endpoints",
        fixture.revision()
    );
}

#[tokio::test]
async fn the_same_address_is_the_same_endpoint_for_the_holder_of_its_id() {
    let fixture = Fixture::new();
    let first = fixture.registry.register(at(1), None).await.unwrap();
    let again = Registration {
        weight: Some(7),
        ..at(1)
    };
    let second = fixture.registry.register(again, first.id).await.unwrap();
    assert_eq!((second.id, first.created, second.created), (first.id, true, false));
    let endpoints = fixture.registry.endpoints();
    let lease = endpoints.get(first.id.unwrap()).unwrap();
    assert_eq!(lease.endpoint.registration.weight, Some(7));
    assert_eq!(fixture.published("a"), Some(vec![1]));
}

#[tokio::test]
async fn an_address_that_another_registered_is_neither_shortened_nor_taken_over() {
    let fixture = Fixture::new();
    let hour = Registration {
        ttl: Some(Duration::from_secs(3600)),
        ..at(1)
    };
    let id = fixture.register(hour.clone()).await;
    let other = fixture.register(at(2)).await;
    let evicting = Registration {
        ttl: Some(Duration::from_secs(1)),
        ..at(1)
    };
    let draining = Registration {
        health: Health::Draining,
        ..hour.clone()
    };
    for foreign in [evicting, draining, at(1)] {
        for id in [
            None,
            Some(other),
            Some("6f4c1f9e-6f5b-4b0e-8f5c-1c2f0f9f3a11".parse().unwrap()),
        ] {
            let refused = fixture.registry.register(foreign.clone(), id).await;
            assert!(matches!(refused, Err(RegistryError::Occupied(..))), "{refused:?}");
        }
    }
    // A restarted service repeats its registration, and does not learn the id that would remove it.
    let again = fixture.registry.register(hour.clone(), None).await.unwrap();
    assert_eq!((again.id, again.digest, again.created), (None, id.digest(), false));
    let endpoints = fixture.registry.endpoints();
    assert_eq!(endpoints.get(id).unwrap().endpoint.registration, hour);
    fixture.registry.deregister(id).await.unwrap();
    // The address is free again: the old id has no meaning any more.
    let anew = fixture.registry.register(hour, Some(id)).await.unwrap();
    assert!(anew.created && anew.id.is_some() && anew.id != Some(id));
}

#[tokio::test]
async fn public_digests_cannot_remove_endpoints() {
    let fixture = Fixture::new();
    let id = fixture.register(at(1)).await;
    let (_, snapshot) = fixture.publisher.get(&shared(), None).unwrap();
    let resource = snapshot.resource(&ResourceType::Endpoint, "a").unwrap();
    let published = String::from_utf8_lossy(&resource.body).into_owned();
    assert!(published.contains(&id.digest().to_string()));
    assert!(!published.contains(&id.to_string()));
    assert!(!format!("{:?}", fixture.registry).contains(&id.to_string()));
    assert!(
        id.digest()
            .to_string()
            .parse::<EndpointId>()
            .is_ok_and(|other| other != id)
    );
    // The text of a digest is the text of an id without its dashes.
    let seen: EndpointId = id.digest().to_string().parse().unwrap();
    assert!(matches!(
        fixture.registry.deregister(seen).await,
        Err(RegistryError::NotFound(_))
    ));
    assert_eq!(fixture.published("a"), Some(vec![1]));
}

#[tokio::test]
async fn endpoints_that_come_and_go_push_nothing_out_that_people_published() {
    let fixture = Fixture::new();
    let publish = |name: &str| {
        let request = PatchRequest {
            group: shared(),
            candidate: by_hand(&assignment_by_hand(name)),
            deletions: Vec::new(),
            options: PublishOptions {
                author: "people".to_owned(),
                ..PublishOptions::default()
            },
        };
        fixture.publisher.patch(request).unwrap().revision
    };
    let first = publish("one");
    for port in 1..=60 {
        let id = fixture.register(at(port)).await;
        if port % 2 == 0 {
            fixture.registry.deregister(id).await.unwrap();
        }
    }
    let second = publish("two");
    fixture.register(at(100)).await;
    let history = fixture.publisher.history(&shared(), 1_000).unwrap();
    let by_people = history.iter().filter(|info| info.author == "people");
    assert_eq!(by_people.map(|info| info.revision).collect::<Vec<_>>(), [second, first]);
    assert!(history.len() <= 4, "{history:?}");
    fixture.publisher.get(&shared(), Some(first)).unwrap();
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_runs_out() {
    let fixture = Fixture::new();
    let short = Registration {
        ttl: Some(Duration::from_millis(100)),
        ..at(1)
    };
    let id = fixture.register(short).await;
    fixture.register(at(2)).await;
    fixture.eventually(|| fixture.published("a") == Some(vec![2])).await;
    fixture
        .eventually(|| fixture.registry.endpoints().get(id).is_none())
        .await;
    assert!(fixture.registry.renew(id, Change::default()).await.is_err());
}

#[test]
fn a_renewal_begins_the_lease_anew_and_changes_what_it_says() {
    let ttl = Duration::from_secs(10);
    let (mut endpoints, start) = (Endpoints::default(), Instant::now());
    let with_lease = Registration {
        ttl: Some(ttl),
        ..at(1)
    };
    let (registered, _) = endpoints.apply(Action::Register(with_lease, None), start).unwrap();
    let id = registered.id.unwrap();
    let renew = |change| Action::Renew(id, change);
    let (_, changed) = endpoints.apply(renew(Change::default()), start + ttl / 2).unwrap();
    assert_eq!(changed, None, "a lease is not published");
    assert!(endpoints.expire(start + ttl).is_empty());
    let drain = Change {
        health: Some(Health::Draining),
        ..Change::default()
    };
    let (_, changed) = endpoints.apply(renew(drain), start + ttl / 2).unwrap();
    assert_eq!(changed.as_deref(), Some("a"));
    assert_eq!(endpoints.next_expiry(), Some(start + ttl / 2 + ttl));
    assert_eq!(endpoints.expire(start + ttl * 2), ["a"]);
    assert_eq!(endpoints.iter().count(), 0);
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let before = Fixture::new();
    let full = Registration {
        weight: Some(3),
        health: Health::Degraded,
        locality: Locality {
            region: "eu".to_owned(),
            zone: "eu-1".to_owned(),
            sub_zone: String::new(),
        },
        ttl: Some(Duration::from_secs(3600)),
        ..Registration::new("b", "::1".parse().unwrap(), 443)
    };
    let id = before.register(full.clone()).await;
    before.register(at(1)).await;
    let after = Fixture::over(before.stop().await);
    let endpoints = after.registry.endpoints();
    assert_eq!(endpoints.iter().count(), 2);
    let lease = endpoints.get(id).unwrap();
    assert_eq!(lease.endpoint.registration, full);
    assert!(lease.expires.is_some());
    let revision = after.revision();
    after.registry.renew(id, Change::default()).await.unwrap();
    assert_eq!(after.revision(), revision, "nothing changed that is published");
    after.registry.deregister(id).await.unwrap();
    assert_eq!(after.published("b"), Some(vec![]));
}

#[tokio::test]
async fn what_others_publish_to_the_shared_group_leaves_registrations_in_place() {
    let fixture = Fixture::new();
    fixture.register(at(1)).await;
    fixture
        .publisher
        .replace(ReplaceRequest {
            group: shared(),
            candidate: by_hand(&assignment_by_hand("other")),
            options: PublishOptions::default(),
        })
        .unwrap();
    fixture.eventually(|| fixture.published("a") == Some(vec![1])).await;
    assert_eq!(fixture.published("other"), Some(vec![9]));
    fixture.publisher.delete(&shared(), None).unwrap();
    fixture.eventually(|| fixture.published("a") == Some(vec![1])).await;
}

#[tokio::test]
async fn whoever_calls_themselves_registry_takes_no_registration_away() {
    let removals = RemovalGuard {
        returns: Some(is_registered),
        ..RemovalGuard::default()
    };
    let settings = PublisherSettings {
        removals,
        ..PublisherSettings::default()
    };
    let publisher = Publisher::open(Arc::new(MemoryStore::default()), Arc::default(), settings).unwrap();
    let fixture = Fixture::over(Arc::new(publisher));
    for port in 1..=5 {
        fixture.register(at(port)).await;
    }
    let as_registry = |resources: &Value| ReplaceRequest {
        group: shared(),
        candidate: by_hand(resources),
        options: PublishOptions {
            author: AUTHOR.to_owned(),
            ..PublishOptions::default()
        },
    };
    // Registered endpoints may go without a confirmation, since they come back. The author's name alone must not prevent that.
    let published = fixture
        .publisher
        .replace(as_registry(&assignment_by_hand("other")))
        .unwrap();
    fixture
        .eventually(|| fixture.published("a") == Some(vec![1, 2, 3, 4, 5]))
        .await;
    let history = fixture.publisher.history(&shared(), usize::MAX).unwrap();
    let by_hand = history.iter().find(|info| info.revision == published.revision);
    assert_eq!(by_hand.map(|info| info.origin), Some(Origin::AdminApi));
    assert_eq!(history[0].origin, Origin::Registry, "what was put back");
    let refused = fixture.publisher.replace(as_registry(&json!([]))).unwrap_err();
    assert!(matches!(refused, PublishError::Unconfirmed(_)), "{refused}");
}

#[tokio::test]
async fn endpoints_that_were_published_by_hand_are_not_taken_over() {
    let fixture = Fixture::new();
    let request = PatchRequest {
        group: shared(),
        candidate: by_hand(&assignment_by_hand("a")),
        deletions: Vec::new(),
        options: PublishOptions::default(),
    };
    fixture.publisher.patch(request).unwrap();
    let refused = fixture.registry.register(at(1), None).await;
    assert!(matches!(refused, Err(RegistryError::Taken(cluster)) if cluster == "a"));
    assert_eq!(fixture.published("a"), Some(vec![9]));
    assert_eq!(fixture.registry.endpoints().iter().count(), 0);
}

#[tokio::test]
async fn one_that_must_be_refused_does_not_take_the_others_with_it() {
    let fixture = Fixture::new();
    // A name that is too long for admission.
    let bad = Registration::new("x".repeat(3000), [10, 0, 0, 1].into(), 1);
    let (refused, taken) = tokio::join!(
        fixture.registry.register(bad, None),
        fixture.registry.register(at(1), None)
    );
    assert!(matches!(refused, Err(RegistryError::Publish(_))), "{refused:?}");
    assert!(taken.unwrap().created);
    assert_eq!(fixture.published("a"), Some(vec![1]));
}
