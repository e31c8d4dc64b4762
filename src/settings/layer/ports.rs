//! The ports: their TLS, what may be open on them, and which may be reached without TLS.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        SettingsError,
        value::{ByteSize, Span},
    },
    Layer, XdsLayer,
};
use crate::tls::{ClientAuth, TlsSettings};

/// A port that may be told to do without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortName {
    /// xDS over gRPC.
    Xds,
    /// The admin API.
    Admin,
    /// xDS over REST and the endpoint registry.
    Http,
}

/// How the admin API is reached.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminLayer {
    /// The certificate of this port, with those between it and its CA (PEM); followed as it changes
    #[arg(
        id = "admin_tls_cert",
        long = "admin-tls-cert",
        env = "CHANCERY_ADMIN_TLS_CERT",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        id = "admin_tls_key",
        long = "admin-tls-key",
        env = "CHANCERY_ADMIN_TLS_KEY",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// CAs that sign the certificates of clients: PEM, or a SPIFFE trust bundle
    #[arg(
        id = "admin_client_ca",
        long = "admin-client-ca",
        env = "CHANCERY_ADMIN_CLIENT_CA",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Certificates of clients that were revoked: a list (CRL) of each of these CAs, PEM or DER; followed as it changes
    #[arg(
        id = "admin_crl",
        long = "admin-crl",
        env = "CHANCERY_ADMIN_CRL",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether a client must show a certificate: require where there is a CA, else none
    #[arg(
        id = "admin_client_auth",
        long = "admin-client-auth",
        env = "CHANCERY_ADMIN_CLIENT_AUTH",
        value_name = "MODE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

/// How the HTTP port is reached.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLayer {
    /// Names by which programs call the HTTP port beside those of the loopback, comma-separated
    #[arg(
        id = "http_allowed_hosts",
        long = "http-allowed-hosts",
        env = "CHANCERY_HTTP_ALLOWED_HOSTS",
        value_name = "HOST,…",
        value_delimiter = ','
    )]
    pub allowed_hosts: Option<Vec<String>>,
    /// The certificate of this port, with those between it and its CA (PEM); followed as it changes
    #[arg(
        id = "http_tls_cert",
        long = "http-tls-cert",
        env = "CHANCERY_HTTP_TLS_CERT",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        id = "http_tls_key",
        long = "http-tls-key",
        env = "CHANCERY_HTTP_TLS_KEY",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// CAs that sign the certificates of clients: PEM, or a SPIFFE trust bundle
    #[arg(
        id = "http_client_ca",
        long = "http-client-ca",
        env = "CHANCERY_HTTP_CLIENT_CA",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Certificates of clients that were revoked: a list (CRL) of each of these CAs, PEM or DER; followed as it changes
    #[arg(id = "http_crl", long = "http-crl", env = "CHANCERY_HTTP_CRL", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether a client must show a certificate: require where there is a CA, else none
    #[arg(
        id = "http_client_auth",
        long = "http-client-auth",
        env = "CHANCERY_HTTP_CLIENT_AUTH",
        value_name = "MODE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

/// What connections may be open, and how long a silent one is waited for.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsLayer {
    /// Connections open at once on the xDS port; fewer where the process may open fewer files
    #[arg(
        id = "connections_max",
        long = "connections-max",
        env = "CHANCERY_CONNECTIONS_MAX",
        value_name = "COUNT"
    )]
    pub max: Option<usize>,
    /// Of these, connections of one address; no more than half of what there may be
    #[arg(
        id = "connections_max_per_peer",
        long = "connections-max-per-peer",
        env = "CHANCERY_CONNECTIONS_MAX_PER_PEER",
        value_name = "COUNT"
    )]
    pub max_per_peer: Option<usize>,
    /// Connections open at once on each other port
    #[arg(
        id = "connections_max_other",
        long = "connections-max-other",
        env = "CHANCERY_CONNECTIONS_MAX_OTHER",
        value_name = "COUNT"
    )]
    pub max_other: Option<usize>,
    /// Bytes of the headers of a request over HTTP/2; a token is one of them
    #[arg(
        id = "connections_max_header_bytes",
        long = "connections-max-header-bytes",
        env = "CHANCERY_CONNECTIONS_MAX_HEADER_BYTES",
        value_name = "SIZE"
    )]
    pub max_header_bytes: Option<ByteSize>,
    /// How long a peer may take for its TLS handshake, and for its first bytes after it
    #[arg(
        id = "connections_opening_timeout",
        long = "connections-opening-timeout",
        env = "CHANCERY_CONNECTIONS_OPENING_TIMEOUT",
        value_name = "DURATION"
    )]
    pub opening_timeout: Option<Span>,
    /// How long a connection over HTTP/1.1 may stay without a byte
    #[arg(
        id = "connections_idle_timeout",
        long = "connections-idle-timeout",
        env = "CHANCERY_CONNECTIONS_IDLE_TIMEOUT",
        value_name = "DURATION"
    )]
    pub idle_timeout: Option<Span>,
    /// How long a request over HTTP/1.1 may take, its body included
    #[arg(
        id = "connections_request_timeout",
        long = "connections-request-timeout",
        env = "CHANCERY_CONNECTIONS_REQUEST_TIMEOUT",
        value_name = "DURATION"
    )]
    pub request_timeout: Option<Span>,
    /// How long a peer may take in nothing of what waits for it
    #[arg(
        id = "connections_unread_timeout",
        long = "connections-unread-timeout",
        env = "CHANCERY_CONNECTIONS_UNREAD_TIMEOUT",
        value_name = "DURATION"
    )]
    pub unread_timeout: Option<Span>,
}

