//! The ports: their TLS, and the connections open on them.

use std::path::PathBuf;

use super::super::{
    declare::{default_of, getter, optional, section},
    error::SettingsError,
    parts::PortName,
    value::{ByteSize, Span},
};
use crate::tls::{ClientAuth, TlsSettings};

section! {
    /// The port of the admin API.
    AdminLayer in "admin." with tls {}
}

section! {
    /// The HTTP port.
    HttpLayer in "http." with tls {
        /// further host names under which programs call the HTTP port, with or without a port; the loopback names are always
        /// allowed
        #[unit = "HOST,…"]
        allowed_hosts: Vec<String> = Vec::new();
    }
}

section! {
    /// The endpoint registry.
    RegistryLayer in "registry." {
        /// let services register their endpoints on the HTTP port; while it is off, its paths are 404, leases run out, and
        /// endpoints that others remove are not restored
        enabled: bool = false;
    }
}

section! {
    /// Limits on open connections, and on the time that a silent one may take.
    ConnectionsLayer in "connections." {
        /// connections open at once on the xDS port; fewer where the process may open fewer files, since probes and the
        /// admin API have a reserve
        max: usize = 20_000;
        /// connections open at once of one address on the xDS port, or of one IPv6 network of 64 bits; no more than half of
        /// all that are allowed
        max_per_peer: usize = 10_000;
        /// connections open at once on each other port; one address has at most half of them, so that nobody locks out
        /// operators and probes
        max_other: usize = 512;
        /// bytes of the headers of a request over HTTP/2; each counts with 32 bytes more than its name and value; a token
        /// is one of them
        max_header_bytes: ByteSize = ByteSize(16 << 10);
        /// time that a peer may take for its TLS handshake, and for its first bytes after it
        opening_timeout: Span = Span::seconds(10);
        /// time that a connection over HTTP/1.1 may stay without a byte
        idle_timeout: Span = Span::seconds(60);
        /// time that a request over HTTP/1.1 may take, its body included
        request_timeout: Span = Span::seconds(60);
        /// time for which a peer may read nothing of the bytes that wait for it
        unread_timeout: Span = Span::seconds(60);
    }
}

/// The files of a port, as set in its layer.
pub(super) struct TlsFiles<'a> {
    pub(super) cert: Option<&'a PathBuf>,
    pub(super) key: Option<&'a PathBuf>,
    pub(super) client_ca: Option<&'a PathBuf>,
    pub(super) crl: Option<&'a PathBuf>,
    pub(super) client_auth: Option<ClientAuth>,
}

// === impl TlsFiles ===

impl TlsFiles<'_> {
    /// The TLS settings; `None` for a port without TLS.
    pub(super) fn settings(&self, port: PortName) -> Result<Option<TlsSettings>, SettingsError> {
        let missing = |has: &str, lacks: &str| SettingsError::TlsIncomplete {
            port: port.text(),
            has: has.to_owned(),
            lacks: lacks.to_owned(),
        };
        let (cert, key) = match (self.cert, self.key) {
            (Some(cert), Some(key)) => (cert, key),
            (Some(_), None) => return Err(missing("tls_cert", "tls_key")),
            (None, Some(_)) => return Err(missing("tls_key", "tls_cert")),
            (None, None) if self.client_ca.is_some() => return Err(missing("client_ca", "tls_cert")),
            (None, None) if self.crl.is_some() => return Err(missing("crl", "tls_cert")),
            (None, None) if self.client_auth.is_some_and(|auth| auth != ClientAuth::None) => {
                return Err(missing("client_auth", "tls_cert"));
            }
            (None, None) => return Ok(None),
        };
        let client_auth = match (self.client_auth, self.client_ca) {
            (Some(auth), Some(_)) => auth,
            (None, Some(_)) => ClientAuth::Require,
            (None | Some(ClientAuth::None), None) => ClientAuth::None,
            (Some(ClientAuth::Require | ClientAuth::Request), None) => return Err(missing("client_auth", "client_ca")),
        };
        if self.crl.is_some() && client_auth == ClientAuth::None {
            let lacks = if self.client_ca.is_some() {
                "client_auth"
            } else {
                "client_ca"
            };
            return Err(missing("crl", lacks));
        }
        Ok(Some(TlsSettings {
            port: port.text(),
            cert: cert.clone(),
            key: key.clone(),
            client_ca: self.client_ca.cloned(),
            crl: self.crl.cloned(),
            client_auth,
        }))
    }
}
