//! Tokens that were verified: a hash is made to be slow, so it is checked once for each token and not for each call.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::{Rules, Unverified};
use crate::access::TokenIdentity;

/// Hashes that are checked at once: each takes some ten MiB and a core.
const AT_ONCE: usize = 2;
/// Checks that are under way or wait. Beyond them whoever comes is sent away: strangers must not make everybody wait.
const WAITING: usize = 64;
/// Tokens remembered.
const REMEMBERED: usize = 10_000;

/// Checks tokens, and remembers those that were right.
pub(super) struct Verified {
    /// Differs between processes: what is remembered of a token is of no use elsewhere.
    key: [u8; blake3::KEY_LEN],
    known: Mutex<HashMap<blake3::Hash, TokenIdentity>>,
    waiting: Semaphore,
    checking: Arc<Semaphore>,
    tracker: TaskTracker,
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
            waiting: Semaphore::new(WAITING),
            checking: Arc::new(Semaphore::new(AT_ONCE)),
            tracker,
        }
    }

    /// Who shows this token.
    pub(super) async fn token(
        &self,
        rules: &Arc<Rules>,
        name: &str,
        secret: &str,
        now: SystemTime,
    ) -> Result<TokenIdentity, Unverified> {
        let mut print = blake3::Hasher::new_keyed(&self.key);
        print.update(name.as_bytes()).update(b".").update(secret.as_bytes());
        let print = print.finalize();
        if let Some(known) = self.known(&print).filter(|known| rules.tokens.still(known, now)) {
            return Ok(known);
        }
        let _place = self.waiting.try_acquire().map_err(|_| Unverified::Busy)?;
        let turn = Arc::clone(&self.checking)
            .acquire_owned()
            .await
            .map_err(|_| Unverified::Busy)?;
        let (rules, name, secret) = (Arc::clone(rules), name.to_owned(), secret.to_owned());
        let check = self.tracker.spawn_blocking(move || {
            // Held by the check and not by who waits for it: who hangs up frees no core.
            let _turn = turn;
            rules.tokens.verify(&name, &secret, now)
        });
        let found = check.await.unwrap_or_else(|error| {
            error!(%error, "a token could not be checked");
            None
        });
        let found = found.ok_or(Unverified::Token)?;
        self.remember(print, found.clone());
        Ok(found)
    }

    fn known(&self, print: &blake3::Hash) -> Option<TokenIdentity> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(print)
            .cloned()
    }

    fn remember(&self, print: blake3::Hash, token: TokenIdentity) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(print, token);
    }
}
