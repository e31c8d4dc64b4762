//! Bytes of requests whose rest is still to come: how many there may be, of one peer and of all. A client decides how much it
//! sends of a message and when it goes on, so what it may leave here is ours to say.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

/// Bytes are counted in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How many bytes there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of all peers.
    pub(super) all: usize,
    /// Of all connections from one address.
    pub(super) peer: usize,
}

/// The bytes of all unfinished requests.
#[derive(Debug)]
pub(super) struct Unfinished {
    bounds: Bounds,
    all: AtomicUsize,
    peers: DashMap<IpAddr, usize>,
}

/// The bytes of one unfinished request; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Lease {
    unfinished: Arc<Unfinished>,
    peer: Option<IpAddr>,
    bytes: usize,
}

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("more than {0} bytes of unfinished requests are under way from one address")]
    Peer(usize),
    #[error("more than {0} bytes of unfinished requests are under way")]
    All(usize),
}

// === impl Unfinished ===

impl Unfinished {
    /// A peer may always finish one request of `request` bytes.
    pub(super) fn new(bounds: Bounds, request: usize) -> Self {
        let peer = bounds.peer.max(request.saturating_add(2 * PIECE));
        Self {
            bounds: Bounds {
                all: bounds.all.max(peer),
                peer,
            },
            all: AtomicUsize::new(0),
            peers: DashMap::new(),
        }
    }

    /// For the requests of one stream, of a peer where that is known.
    pub(super) fn lease(self: &Arc<Self>, peer: Option<IpAddr>) -> Lease {
        Lease {
            unfinished: Arc::clone(self),
            peer,
            bytes: 0,
        }
    }

    /// Bytes that are counted now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn take(&self, peer: Option<IpAddr>, more: usize) -> Result<(), Full> {
        let Bounds { all, peer: own } = self.bounds;
        let add = |held: usize| held.checked_add(more).filter(|held| *held <= all);
        let taken = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.map_err(|_| Full::All(all))?;
        let Some(peer) = peer else {
            return Ok(());
        };
        let mut held = self.peers.entry(peer).or_default();
        if *held + more > own {
            drop(held);
            self.all.fetch_sub(more, Ordering::Relaxed);
            self.forget(peer, 0);
            return Err(Full::Peer(own));
        }
        *held += more;
        Ok(())
    }

    fn give_back(&self, peer: Option<IpAddr>, bytes: usize) {
        self.all.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(peer) = peer {
            self.forget(peer, bytes);
        }
    }

    /// A peer that has nothing under way is not remembered.
    fn forget(&self, peer: IpAddr, bytes: usize) {
        if let Entry::Occupied(mut held) = self.peers.entry(peer) {
            *held.get_mut() -= bytes;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

// === impl Lease ===

impl Lease {
    /// The request has grown to so many bytes; never to fewer than before.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let needed = bytes.next_multiple_of(PIECE);
        if let Some(more) = needed.checked_sub(self.bytes).filter(|more| *more > 0) {
            self.unfinished.take(self.peer, more)?;
            self.bytes = needed;
        }
        Ok(())
    }

    /// The request is whole, or given up.
    pub(super) fn finish(&mut self) {
        if self.bytes > 0 {
            self.unfinished.give_back(self.peer, std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn unfinished() -> Arc<Unfinished> {
        let bounds = Bounds {
            all: 512 * KIB,
            peer: 256 * KIB,
        };
        Arc::new(Unfinished::new(bounds, 0))
    }

    fn peer(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    #[test]
    fn one_peer_has_its_share_over_all_its_streams_and_no_more() {
        let unfinished = unfinished();
        let (mut one, mut two, mut other) = (
            unfinished.lease(peer(1)),
            unfinished.lease(peer(1)),
            unfinished.lease(peer(2)),
        );
        assert_eq!(one.grow(200 * KIB), Ok(()));
        assert_eq!(two.grow(1), Err(Full::Peer(256 * KIB)));
        assert_eq!(other.grow(256 * KIB), Ok(()));
        assert_eq!(unfinished.lease(peer(3)).grow(1), Err(Full::All(512 * KIB)));
        one.finish();
        assert_eq!(two.grow(1), Ok(()));
        drop((one, two, other));
        assert_eq!((unfinished.bytes(), unfinished.peers.len()), (0, 0));
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let unfinished = unfinished();
        let mut lease = unfinished.lease(peer(1));
        assert!(lease.grow(300 * KIB).is_err());
        assert_eq!((unfinished.bytes(), unfinished.peers.len()), (0, 0));
        assert_eq!(lease.grow(256 * KIB), Ok(()));
    }

    #[test]
    fn one_request_may_always_be_finished() {
        let bounds = Bounds { all: 1, peer: 1 };
        let unfinished = Arc::new(Unfinished::new(bounds, 1000 * KIB));
        assert_eq!(unfinished.lease(None).grow(1000 * KIB), Ok(()));
        assert_eq!(unfinished.lease(peer(1)).grow(1000 * KIB), Ok(()));
    }
}
