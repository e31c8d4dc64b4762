//! The limits on connections: in all, and per peer. At a limit the oldest connection without a request makes room for a new
//! one, so nobody keeps others out by holding connections open.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    connection::{Seat, counted_as},
    metrics::ConnectionRefusal,
};

/// The open connections of a port.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    most_of_peer: usize,
    taken: Mutex<Taken>,
}

/// The seats that are taken. A seat that was given up is not among them, even before its connection is closed.
#[derive(Debug, Default)]
struct Taken {
    /// Seats in order of arrival.
    seats: BTreeMap<u64, (IpAddr, Arc<Seat>)>,
    /// The number of seats of each peer; peers without seats are not in the map.
    peers: HashMap<IpAddr, usize>,
    /// The number of the next arrival.
    next: u64,
}

/// The place of one connection; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    seat: Arc<Seat>,
    /// Another connection was closed for this place.
    displaces: bool,
}

// === impl Crowd ===

impl Crowd {
    pub(crate) fn new(most: usize, most_of_peer: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_peer,
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a connection of this peer; at a limit, takes it from an idle connection.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Result<Place, ConnectionRefusal> {
        let peer = counted_as(peer);
        let seat = Arc::new(Seat::default());
        let (number, displaced) = self.lock().enter(peer, &seat, self.most, self.most_of_peer)?;
        if let Some(displaced) = &displaced {
            displaced.give_up();
        }
        Ok(Place {
            crowd: Arc::clone(self),
            number,
            seat,
            displaces: displaced.is_some(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Taken {
    /// Takes a seat; returns its number, and the seat that made room for it.
    fn enter(
        &mut self,
        peer: IpAddr,
        seat: &Arc<Seat>,
        most: usize,
        most_of_peer: usize,
    ) -> Result<(u64, Option<Arc<Seat>>), ConnectionRefusal> {
        let of_peer = self.peers.get(&peer).copied().unwrap_or_default();
        let displaced = if of_peer >= most_of_peer {
            // Only a connection of the same peer: a peer does not grow at the cost of others.
            Some(self.displace(|of| of == peer).ok_or(ConnectionRefusal::Peer)?)
        } else if self.seats.len() >= most {
            Some(self.displace(|_| true).ok_or(ConnectionRefusal::Connections)?)
        } else {
            None
        };
        let number = self.next;
        self.next += 1;
        self.seats.insert(number, (peer, Arc::clone(seat)));
        *self.peers.entry(peer).or_default() += 1;
        Ok((number, displaced))
    }

    /// Removes the oldest seat without a request, among peers that `is_asked` accepts.
    fn displace(&mut self, is_asked: impl Fn(IpAddr) -> bool) -> Option<Arc<Seat>> {
        let mut seats = self.seats.iter();
        let idle = seats.find(|(_, (peer, seat))| is_asked(*peer) && !seat.is_busy());
        let number = *idle?.0;
        self.leave(number)
    }

    /// Removes a seat if it is still there.
    fn leave(&mut self, number: u64) -> Option<Arc<Seat>> {
        let (peer, seat) = self.seats.remove(&number)?;
        if let Entry::Occupied(mut of_peer) = self.peers.entry(peer) {
            *of_peer.get_mut() -= 1;
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
        Some(seat)
    }
}

// === impl Place ===

impl Place {
    /// The seat, for the server of the connection.
    pub(crate) const fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Returns true if another connection was closed for this place.
    pub(crate) const fn displaces(&self) -> bool {
        self.displaces
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A seat that was given up is no longer in the map, so this does not count it twice.
        self.crowd.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    /// The number of taken seats and of peers with seats.
    fn counts(crowd: &Crowd) -> (usize, usize) {
        let taken = crowd.lock();
        assert_eq!(taken.peers.values().sum::<usize>(), taken.seats.len());
        (taken.seats.len(), taken.peers.len())
    }

    #[test]
    fn a_peer_has_its_share_and_leaves_room_for_others() {
        let crowd = Crowd::new(3, 2);
        let first = crowd.enter(v4(1)).unwrap();
        let second = crowd.enter(v4(1)).unwrap();
        let _requests = (first.seat().busy(), second.seat().busy());
        assert_eq!(crowd.enter(v4(1)).unwrap_err(), ConnectionRefusal::Peer);
        let other = crowd.enter(v4(2)).unwrap();
        let _request = other.seat().busy();
        assert_eq!(crowd.enter(v4(3)).unwrap_err(), ConnectionRefusal::Connections);
        drop(second);
        assert_eq!(counts(&crowd), (2, 2));
        assert!(!crowd.enter(v4(1)).unwrap().displaces());
    }

    #[test]
    fn a_peer_that_left_is_forgotten() {
        let crowd = Crowd::new(3, 2);
        drop(crowd.enter(v4(1)).unwrap());
        assert_eq!(counts(&crowd), (0, 0));
    }

    #[test]
    fn longest_open_without_a_request_makes_room() {
        let crowd = Crowd::new(3, 2);
        let places = [1, 2, 3].map(|peer| crowd.enter(v4(peer)).unwrap());
        let request = places[0].seat().busy();
        let newcomer = crowd.enter(v4(4)).unwrap();
        assert!(newcomer.displaces());
        let given_up = || places.each_ref().map(|place| place.seat().is_given_up());
        assert_eq!(given_up(), [false, true, false]);
        drop(request);
        let _other = crowd.enter(v4(5)).unwrap();
        assert_eq!(given_up(), [true, true, false]);
        assert!(!newcomer.seat().is_given_up());
    }

    #[test]
    fn share_of_a_peer_makes_room_for_its_own_only() {
        let crowd = Crowd::new(4, 2);
        let other = crowd.enter(v4(2)).unwrap();
        let own = [1, 1].map(|peer| crowd.enter(v4(peer)).unwrap());
        let _newest = crowd.enter(v4(1)).unwrap();
        assert!(own[0].seat().is_given_up());
        assert!(!own[1].seat().is_given_up() && !other.seat().is_given_up());
    }

    #[test]
    fn seat_that_was_given_up_counts_down_once() {
        let crowd = Crowd::new(2, 2);
        let displaced = crowd.enter(v4(1)).unwrap();
        let stays = crowd.enter(v4(2)).unwrap();
        let newcomer = crowd.enter(v4(1)).unwrap();
        assert!(displaced.seat().is_given_up());
        assert_eq!(counts(&crowd), (2, 2));
        drop(displaced);
        assert_eq!(counts(&crowd), (2, 2));
        drop(newcomer);
        assert_eq!(counts(&crowd), (1, 1));
        drop(stays);
        assert_eq!(counts(&crowd), (0, 0));
    }

    #[test]
    fn seat_that_gets_busy_after_it_was_given_up_stays_given_up() {
        let crowd = Crowd::new(1, 1);
        let displaced = crowd.enter(v4(1)).unwrap();
        let newcomer = crowd.enter(v4(2)).unwrap();
        let _request = displaced.seat().busy();
        assert!(displaced.seat().is_given_up());
        drop(displaced);
        let _request = newcomer.seat().busy();
        assert_eq!(crowd.enter(v4(3)).unwrap_err(), ConnectionRefusal::Connections);
    }
}