// === impl PortName ===

impl PortName {
    /// As it is written in settings.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Xds => "xds",
            Self::Admin => "admin",
            Self::Http => "http",
        }
    }
}

/// The files of a port, as its layer has them.
pub(in crate::settings) struct TlsFiles<'a> {
    port: PortName,
    cert: Option<&'a PathBuf>,
    key: Option<&'a PathBuf>,
    client_ca: Option<&'a PathBuf>,
    crl: Option<&'a PathBuf>,
    client_auth: Option<ClientAuth>,
}

impl TlsFiles<'_> {
    /// The settings of TLS; `None` where the port has none.
    pub(in crate::settings) fn settings(&self) -> Result<Option<TlsSettings>, SettingsError> {
        let missing = |has: &str, lacks: &str| SettingsError::TlsIncomplete {
            port: self.port.text(),
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
            port: self.port.text(),
            cert: cert.clone(),
            key: key.clone(),
            client_ca: self.client_ca.cloned(),
            crl: self.crl.cloned(),
            client_auth,
        }))
    }
}

impl XdsLayer {
    pub(in crate::settings) const fn tls(&self) -> TlsFiles<'_> {
        TlsFiles {
            port: PortName::Xds,
            cert: self.tls_cert.as_ref(),
            key: self.tls_key.as_ref(),
            client_ca: self.client_ca.as_ref(),
            crl: self.crl.as_ref(),
            client_auth: self.client_auth,
        }
    }
}

// === impl AdminLayer ===

impl AdminLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            client_ca: self.client_ca.or(below.client_ca),
            crl: self.crl.or(below.crl),
            client_auth: self.client_auth.or(below.client_auth),
        }
    }

    pub(in crate::settings) const fn tls(&self) -> TlsFiles<'_> {
        TlsFiles {
            port: PortName::Admin,
            cert: self.tls_cert.as_ref(),
            key: self.tls_key.as_ref(),
            client_ca: self.client_ca.as_ref(),
            crl: self.crl.as_ref(),
            client_auth: self.client_auth,
        }
    }
}

// === impl HttpLayer ===

impl HttpLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            allowed_hosts: self.allowed_hosts.or(below.allowed_hosts),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            client_ca: self.client_ca.or(below.client_ca),
            crl: self.crl.or(below.crl),
            client_auth: self.client_auth.or(below.client_auth),
        }
    }

    pub(in crate::settings) const fn tls(&self) -> TlsFiles<'_> {
        TlsFiles {
            port: PortName::Http,
            cert: self.tls_cert.as_ref(),
            key: self.tls_key.as_ref(),
            client_ca: self.client_ca.as_ref(),
            crl: self.crl.as_ref(),
            client_auth: self.client_auth,
        }
    }
}

// === impl ConnectionsLayer ===

impl ConnectionsLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            max: self.max.or(below.max),
            max_per_peer: self.max_per_peer.or(below.max_per_peer),
            max_other: self.max_other.or(below.max_other),
            max_header_bytes: self.max_header_bytes.or(below.max_header_bytes),
            opening_timeout: self.opening_timeout.or(below.opening_timeout),
            idle_timeout: self.idle_timeout.or(below.idle_timeout),
            request_timeout: self.request_timeout.or(below.request_timeout),
            unread_timeout: self.unread_timeout.or(below.unread_timeout),
        }
    }
}

// === impl Layer ===

impl Layer {
    /// Whether a port may be reached from elsewhere without TLS.
    pub(in crate::settings) fn is_insecure(&self, port: PortName) -> bool {
        self.insecure.as_ref().is_some_and(|ports| ports.contains(&port))
    }

    /// A port that others can reach needs TLS, or leave to do without it.
    pub(in crate::settings) fn may_listen(
        &self,
        port: PortName,
        addr: SocketAddr,
        tls: Option<&TlsSettings>,
    ) -> Result<(), SettingsError> {
        let is_local = addr.ip().to_canonical().is_loopback();
        if is_local || tls.is_some() || self.is_insecure(port) {
            return Ok(());
        }
        Err(SettingsError::Insecure {
            port: port.text(),
            addr,
        })
    }
}
