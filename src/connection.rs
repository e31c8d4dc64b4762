//! Who is at the other end of a connection: plain data, made where the connection is accepted, read where a call is judged.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

/// A connection as it was accepted. Servers put it in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The certificate of the client; `None` without TLS, and where the client showed none.
    pub certificate: Option<Arc<ClientCertificate>>,
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
