//! The ports: bound before anything is loaded, so that a port in use ends the start at once.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    descriptors,
    descriptors::Room,
    listener::{Bound, Crowd, Followed, Patience, Terms},
    renewal::Renewing,
};
use crate::{
    metrics::{ConnectionMetrics, Label as _, Metrics, PortLabel},
    settings::{ConnectionsLayer, Settings},
    tls::{Tls, TlsSettings},
};

/// The protocols inside TLS, as ALPN names them.
const HTTP_2: &[&str] = &["h2"];
const HTTP_1: &[&str] = &["http/1.1"];

/// Bytes that every client of HTTP/2 sends at once: the preface and the head of the first frame.
const OPENING_OF_HTTP_2: usize = 24 + 9;
/// One byte: the server itself waits for the rest of a request.
const OPENING_OF_HTTP_1: usize = 1;

/// The addresses of the control plane, with the real ports in place of port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// xDS over gRPC.
    pub xds: SocketAddr,
    /// The admin API.
    pub admin: SocketAddr,
    /// xDS over REST and the endpoint registry.
    pub http: SocketAddr,
    /// Probes and metrics, if they have their own port.
    pub probe: Option<SocketAddr>,
}

/// The bound ports, not accepting yet.
pub(super) struct Ports {
    pub(super) grpc: GrpcPorts,
    pub(super) http: HttpPorts,
    /// The ports with TLS.
    pub(super) tls: Vec<Renewing>,
    pub(super) metrics: ConnectionMetrics,
}

/// The ports of HTTP/2, which accept once everything is loaded.
pub(super) struct GrpcPorts {
    pub(super) xds: Bound,
    pub(super) admin: Bound,
}

/// The ports of HTTP/1.1, which answer probes from the start.
pub(super) struct HttpPorts {
    pub(super) http: Bound,
    pub(super) probe: Option<Bound>,
}

/// Binds one port after the other.
struct Binder<'a> {
    limits: &'a ConnectionsLayer,
    room: Room,
    /// Time over which streams of the xDS port end after a change of its CAs, so that nodes do not all return at once.
    drain: Duration,
    tls: Vec<Renewing>,
    metrics: ConnectionMetrics,
}

// === impl Addresses ===

impl Addresses {
    pub(super) fn log(self) {
        let Self {
            xds,
            admin,
            http,
            probe,
        } = self;
        info!(%xds, %admin, %http, ?probe, "listening");
    }
}

// === impl Ports ===

impl Ports {
    pub(super) fn bind(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        for (port, addr) in &settings.open {
            let port = port.text();
            warn!("{port} is open to other machines at {addr} without TLS: set {port}.tls_cert and {port}.tls_key");
        }
        let (values, tls) = (&settings.values, &settings.tls);
        let mut binder = Binder {
            limits: &values.connections,
            room: descriptors::room(&values.connections),
            drain: settings.parts.xds.limits.drain,
            tls: Vec::new(),
            metrics: ConnectionMetrics::default(),
        };
        metrics.register(|registry| binder.metrics.register(registry));
        let grpc = GrpcPorts {
            xds: binder.bind(PortLabel::Xds, settings.xds_addr, tls.xds.as_ref())?,
            admin: binder.bind(PortLabel::Admin, values.admin_addr(), tls.admin.as_ref())?,
        };
        let http = HttpPorts {
            http: binder.bind(PortLabel::Http, values.http_addr(), tls.http.as_ref())?,
            probe: values
                .probe_addr
                .map(|addr| binder.bind(PortLabel::Probe, addr, None))
                .transpose()?,
        };
        Ok(Self {
            grpc,
            http,
            tls: binder.tls,
            metrics: binder.metrics,
        })
    }

    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            xds: self.grpc.xds.local_addr()?,
            admin: self.grpc.admin.local_addr()?,
            http: self.http.http.local_addr()?,
            probe: self.http.probe.as_ref().map(Bound::local_addr).transpose()?,
        })
    }
}

// === impl Binder ===

impl Binder<'_> {
    fn bind(&mut self, port: PortLabel, addr: SocketAddr, tls: Option<&TlsSettings>) -> anyhow::Result<Bound> {
        let (protocols, opening_bytes, idle) = match port {
            PortLabel::Xds | PortLabel::Admin => (HTTP_2, OPENING_OF_HTTP_2, None),
            PortLabel::Http | PortLabel::Probe => (HTTP_1, OPENING_OF_HTTP_1, Some(self.limits.idle_timeout().0)),
        };
        let (crowd, window) = match port {
            PortLabel::Xds => (Crowd::new(self.room.xds, self.room.xds_of_peer), self.drain),
            PortLabel::Admin | PortLabel::Http | PortLabel::Probe => {
                (Crowd::new(self.room.other, self.room.other_of_peer), Duration::ZERO)
            }
        };
        let tls = tls.map(|tls| Tls::load(tls.clone(), protocols)).transpose()?;
        let terms = Terms {
            port,
            tls: tls.map(|tls| self.follow(port, tls, window)),
            crowd,
            patience: Patience {
                opening: self.limits.opening_timeout().0,
                opening_bytes,
                idle,
                unread: self.limits.unread_timeout().0,
            },
            metrics: self.metrics.clone(),
        };
        let name = port.text();
        let bound = Bound::bind(addr, terms);
        bound.with_context(|| format!("cannot listen on {addr} for {name}: set another address with --{name}-addr"))
    }

    /// Registers TLS files to be followed while the port serves.
    fn follow(&mut self, port: PortLabel, tls: Tls, window: Duration) -> Followed {
        self.metrics.lists_until(port, tls.next_update());
        let (sender, changed) = watch::channel(());
        self.tls.push(Renewing {
            port,
            tls: tls.clone(),
            changed: sender,
        });
        Followed { tls, changed, window }
    }
}
