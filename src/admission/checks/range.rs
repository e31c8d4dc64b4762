//! Ranges of addresses (CIDR): an IP address, and beside it the length of the prefix.

use std::net::{IpAddr, Ipv6Addr};

use prost_reflect::DynamicMessage;

use super::{Report, fields};
use crate::admission::{codes, path::Path};

/// Checks the address of a range. Its length has a rule of the protos; Envoy reads a length beyond the bits of the address as all of them.
pub(super) fn check(range: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let text = fields::text(range, "address_prefix");
    // A rule of the protos refuses an empty address.
    if text.is_empty() || is_ip(text) {
        return;
    }
    let mut message = format!("\"{text}\" is not an IP address");
    if let Some((address, length)) = text.split_once('/')
        && is_ip(address)
    {
        message = format!("{message}: write \"{address}\" here, and the length {length} as prefix_len");
    }
    let path = path.field("address_prefix");
    if is_passed_over(&path) {
        report.warn(
            codes::RANGE_ADDRESS,
            &path,
            format!("{message}: Envoy passes over the range"),
        );
    } else {
        report.error(codes::RANGE_ADDRESS, &path, message);
    }
}

/// Returns true for ranges of trusted proxies: Envoy 1.40 accepts them with any address, and trusts none by them.
fn is_passed_over(path: &Path<'_>) -> bool {
    path.to_string().contains("xff_trusted_cidrs.")
}

/// Envoy also accepts a zone behind an IPv6 address.
fn is_ip(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

#[cfg(test)]
mod tests;
