//! Who is at the other end of a connection: plain data, made where the connection is accepted, read where a call is judged.

mod pace;
mod seat;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::{
    pace::{CoarseClock, Pace},
    seat::{Busy, Seat},
};

/// A connection as it was accepted. Servers put it in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The certificate of the client; `None` without TLS, and where the client showed none.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Its place on the port. Without it no request could say that it is under way.
    pub seat: Arc<Seat>,
}

/// The certificate of a client, verified against the CAs of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// URIs among its subject alternative names, as in `spiffe://prod/ns/shop/sa/cart`.
    pub uris: Vec<String>,
    /// DNS names among them.
    pub dns_names: Vec<String>,
    /// When it expires.
    pub not_after: SystemTime,
    /// SHA-256 of its encoded form, in hexadecimal digits.
    pub fingerprint: String,
}

/// What a port lets an HTTP/2 peer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Streams open at once on a connection.
    pub streams: u32,
    /// Bytes that may be under way to us on a stream.
    pub stream_window: u32,
    /// The same on a connection.
    pub connection_window: u32,
    /// Bytes that wait to be written on a stream.
    pub send_buffer: usize,
    /// Bytes of the headers of a request, as HTTP/2 counts them.
    pub header_bytes: u32,
    /// Streams that a peer may have reset before we looked at them: more end the connection.
    pub reset_streams: usize,
    /// Streams that we may have had to reset for errors of the peer: more end the connection.
    pub failed_streams: usize,
    /// A PING when the connection was quiet for so long.
    pub keepalive_interval: Duration,
    /// How long it may go unanswered.
    pub keepalive_timeout: Duration,
    /// How long a peer may leave what it was sent of a response before the response is given up; `None` for ever.
    pub send_timeout: Option<Duration>,
}

/// What a peer is counted as where each may take a part: an address, and of IPv6 the network of 64 bits, of which a host has
/// all addresses.
#[must_use]
pub fn counted_as(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_counts_as_one_however_many_addresses_it_has() {
        let counted = |address: &str| counted_as(address.parse().unwrap());
        assert_eq!(counted("10.0.0.1:1"), counted("10.0.0.1:2"));
        assert_eq!(counted("[::ffff:10.0.0.1]:1"), counted("10.0.0.1:2"));
        assert_eq!(counted("[2001:db8::1]:1"), counted("[2001:db8::ffff:1]:1"));
        assert_ne!(counted("[2001:db8::1]:1"), counted("[2001:db8:0:1::1]:1"));
    }
}
