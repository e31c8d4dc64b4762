//! One layer of settings: flags and environment, or the file. The layer below decides what a layer leaves out.

mod clients;
mod ports;
mod publish;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

pub use self::{
    clients::{FleetLayer, LimitsLayer, LrsLayer, OrderingLayer, ProtocolLayer, RestLayer, XdsLayer},
    ports::{AdminLayer, ConnectionsLayer, HttpLayer, RegistryLayer},
    publish::{AdmissionLayer, AuditLayer, SharedLayer, StoreLayer},
};
use super::{
    declare::{Section as _, default_of, getter, optional, section},
    error::SettingsError,
    parts::{LogFormat, Parts, PortName, PortsTls},
    value::Span,
};
use crate::{access::AccessConfig, node::GroupRule, revision::DEFAULT_RETENTION, tls::TlsSettings};

section! {
    /// All settings.
    Layer in "" {
        /// address for xDS clients; port 0 picks a free one
        #[shown = "`127.0.0.1:18000`; `0.0.0.0:18000` with TLS or `insecure`"]
        xds_addr: SocketAddr;
        /// address of the admin API; port 0 picks a free one
        admin_addr: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 18001));
        /// address of xDS over REST and the endpoint registry; without `probe_addr` also of `/livez`, `/readyz` and
        /// `/metrics`; port 0 picks a free one
        http_addr: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 18002));
        /// address of `/livez`, `/readyz` and `/metrics`, and of nothing else; needs no TLS, for it shows nothing of any
        /// configuration; port 0 picks a free one
        probe_addr: SocketAddr;
        /// ports of `xds`, `admin`, `http` that may be reached from other machines without TLS; as in
        /// `--insecure xds,http`; the log says at the start which are open
        insecure: Vec<PortName>;
        /// keep snapshots in this directory, across restarts
        #[unit = "DIR"]
        data_dir: PathBuf;
        /// keep snapshots in memory: a restart forgets them
        #[shown = "where `data_dir` is not given"]
        ephemeral: bool;
        /// publish the folders of this directory, one for each group; see [sources.md](sources.md)
        #[unit = "DIR"]
        files: PathBuf;
        /// revisions of each group that are kept to go back to. Those that the endpoint registry makes do not count: of
        /// several in a row the last is kept
        keep_revisions: NonZeroUsize = DEFAULT_RETENTION;
        /// time that a shutdown may take before it is forced; the exit code is 0 either way
        shutdown_grace: Span = Span::seconds(10);
    }
    sections {
        /// The data directory.
        store: StoreLayer;
        /// The log.
        log: LogLayer;
        /// Rules for publishes.
        admission: AdmissionLayer;
        /// The xDS port and its streams.
        xds: XdsLayer;
        /// The port of the admin API.
        admin: AdminLayer;
        /// The HTTP port.
        http: HttpLayer;
        /// Connections of all ports.
        connections: ConnectionsLayer;
        /// Limits on what clients send.
        limits: LimitsLayer;
        /// Nodes that poll over REST.
        rest: RestLayer;
        /// The endpoint registry.
        registry: RegistryLayer;
        /// Load reports.
        lrs: LrsLayer;
        /// The order of a change.
        ordering: OrderingLayer;
        /// Differences between clients.
        protocol: ProtocolLayer;
        /// The shared group.
        shared: SharedLayer;
        /// Nodes, connected and gone.
        fleet: FleetLayer;
        /// The audit log.
        audit: AuditLayer;
    }
    file {
        /// who may be which node, and who may do what; only in the file, and read again while the server runs: see
        /// [access.md](access.md)
        access: AccessConfig;
        /// rules that put nodes into groups; only in the file
        groups: Vec<GroupRule>;
    }
}

section! {
    /// The log.
    LogLayer in "log." {
        /// level of the log, or filters as in `info,chancery::admin=debug`
        #[unit = "FILTER"]
        #[env = "CHANCERY_LOG"]
        #[check = is_filter]
        level: String => log.level;
        /// look of the log's lines: `text`, or `json`, which is one object a line; logs go to standard error
        format: LogFormat => log.format;
    }
}

fn is_filter(_key: &'static str, level: &str) -> Result<(), SettingsError> {
    match tracing_subscriber::EnvFilter::try_new(level) {
        Ok(_) => Ok(()),
        Err(error) => Err(SettingsError::LogLevel {
            filter: level.to_owned(),
            reason: error.to_string(),
        }),
    }
}

// === impl Layer ===

impl Layer {
    /// Merges this layer over the one below. `data_dir` and `ephemeral` are one choice: the upper layer that sets one of them
    /// decides both.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        let is_chosen = self.data_dir.is_some() || self.ephemeral == Some(true);
        let below = if is_chosen {
            Self {
                data_dir: None,
                ephemeral: None,
                ..below
            }
        } else {
            below
        };
        self.over(below)
    }

    /// The defaults. The store has none.
    #[must_use]
    pub fn default_values() -> Self {
        Self::defaults(&Parts::default())
    }

    /// TLS of the ports, complete for each.
    pub(super) fn tls(&self) -> Result<PortsTls, SettingsError> {
        Ok(PortsTls {
            xds: self.xds.tls().settings(PortName::Xds)?,
            admin: self.admin.tls().settings(PortName::Admin)?,
            http: self.http.tls().settings(PortName::Http)?,
        })
    }

    /// Returns true for a port that may be reached from other machines without TLS.
    pub(super) fn is_insecure(&self, port: PortName) -> bool {
        self.insecure.as_ref().is_some_and(|ports| ports.contains(&port))
    }

    /// A port that others can reach needs TLS, or a setting that allows it without.
    pub(super) fn may_listen(
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
