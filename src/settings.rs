//! Settings: flags over environment over config file over defaults, each parsed into valid types once.
//!
//! Each setting is declared once, in `layer`: `declare` derives its flag, its variable, its key and its row in the docs.

mod declare;
mod error;
mod file;
mod flags;
mod form;
mod layer;
#[cfg(test)]
mod page;
mod parts;
mod setting;
mod value;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use self::declare::Section as _;
pub use self::{
    error::{SettingsError, Spot},
    layer::{
        AdminLayer, AdmissionLayer, AuditLayer, ConnectionsLayer, FleetLayer, HttpLayer, Layer, LimitsLayer, LogLayer,
        LrsLayer, OrderingLayer, ProtocolLayer, RegistryLayer, RestLayer, SharedLayer, StoreLayer, XdsLayer,
    },
    parts::{LogFormat, LogSettings, Parts, PortName, PortsTls, RulesMode},
    value::{ByteSize, Share, Span, ValueError},
};
use crate::{
    access::{AccessConfig, Policy as AccessPolicy},
    node::Grouping,
};

/// The settings that `chancery serve` runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address for xDS clients.
    pub xds_addr: SocketAddr,
    /// TLS of the ports.
    pub tls: PortsTls,
    /// Ports that others can reach without TLS, as the settings allow.
    pub open: Vec<(PortName, SocketAddr)>,
    /// The store of snapshots.
    pub store: StoreSettings,
    /// The rules for identities: which nodes they may be, and what they may do.
    pub access: AccessConfig,
    /// The file with `access`, which is read again while the server runs.
    pub config: Option<PathBuf>,
    /// The settings of the parts of the server.
    pub parts: Parts,
    /// Every resolved setting; settings that no part owns are read from here.
    pub values: Layer,
}

/// The store of snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// In memory: a restart loses them.
    Ephemeral,
    /// In a directory.
    DataDir(PathBuf),
}

/// The port of xDS where no address names one.
const XDS_PORT: u16 = 18_000;

// === impl Settings ===

impl Settings {
    /// Resolves flags and environment over the config file over the defaults.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for the first mistake.
    pub fn load(flags: Layer, config: Option<&Path>) -> Result<Self, SettingsError> {
        let file = config.map(file::read).transpose()?.unwrap_or_default();
        if file.data_dir.is_some() && file.ephemeral == Some(true) {
            return Err(SettingsError::TwoStores);
        }
        let settings = Self::resolve(flags.or(file))?;
        Ok(Self {
            config: config.map(Path::to_owned),
            ..settings
        })
    }

    /// Reads the section `access` of a config file again.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for the first mistake in the file.
    pub fn read_access(config: &Path) -> Result<AccessConfig, SettingsError> {
        Ok(file::read(config)?.access.unwrap_or_default())
    }

    /// Resolves one layer over the defaults.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for the first mistake.
    pub fn resolve(layer: Layer) -> Result<Self, SettingsError> {
        let mut values = layer.or(Layer::default_values());
        let store = StoreSettings::of(&values)?;
        values.ephemeral = (store == StoreSettings::Ephemeral).then_some(true);
        // Streams that still drain when the grace period is over would be cut.
        let longest = values.shutdown_grace().0 / 2;
        values.xds.drain = values.xds.drain.map(|span| Span(span.0.min(longest)));
        let tls = values.tls()?;
        // A port with TLS, or without it on purpose, is meant to be reached.
        let ip = if tls.xds.is_some() || values.is_insecure(PortName::Xds) {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        let xds_addr = *values.xds_addr.get_or_insert_with(|| SocketAddr::from((ip, XDS_PORT)));
        let mut open = Vec::new();
        for (port, addr, tls) in [
            (PortName::Xds, xds_addr, &tls.xds),
            (PortName::Admin, values.admin_addr(), &tls.admin),
            (PortName::Http, values.http_addr(), &tls.http),
        ] {
            values.may_listen(port, addr, tls.as_ref())?;
            if tls.is_none() && !addr.ip().to_canonical().is_loopback() {
                open.push((port, addr));
            }
        }
        let mut parts = Parts::default();
        values.apply(&mut parts)?;
        parts.xds.grouping = Grouping::new(values.groups.clone().unwrap_or_default())?;
        let access = values.access.clone().unwrap_or_default();
        AccessPolicy::new(&access)?;
        Ok(Self {
            xds_addr,
            tls,
            open,
            store,
            access,
            config: None,
            parts,
            values,
        })
    }

    /// Every resolved setting, as a config file. None of them is a secret.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&self.values).unwrap_or_else(|error| format!("# {error}\n"))
    }
}

// === impl StoreSettings ===

impl StoreSettings {
    fn of(values: &Layer) -> Result<Self, SettingsError> {
        let store = match (&values.data_dir, values.ephemeral) {
            (Some(_), Some(true)) => return Err(SettingsError::TwoStores),
            (Some(dir), Some(false) | None) => Self::DataDir(dir.clone()),
            (None, _) => Self::Ephemeral,
        };
        if store == Self::Ephemeral && values.store.key_file.is_some() {
            return Err(SettingsError::NothingToSeal);
        }
        Ok(store)
    }
}

#[cfg(test)]
mod tests;
