//! How many connections there may be: in all, and of one peer.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;

use crate::{connection::counted_as, metrics::ConnectionRefusal};

/// The open connections of a port.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    most_of_peer: usize,
    open: AtomicUsize,
    /// Peers with open connections only.
    peers: DashMap<IpAddr, usize>,
}

/// The place of one connection; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    peer: IpAddr,
}

// === impl Crowd ===

impl Crowd {
    pub(crate) fn new(most: usize, most_of_peer: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_peer,
            open: AtomicUsize::new(0),
            peers: DashMap::new(),
        })
    }

    /// Takes a place for a connection of this peer.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Result<Place, ConnectionRefusal> {
        let peer = counted_as(peer);
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::Connections);
        }
        let mut of_peer = self.peers.entry(peer).or_insert(0);
        if *of_peer >= self.most_of_peer {
            drop(of_peer);
            self.open.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::Peer);
        }
        *of_peer += 1;
        drop(of_peer);
        Ok(Place {
            crowd: Arc::clone(self),
            peer,
        })
    }

    /// Connections that are open now.
    #[cfg(test)]
    fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.open.fetch_sub(1, Ordering::AcqRel);
        self.crowd.peers.remove_if_mut(&self.peer, |_, open| {
            *open -= 1;
            *open == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn a_peer_has_its_share_and_leaves_room_for_others() {
        let crowd = Crowd::new(3, 2);
        let _first = crowd.enter(v4(1)).unwrap();
        let second = crowd.enter(v4(1)).unwrap();
        assert_eq!(crowd.enter(v4(1)).unwrap_err(), ConnectionRefusal::Peer);
        let _other = crowd.enter(v4(2)).unwrap();
        assert_eq!(crowd.enter(v4(3)).unwrap_err(), ConnectionRefusal::Connections);
        drop(second);
        assert_eq!(crowd.open(), 2);
        crowd.enter(v4(1)).unwrap();
    }

    #[test]
    fn a_peer_that_left_is_forgotten() {
        let crowd = Crowd::new(3, 2);
        drop(crowd.enter(v4(1)).unwrap());
        assert_eq!((crowd.open(), crowd.peers.len()), (0, 0));
    }
}
