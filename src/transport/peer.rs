//! The peer of a connection, as far as limits per peer need it: its address without the port.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::Extensions;

use super::rate::{Bucket, Rate};
use crate::connection::Connection;

/// Known peers before the first sweep of quiet ones.
const SWEEP_FROM: usize = 256;

/// The rate of new streams per peer, so that no peer uses up the rate of others.
#[derive(Debug)]
pub(super) struct PeerRates {
    rate: Rate,
    peers: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    of: HashMap<IpAddr, Bucket>,
    /// The number of known peers at which the next sweep runs.
    sweep_at: usize,
}

/// The address of the peer, from the server's [`Connection`].
pub(super) fn address(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<Connection>().map(|connection| connection.peer)
}

// === impl PeerRates ===

impl PeerRates {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            peers: Mutex::new(Buckets {
                of: HashMap::new(),
                sweep_at: SWEEP_FROM,
            }),
        }
    }

    /// Takes a token of the peer.
    ///
    /// # Errors
    ///
    /// The time until there is a token.
    pub(super) fn take(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = peers.of.len();
        if known >= peers.sweep_at {
            // A full bucket is equal to a new one.
            peers.of.retain(|_, bucket| !bucket.is_full(now));
            peers.sweep_at = SWEEP_FROM.max(2 * peers.of.len());
        }
        let rate = self.rate;
        peers.of.entry(peer).or_insert_with(|| Bucket::new(rate, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn a_peer_that_begins_too_many_streams_leaves_the_others_theirs() {
        let now = Instant::now();
        let rates = PeerRates::new(Rate { per_second: 1 });
        assert_eq!((0..100).filter(|_| rates.take(ip(1), now).is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| rates.take(ip(2), now).is_ok()).count(), 10);
    }

    #[test]
    fn peers_that_were_quiet_are_forgotten() {
        let now = Instant::now();
        let rates = PeerRates::new(Rate { per_second: 1 });
        let later = now + Duration::from_secs(60);
        for number in 0..200_000_u32 {
            let peer = std::net::Ipv4Addr::from_bits(number).into();
            rates.take(peer, if number < 100_000 { now } else { later }).unwrap();
        }
        let known = rates.peers.lock().unwrap().of.len();
        assert!(known <= 100_000, "{known} are remembered");
    }
}
