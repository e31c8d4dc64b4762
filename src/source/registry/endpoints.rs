//! All registrations, and the effect of commands on them. No I/O.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    assignment,
    command::{Action, MAX_ENDPOINTS, Registered, RegistryError},
    endpoint::{Change, Endpoint, EndpointDigest, EndpointId, Lease, Registration},
};

/// All registrations at one moment.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_digest: BTreeMap<EndpointDigest, Lease>,
    /// A cluster has an address at most once.
    by_address: BTreeMap<(String, SocketAddr), EndpointDigest>,
}

// === impl Endpoints ===

impl Endpoints {
    /// The number of endpoints.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Returns true without endpoints.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// Every endpoint, by digest.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_digest.values()
    }

    /// One endpoint.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<&Lease> {
        self.by_digest.get(&id.digest())
    }

    /// The endpoints of a cluster, by address.
    pub(super) fn of_cluster<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Lease> {
        let from = (cluster.to_owned(), SocketAddr::from(([0, 0, 0, 0], 0)));
        let places = self
            .by_address
            .range(from..)
            .take_while(move |((name, _), _)| name == cluster);
        places.filter_map(|(_, digest)| self.by_digest.get(digest))
    }

    /// The clusters that have endpoints, sorted.
    pub(super) fn clusters(&self) -> Vec<String> {
        let mut clusters: Vec<String> = self.by_address.keys().map(|(cluster, _)| cluster.clone()).collect();
        clusters.dedup();
        clusters
    }

    /// The next time at which a lease runs out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.iter().filter_map(|lease| lease.expires).min()
    }

    /// Removes expired endpoints. Returns the clusters that lost endpoints.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let gone = self
            .iter()
            .filter(|lease| lease.expires.is_some_and(|expires| expires <= now));
        let gone: Vec<EndpointDigest> = gone.map(|lease| lease.endpoint.digest).collect();
        gone.into_iter().filter_map(|digest| self.remove(digest)).collect()
    }

    /// Adds an endpoint that was registered before a restart.
    pub(super) fn recover(&mut self, endpoint: Endpoint, now: Instant) {
        self.put(endpoint, now);
    }

    /// Applies a command. Returns the cluster to publish, if it changed.
    pub(super) fn apply(
        &mut self,
        action: Action,
        now: Instant,
    ) -> Result<(Registered, Option<String>), RegistryError> {
        match action {
            Action::Register(registration, id) => {
                let cluster = registration.cluster_name.clone();
                self.register(registration, id, now)
                    .map(|registered| (registered, Some(cluster)))
            }
            Action::Renew(id, change) => self
                .renew(id, change, now)
                .map(|cluster| (Registered::known(id), cluster)),
            Action::Deregister(id) => {
                let cluster = self.remove(id.digest()).ok_or(RegistryError::NotFound(id))?;
                Ok((Registered::known(id), Some(cluster)))
            }
        }
    }

    /// Only the holder of its id may change an endpoint. Anyone may repeat a registration, which extends its lease and changes
    /// nothing else: a restarted service has forgotten its id.
    fn register(
        &mut self,
        registration: Registration,
        id: Option<EndpointId>,
        now: Instant,
    ) -> Result<Registered, RegistryError> {
        let Some(digest) = self.by_address.get(&registration.place()).copied() else {
            if self.by_digest.len() >= MAX_ENDPOINTS {
                return Err(RegistryError::Full);
            }
            let id = EndpointId::random();
            let digest = id.digest();
            self.put(Endpoint { digest, registration }, now);
            return Ok(Registered {
                id: Some(id),
                digest,
                created: true,
            });
        };
        let there = self.by_digest.get(&digest).map(|lease| &lease.endpoint.registration);
        let is_its_own = id.is_some_and(|id| id.digest() == digest);
        if !is_its_own && there != Some(&registration) {
            return Err(RegistryError::Occupied(registration.address, registration.cluster_name));
        }
        self.put(Endpoint { digest, registration }, now);
        Ok(Registered {
            id: id.filter(|_| is_its_own),
            digest,
            created: false,
        })
    }

    /// Renews a lease. Returns the cluster if its published endpoints change.
    fn renew(&mut self, id: EndpointId, change: Change, now: Instant) -> Result<Option<String>, RegistryError> {
        let lease = self.get(id).ok_or(RegistryError::NotFound(id))?;
        let before = Arc::clone(&lease.endpoint);
        let Change { weight, health, ttl } = change;
        let registration = Registration {
            weight: weight.or(before.registration.weight),
            health: health.unwrap_or(before.registration.health),
            ttl: ttl.or(before.registration.ttl),
            ..before.registration.clone()
        };
        let changed = registration != before.registration;
        let cluster = registration.cluster_name.clone();
        let digest = before.digest;
        self.put(Endpoint { digest, registration }, now);
        Ok(changed.then_some(cluster))
    }

    /// Removes an endpoint. Returns its cluster; `None` where the endpoint does not exist.
    fn remove(&mut self, digest: EndpointDigest) -> Option<String> {
        let lease = self.by_digest.remove(&digest)?;
        let place = lease.endpoint.registration.place();
        self.by_address.remove(&place);
        Some(place.0)
    }

    fn put(&mut self, endpoint: Endpoint, now: Instant) {
        let digest = endpoint.digest;
        self.by_address.insert(endpoint.registration.place(), digest);
        let expires = endpoint.registration.ttl.map(|ttl| now + ttl);
        let encoded = match self.by_digest.get(&digest) {
            Some(lease) if *lease.endpoint == endpoint => lease.encoded.clone(),
            Some(_) | None => assignment::encode_endpoint(&endpoint),
        };
        let lease = Lease {
            endpoint: Arc::new(endpoint),
            encoded,
            expires,
        };
        self.by_digest.insert(digest, lease);
    }
}
