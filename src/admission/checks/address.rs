//! Addresses: what a listener binds, and which of them Envoy would have to resolve where it resolves nothing.

use std::{fmt, net::IpAddr};

use prost_reflect::DynamicMessage;

use super::{Report, fields};
use crate::admission::{codes, path::Path};

/// Where a listener is reached. Two listeners with an equal one cannot both be added to an Envoy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::admission) enum Bound {
    /// An IP address and a port.
    Ip {
        udp: bool,
        address: IpAddr,
        port: u64,
        /// The file of the network namespace; empty for Envoy's own.
        namespace: String,
    },
    /// A path, or with `@` a name in Linux's abstract namespace.
    Pipe(String),
    /// The name of a listener within Envoy.
    Internal(String),
}

/// `SocketAddress.Protocol.UDP`.
const UDP: i32 = 1;

// === impl Bound ===

impl Bound {
    /// What an address binds; `None` where that cannot clash: the system chooses the port, or it is no place of the network.
    /// A listener that does not bind (`binds` is false) has no port chosen for it: Envoy compares it as it is.
    pub(super) fn of(address: &DynamicMessage, binds: bool) -> Option<Self> {
        if let Some(pipe) = fields::message(address, "pipe") {
            return Some(Self::Pipe(fields::text(pipe, "path").to_owned()));
        }
        let socket = fields::message(address, "socket_address")?;
        let port = fields::number(socket, "port_value");
        let address: IpAddr = fields::text(socket, "address").parse().ok()?;
        (port != 0 || !binds).then(|| Self::Ip {
            udp: is_udp(socket),
            address,
            port,
            namespace: fields::text(socket, "network_namespace_filepath").to_owned(),
        })
    }

    /// As a place to claim, as in `tcp 0.0.0.0:80`.
    pub(in crate::admission) fn place(&self) -> String {
        match self {
            Self::Ip { udp: true, .. } => self.to_string().replacen("UDP", "udp", 1),
            Self::Ip { udp: false, .. } => self.to_string().replacen("TCP", "tcp", 1),
            Self::Pipe(path) => format!("pipe {path}"),
            Self::Internal(name) => format!("internal {name}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip {
                udp,
                address,
                port,
                namespace,
            } => {
                let protocol = if *udp { "UDP" } else { "TCP" };
                let address = std::net::SocketAddr::new(*address, u16::try_from(*port).unwrap_or(u16::MAX));
                write!(f, "{protocol} {address}")?;
                if !namespace.is_empty() {
                    write!(f, " in {namespace}")?;
                }
                Ok(())
            }
            Self::Pipe(path) => f.write_str(path),
            Self::Internal(name) => write!(f, "internal listener \"{name}\""),
        }
    }
}

/// Whether a SocketAddress is one of UDP.
pub(super) fn is_udp(socket: &DynamicMessage) -> bool {
    fields::enumeration(socket, "protocol") == UDP
}

/// Says where an address is a name or a named port, and nobody resolves it.
pub(super) fn must_be_ip(address: &DynamicMessage, path: &Path<'_>, who: &str, report: &mut dyn Report) {
    let Some(socket) = fields::message(address, "socket_address") else {
        return;
    };
    if !fields::text(socket, "resolver_name").is_empty() {
        return;
    }
    let path = &path.field("socket_address");
    let text = fields::text(socket, "address");
    if !text.is_empty() && text.parse::<IpAddr>().is_err() {
        let message = format!("\"{text}\" is no IP address, and {who} does not resolve names");
        report.envoy_refuses(codes::ADDRESS, &path.field("address"), message);
    }
    if fields::has(socket, "named_port") {
        let message = format!("{who} does not resolve the names of ports");
        report.envoy_refuses(codes::ADDRESS, &path.field("named_port"), message);
    }
}
