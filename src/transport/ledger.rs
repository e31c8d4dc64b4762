//! Limits of the bytes that clients make the server hold, per peer and in total. A client decides how much of a message
//! it sends, when it continues, and what it subscribes to, so the server limits what it holds.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

/// The kind of bytes that a ledger counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Requests that are not complete yet.
    Unfinished,
    /// Names, globs and presented versions of open streams.
    Subscribed,
}

/// The limits of a ledger, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For all peers together.
    pub(super) all: usize,
    /// For all connections of one address.
    pub(super) peer: usize,
}

/// The counts of all bytes of one kind.
#[derive(Debug)]
pub(super) struct Ledger {
    subject: Subject,
    bounds: Bounds,
    all: AtomicUsize,
    peers: DashMap<IpAddr, usize>,
}

/// The bytes of one holder, counted until the lease is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    ledger: Arc<Ledger>,
    peer: Option<IpAddr>,
    bytes: usize,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{subject} from one address take more than {most} bytes: limits.{} and limits.max_peer_share", .subject.setting())]
    Peer { subject: Subject, most: usize },
    #[error("{subject} take more than {most} bytes: limits.{}", .subject.setting())]
    All { subject: Subject, most: usize },
}

// === impl Subject ===

impl Subject {
    const fn setting(self) -> &'static str {
        match self {
            Self::Unfinished => "max_unfinished_bytes",
            Self::Subscribed => "max_total_subscribed_bytes",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "unfinished requests",
            Self::Subscribed => "names of all streams",
        })
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(subject: Subject, bounds: Bounds) -> Self {
        Self {
            subject,
            bounds: Bounds {
                all: bounds.all.max(bounds.peer),
                peer: bounds.peer,
            },
            all: AtomicUsize::new(0),
            peers: DashMap::new(),
        }
    }

    /// A ledger in which one peer may always have `least` bytes.
    pub(super) fn with_least(subject: Subject, bounds: Bounds, least: usize) -> Self {
        Self::new(
            subject,
            Bounds {
                peer: bounds.peer.max(least),
                ..bounds
            },
        )
    }

    /// A lease of 0 bytes for one holder, with its peer if known.
    pub(super) fn lease(self: &Arc<Self>, peer: Option<IpAddr>) -> Lease {
        Lease {
            ledger: Arc::clone(self),
            peer,
            bytes: 0,
        }
    }

    /// The number of counted bytes.
    pub(super) fn bytes(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn take(&self, peer: Option<IpAddr>, more: usize) -> Result<(), Full> {
        let Self {
            subject,
            bounds: Bounds { all, peer: own },
            ..
        } = *self;
        let add = |held: usize| held.checked_add(more).filter(|held| *held <= all);
        let taken = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.map_err(|_| Full::All { subject, most: all })?;
        let Some(peer) = peer else {
            return Ok(());
        };
        let mut held = self.peers.entry(peer).or_default();
        if *held + more > own {
            drop(held);
            self.all.fetch_sub(more, Ordering::Relaxed);
            self.forget(peer, 0);
            return Err(Full::Peer { subject, most: own });
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

    /// Removes a peer that holds nothing.
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
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Raises the count to `bytes`; never lowers it.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            self.ledger.take(self.peer, more)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Lowers the count to `bytes`; never raises it.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(less) = self.bytes.checked_sub(bytes).filter(|less| *less > 0) {
            self.ledger.give_back(self.peer, less);
            self.bytes = bytes;
        }
    }

    /// Lowers the count to 0.
    pub(super) fn finish(&mut self) {
        self.shrink(0);
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
    const SUBJECT: Subject = Subject::Unfinished;
    const PEER: Full = Full::Peer {
        subject: SUBJECT,
        most: 256 * KIB,
    };
    const ALL: Full = Full::All {
        subject: SUBJECT,
        most: 512 * KIB,
    };

    fn ledger() -> Arc<Ledger> {
        let bounds = Bounds {
            all: 512 * KIB,
            peer: 256 * KIB,
        };
        Arc::new(Ledger::new(SUBJECT, bounds))
    }

    fn peer(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    #[test]
    fn one_peer_has_its_share_over_all_its_streams_and_no_more() {
        let ledger = ledger();
        let (mut one, mut two, mut other) = (ledger.lease(peer(1)), ledger.lease(peer(1)), ledger.lease(peer(2)));
        assert_eq!(one.grow(200 * KIB), Ok(()));
        assert_eq!(two.grow(57 * KIB), Err(PEER));
        assert_eq!(other.grow(256 * KIB), Ok(()));
        assert_eq!(ledger.lease(peer(3)).grow(57 * KIB), Err(ALL));
        one.shrink(100 * KIB);
        assert_eq!(two.grow(57 * KIB), Ok(()));
        drop((one, two, other));
        assert_eq!((ledger.bytes(), ledger.peers.len()), (0, 0));
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let ledger = ledger();
        let mut lease = ledger.lease(peer(1));
        assert!(lease.grow(300 * KIB).is_err());
        assert_eq!((ledger.bytes(), ledger.peers.len()), (0, 0));
        assert_eq!(lease.grow(256 * KIB), Ok(()));
    }

    #[test]
    fn the_least_of_a_peer_is_always_left_to_it() {
        let bounds = Bounds { all: 1, peer: 1 };
        let ledger = Arc::new(Ledger::with_least(SUBJECT, bounds, 1000 * KIB));
        assert_eq!(ledger.lease(None).grow(1000 * KIB), Ok(()));
        assert_eq!(ledger.lease(peer(1)).grow(1000 * KIB), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_setting() {
        assert_eq!(
            PEER.to_string(),
            "unfinished requests from one address take more than 262144 bytes: limits.max_unfinished_bytes and \
             limits.max_peer_share"
        );
        let all = Full::All {
            subject: Subject::Subscribed,
            most: 7,
        };
        assert_eq!(
            all.to_string(),
            "names of all streams take more than 7 bytes: limits.max_total_subscribed_bytes"
        );
    }
}
