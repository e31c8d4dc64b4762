//! The inputs of the micro-benchmarks: candidates, a publisher over memory, and sessions that are driven by hand.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use chancery::{
    admission::{Candidate, Document, Format, Limits},
    cache::SnapshotCache,
    node::NodeGroup,
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
        envoy::config::core::v3::Node,
    },
    protocol::{Policy, Response, Scope, Session, Variant},
    publisher::{PatchRequest, PublishError, PublishOptions, Published, Publisher, PublisherSettings, ReplaceRequest},
    resource::ResourceType,
    revision::{MemoryStore, StoreError},
    snapshot::Snapshot,
};
use prost::Message;

/// The used fields of a `Cluster`.
#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "28")]
    alt_stat_name: String,
}

/// The used fields of an encoded `DiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
struct Resources {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<prost_types::Any>,
}

/// Clusters `numbers`, each of some 370 B; every edition differs.
#[must_use]
pub fn candidate(numbers: impl Iterator<Item = usize>, edition: u64) -> Candidate {
    let any = |number| {
        let cluster = Cluster {
            name: format!("cluster-{number:06}"),
            alt_stat_name: format!("{edition:08}{}", "-abcdefghij".repeat(31)),
        };
        prost_types::Any {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            value: cluster.encode_to_vec(),
        }
    };
    let resources = Resources {
        resources: numbers.map(any).collect(),
    };
    Candidate {
        documents: vec![Document {
            name: "micro.binpb".to_owned(),
            content: Bytes::from(resources.encode_to_vec()),
            format: Format::Binary,
        }],
        resources: Vec::new(),
    }
}

/// A group of clusters, and its publisher.
#[derive(Debug)]
pub struct World {
    publisher: Publisher,
    cache: Arc<SnapshotCache>,
    group: NodeGroup,
    resources: usize,
    edition: u64,
}

impl World {
    /// Publishes all clusters once.
    ///
    /// # Errors
    ///
    /// If the library refuses the clusters.
    pub fn new(resources: usize) -> Result<Self, PublishError> {
        let cache = Arc::new(SnapshotCache::new());
        let store = Arc::new(MemoryStore::default());
        let opened: Result<Publisher, StoreError> =
            Publisher::open(store, Arc::clone(&cache), PublisherSettings::default());
        let mut world = Self {
            publisher: opened?,
            cache,
            group: NodeGroup::from("micro"),
            resources,
            edition: 0,
        };
        world.replace()?;
        Ok(world)
    }

    /// Changes this many clusters.
    ///
    /// # Errors
    ///
    /// If the library refuses the change.
    pub fn patch(&mut self, count: usize) -> Result<Published, PublishError> {
        self.edition += 1;
        let at = usize::try_from(self.edition).unwrap_or(0) * 7;
        let numbers = (at..at + count).map(|number| number % self.resources);
        self.publisher.patch(PatchRequest {
            group: self.group.clone(),
            candidate: candidate(numbers, self.edition),
            deletions: Vec::new(),
            options: PublishOptions::default(),
        })
    }

    /// Publishes all clusters again, with new content.
    ///
    /// # Errors
    ///
    /// If the library refuses the clusters.
    pub fn replace(&mut self) -> Result<Published, PublishError> {
        self.edition += 1;
        self.publish_all(self.edition)
    }

    /// Publishes the current content again.
    ///
    /// # Errors
    ///
    /// If the library refuses the content.
    pub fn publish_all(&self, edition: u64) -> Result<Published, PublishError> {
        self.publisher.replace(ReplaceRequest {
            group: self.group.clone(),
            candidate: candidate(0..self.resources, edition),
            options: PublishOptions::default(),
        })
    }

    /// The edition of the last publish.
    #[must_use]
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    /// The snapshot that nodes are served.
    ///
    /// # Panics
    ///
    /// Never: the snapshot was published when this value was made.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.cache.get(&self.group).expect("the group is published in `new`")
    }
}

/// One wildcard stream of clusters, without a socket.
#[derive(Debug)]
pub struct Stream {
    session: Session,
    variant: Variant,
}

impl Stream {
    /// A stream that is subscribed, and in sync with `snapshot`.
    #[must_use]
    pub fn in_sync(variant: Variant, snapshot: &Arc<Snapshot>) -> Self {
        let policy = Arc::new(Policy::default());
        let session = Session::new(variant, Scope::Aggregated, policy, "1-1".into(), "node".to_owned());
        let mut stream = Self { session, variant };
        stream.request("");
        stream.follow(snapshot);
        stream
    }

    /// Advances the stream to `snapshot`, including ACKs. Returns the number of responses.
    pub fn follow(&mut self, snapshot: &Arc<Snapshot>) -> usize {
        self.session.on_snapshot(Arc::clone(snapshot));
        let mut responses = 0;
        while let Some(response) = self.session.poll_response(Instant::now()) {
            responses += 1;
            self.ack(&response);
        }
        while self.session.poll_outcome().is_some() {}
        responses
    }

    fn ack(&mut self, response: &Response) {
        let nonce = response.delivery.nonce.to_string();
        self.request(&nonce);
    }

    fn request(&mut self, nonce: &str) {
        let node = nonce.is_empty().then(|| Node {
            id: "node".to_owned(),
            ..Node::default()
        });
        let type_url = ResourceType::Cluster.type_url().to_owned();
        let accepted = match self.variant {
            Variant::Sotw => {
                let request = DiscoveryRequest {
                    node,
                    type_url,
                    response_nonce: nonce.to_owned(),
                    ..DiscoveryRequest::default()
                };
                self.session.on_request(&(&request).into())
            }
            Variant::Delta => {
                let request = DeltaDiscoveryRequest {
                    node,
                    type_url,
                    response_nonce: nonce.to_owned(),
                    ..DeltaDiscoveryRequest::default()
                };
                self.session.on_request(&(&request).into())
            }
        };
        accepted.expect("the requests above are sound");
    }
}

/// The limits that a server has by default.
#[must_use]
pub fn limits() -> Limits {
    Limits::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_sent_one_response_per_change() {
        for variant in [Variant::Sotw, Variant::Delta] {
            let mut world = World::new(100).unwrap();
            let mut stream = Stream::in_sync(variant, &world.snapshot());
            assert!(world.patch(1).unwrap().changed);
            assert_eq!(stream.follow(&world.snapshot()), 1);
            assert!(!world.publish_all(0).unwrap().dry_run);
        }
    }
}
