//! Verified tokens: checking a hash is slow by design, so each token is checked once and not at every call.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::{Rules, Unverified};
use crate::access::TokenIdentity;

/// The number of hashes checked at once: each takes some ten MiB and a core.
const AT_ONCE: usize = 2;
/// The number of checks under way or waiting; further clients are refused, so that strangers cannot make everyone wait.
const WAITING: usize = 64;
/// The number of those checks for one peer, so that a guesser delays others by no more than these.
const WAITING_OF_PEER: usize = 4;
/// The number of tokens remembered: so many right ones, and so many wrong ones.
const REMEMBERED: usize = 10_000;

/// Verifies tokens, and remembers the results.
pub(super) struct Verified {
    /// Random per process, so that a remembered fingerprint is of no use elsewhere.
    key: [u8; blake3::KEY_LEN],
    known: Mutex<HashMap<blake3::Hash, TokenIdentity>>,
    /// Fingerprints of wrong tokens: a fleet with an old token shows it again and again.
    wrong: Mutex<HashSet<blake3::Hash>>,
    peers: Arc<Peers>,
    waiting: Semaphore,
    checking: Arc<Semaphore>,
    tracker: TaskTracker,
}

/// The number of checks under way or waiting, per peer.
#[derive(Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One counted check; dropping it uncounts the check.
struct Place {
    peers: Arc<Peers>,
    peer: Option<IpAddr>,
}

// === impl Peers ===

impl Peers {
    fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, Unverified> {
        if let Some(peer) = peer {
            let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let own = peers.entry(peer).or_default();
            if *own >= WAITING_OF_PEER {
                return Err(Unverified::Busy);
            }
            *own += 1;
        }
        Ok(Place {
            peers: Arc::clone(self),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut peers = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut own) = peers.entry(peer) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

// === impl Verified ===

impl Verified {
    pub(super) fn new(tracker: TaskTracker) -> Self {
        let mut key = [0; blake3::KEY_LEN];
        for part in key.chunks_mut(8) {
            part.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        Self {
            key,
            known: Mutex::default(),
            wrong: Mutex::default(),
            peers: Arc::default(),
            waiting: Semaphore::new(WAITING),
            checking: Arc::new(Semaphore::new(AT_ONCE)),
            tracker,
        }
    }

    /// Verifies a token, from memory where its result is known.
    pub(super) async fn token(
        &self,
        rules: &Arc<Rules>,
        name: &str,
        secret: &str,
        peer: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<TokenIdentity, Unverified> {
        // No hash is checked for an unknown name. That shows which names exist, but names are not secret: they stand in
        // rules and logs, and no name helps to guess 32 random bytes.
        let line = rules.tokens.in_force(name, now).ok_or(Unverified::Token)?;
        let mut fingerprint = blake3::Hasher::new_keyed(&self.key);
        fingerprint
            .update(name.as_bytes())
            .update(b".")
            .update(secret.as_bytes());
        // The line of the file is part of the fingerprint: when the line changes, the token is checked again.
        fingerprint.update(b":").update(line.to_string().as_bytes());
        let fingerprint = fingerprint.finalize();
        if let Some(known) = self.known(&fingerprint).filter(|known| rules.tokens.still(known, now)) {
            return Ok(known);
        }
        if self
            .wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&fingerprint)
        {
            return Err(Unverified::Token);
        }
        let place = self.peers.enter(peer)?;
        let _everybodys = self.waiting.try_acquire().map_err(|_| Unverified::Busy)?;
        let turn = Arc::clone(&self.checking)
            .acquire_owned()
            .await
            .map_err(|_| Unverified::Busy)?;
        let (rules, name, secret) = (Arc::clone(rules), name.to_owned(), secret.to_owned());
        let check = self.tracker.spawn_blocking(move || {
            // Held by the check, not by the waiting client: a client that hangs up frees no core.
            let _held = (turn, place);
            rules.tokens.verify(&name, &secret, now)
        });
        let found = check.await.unwrap_or_else(|error| {
            error!(%error, "a token could not be checked");
            None
        });
        let Some(found) = found else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if wrong.len() >= REMEMBERED {
                wrong.clear();
            }
            wrong.insert(fingerprint);
            return Err(Unverified::Token);
        };
        self.remember(fingerprint, found.clone());
        Ok(found)
    }

    fn known(&self, fingerprint: &blake3::Hash) -> Option<TokenIdentity> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(fingerprint)
            .cloned()
    }

    fn remember(&self, fingerprint: blake3::Hash, token: TokenIdentity) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(fingerprint, token);
    }
}
