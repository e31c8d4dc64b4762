//! The peer of a connection, as plain data: made where the connection is accepted, read where a call is authorized.

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
    /// The certificate of the client; `None` without TLS or without a client certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The seat of the connection on its port. Requests mark the seat as busy.
    pub seat: Arc<Seat>,
}

/// The certificate of a client, verified against the CAs of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// URIs among its subject alternative names, as in `spiffe://prod/ns/shop/sa/cart`.
    pub uris: Vec<String>,
    /// DNS names among its subject alternative names.
    pub dns_names: Vec<String>,
    /// The end of its validity.
    pub not_after: SystemTime,
    /// SHA-256 of the encoded certificate, in hexadecimal digits.
    pub fingerprint: String,
}

/// The limits of an HTTP/2 peer on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Open streams per connection.
    pub streams: u32,
    /// Flow-control window of a stream for what the peer sends, in bytes.
    pub stream_window: u32,
    /// Flow-control window of a connection for what the peer sends, in bytes.
    pub connection_window: u32,
    /// Bytes of a stream that may wait to be written.
    pub send_buffer: usize,
    /// Bytes of a request's headers, as HTTP/2 counts them.
    pub header_bytes: u32,
    /// Streams that the peer reset before the server handled them; more end the connection.
    pub reset_streams: usize,
    /// Streams that the server reset for errors of the peer; more end the connection.
    pub failed_streams: usize,
    /// Idle time of a connection before the server sends a PING.
    pub keepalive_interval: Duration,
    /// Time that the peer has to answer a PING.
    pub keepalive_timeout: Duration,
    /// Time that the peer has to read a sent part of a response before the response is given up; `None` for no limit.
    pub send_timeout: Option<Duration>,
}

/// The address under which a peer is counted: IPv4, or the IPv6 /64 network, since a host has a whole /64.
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
