//! Addresses: those that a listener binds, and host names where Envoy does not resolve names.

use std::{fmt, net::IpAddr};

use prost_reflect::DynamicMessage;

use super::{Report, fields};
use crate::admission::{codes, path::Path};

/// The address of a listener. An Envoy refuses a second listener with an equal one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::admission) enum Bound {
    /// An IP address and a port.
    Ip {
        udp: bool,
        address: IpAddr,
        port: u64,
        /// The path of the network namespace; empty for Envoy's own.
        namespace: String,
    },
    /// A path of a Unix socket, or a name in Linux's abstract namespace, which begins with `@`.
    Pipe(String),
    /// The name of an internal listener.
    Internal(String),
}

/// `SocketAddress.Protocol.UDP`.
const UDP: i32 = 1;

// === impl Bound ===

impl Bound {
    /// The address that a listener binds; `None` if no other listener can clash with it, as with a port that the system
    /// chooses. With `binds` false, port 0 stays as it is: Envoy compares the address unchanged.
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

    /// The address as a place to claim, as in `tcp 0.0.0.0:80`.
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

pub(super) fn is_udp(socket: &DynamicMessage) -> bool {
    fields::enumeration(socket, "protocol") == UDP
}

/// Reports an address with a host name or a named port, which `who` does not resolve.
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
