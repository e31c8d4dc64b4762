//! Listeners: addresses, and matches of filter chains.

use std::collections::HashMap;

use prost_reflect::DynamicMessage;

use super::{Report, address, address::Bound, fields};
use crate::admission::{codes, path::Path};

/// The number of match combinations compared for one listener; further chains are not compared.
const MAX_COMBINATIONS: usize = 100_000;

/// All addresses of a listener; none for a listener of a gRPC client.
pub(super) fn addresses(listener: &DynamicMessage) -> Vec<Bound> {
    if fields::has(listener, "api_listener") {
        return Vec::new();
    }
    if fields::has(listener, "internal_listener") {
        return vec![Bound::Internal(fields::text(listener, "name").to_owned())];
    }
    let binds = binds_to_port(listener);
    let own = fields::message(listener, "address");
    let more = fields::messages(listener, "additional_addresses");
    let more = more.filter_map(|(_, additional)| fields::message(additional, "address"));
    let all = own.into_iter().chain(more);
    let mut bound: Vec<Bound> = all.filter_map(|address| Bound::of(address, binds)).collect();
    bound.sort();
    bound.dedup();
    bound
}

/// Returns true if a listener opens its port. Otherwise another listener hands connections over to it.
fn binds_to_port(listener: &DynamicMessage) -> bool {
    let deprecated = fields::message(listener, "deprecated_v1");
    let all = [Some(listener), deprecated].into_iter().flatten();
    let mut said = all.filter_map(|message| fields::message(message, "bind_to_port"));
    said.all(|binds| fields::flag(binds, "value"))
}

pub(super) fn check(listener: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    // gRPC clients read only this field.
    if fields::has(listener, "api_listener") {
        return;
    }
    let address = fields::message(listener, "address");
    if address.is_none() && !fields::has(listener, "internal_listener") {
        report.envoy_refuses(codes::LISTENER, &path.field("address"), "a listener without an address");
    }
    if let Some(address) = address {
        address::must_be_ip(address, &path.field("address"), "a listener", report);
        if fields::has(listener, "internal_listener") {
            let message = "an address beside internal_listener";
            report.envoy_refuses(codes::LISTENER, &path.field("address"), message);
        }
    }
    chains(listener, path, report);
}

fn chains(listener: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let chains: Vec<_> = fields::messages(listener, "filter_chains").collect();
    let address = fields::message(listener, "address");
    let socket = address.and_then(|address| fields::message(address, "socket_address"));
    let udp = socket.is_some_and(address::is_udp);
    let quic = fields::message(listener, "udp_listener_config").is_some_and(|udp| fields::has(udp, "quic_options"));
    let default = fields::has(listener, "default_filter_chain");
    let path = &path.field("filter_chains");
    if udp && !quic {
        if !chains.is_empty() {
            let message = "filter chains in a listener for UDP, which has no connections";
            report.envoy_refuses(codes::LISTENER, path, message);
        }
        return;
    }
    if chains.is_empty() && !default && !fields::has(listener, "fcds_config") {
        report.envoy_refuses(codes::LISTENER, path, "no filter chains");
    }
    if fields::has(listener, "filter_chain_matcher") {
        for (index, _) in chains
            .iter()
            .filter(|(_, chain)| fields::text(chain, "name").is_empty())
        {
            let message = "no name, by which filter_chain_matcher could choose it";
            report.envoy_refuses(codes::FILTER_CHAINS, &path.index(*index), message);
        }
        return;
    }
    matches(&chains, path, report);
}

/// Reports filter chains that match the same connections equally well.
fn matches(chains: &[(usize, &DynamicMessage)], path: &Path<'_>, report: &mut dyn Report) {
    let mut taken: HashMap<Vec<String>, usize> = HashMap::new();
    let mut left = MAX_COMBINATIONS;
    for (index, chain) in chains {
        let path = &path.index(*index);
        let found = fields::message(chain, "filter_chain_match");
        if let Some(found) = found {
            unsupported(found, &path.field("filter_chain_match"), report);
        }
        let parts = found.map(criteria).unwrap_or_default();
        let combinations = parts.iter().map(|part| part.len()).product::<usize>();
        left = left.saturating_sub(combinations);
        if left == 0 {
            return;
        }
        let clash = combined(&parts).into_iter().find_map(|combination| {
            let first = *taken.entry(combination).or_insert(*index);
            (first != *index).then_some(first)
        });
        if let Some(first) = clash {
            let message = format!("matches the same connections as filter_chains[{first}]");
            report.envoy_refuses(codes::FILTER_CHAINS, path, message);
        }
    }
}

fn unsupported(found: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    for field in ["address_suffix", "suffix_len"] {
        if fields::has(found, field) {
            report.envoy_refuses(codes::FILTER_CHAINS, &path.field(field), "not implemented by any Envoy");
        }
    }
    let path = &path.field("server_names");
    for (index, name) in fields::texts(found, "server_names").enumerate() {
        if name.contains('*') && !name.starts_with("*.") {
            let message = format!("\"{name}\": a wildcard stands for whole labels, as in *.example.com");
            report.envoy_refuses(codes::FILTER_CHAINS, &path.index(index), message);
        }
    }
}

/// The criteria of a match, each as a list of alternatives.
fn criteria(found: &DynamicMessage) -> Vec<Vec<String>> {
    let names = fields::texts(found, "server_names").map(|name| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix('*').map_or_else(|| name.clone(), str::to_owned)
    });
    let ports = fields::list(found, "source_ports").iter();
    vec![
        vec![fields::wrapped(found, "destination_port").map_or_else(String::new, |port| port.to_string())],
        alternatives(ranges(found, "prefix_ranges")),
        alternatives(names),
        vec![fields::text(found, "transport_protocol").to_owned()],
        alternatives(fields::texts(found, "application_protocols").map(str::to_owned)),
        alternatives(ranges(found, "direct_source_prefix_ranges")),
        vec![fields::enumeration(found, "source_type").to_string()],
        alternatives(ranges(found, "source_prefix_ranges")),
        alternatives(ports.filter_map(|port| port.as_u32()).map(|port| port.to_string())),
    ]
}

/// The alternatives of one criterion; an absent criterion has the single alternative "any".
fn alternatives(given: impl Iterator<Item = String>) -> Vec<String> {
    let mut given: Vec<String> = given.collect();
    given.sort();
    given.dedup();
    if given.is_empty() {
        given.push(String::new());
    }
    given
}

/// CIDR ranges, reduced to their networks.
fn ranges<'m>(found: &'m DynamicMessage, field: &'m str) -> impl Iterator<Item = String> + 'm {
    fields::messages(found, field).map(|(_, range)| {
        let text = fields::text(range, "address_prefix");
        let len = fields::wrapped(range, "prefix_len").unwrap_or_default();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match text.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - len.min(32)).unwrap_or(0);
                format!("{}/{len}", std::net::Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            Ok(std::net::IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - len.min(128)).unwrap_or(0);
                format!("{}/{len}", std::net::Ipv6Addr::from_bits(address.to_bits() & mask))
            }
            Err(_) => format!("{text}/{len}"),
        }
    })
}

/// Every combination of one alternative per criterion. A chain without a match gets the combination of "any".
fn combined(parts: &[Vec<String>]) -> Vec<Vec<String>> {
    const CRITERIA: usize = 9;
    if parts.is_empty() {
        let mut anything = vec![String::new(); CRITERIA];
        anything[6] = "0".to_owned();
        return vec![anything];
    }
    let mut all = vec![Vec::with_capacity(CRITERIA)];
    for part in parts {
        all = all
            .into_iter()
            .flat_map(|begun: Vec<String>| {
                part.iter().map(move |alternative| {
                    let mut longer = begun.clone();
                    longer.push(alternative.clone());
                    longer
                })
            })
            .collect();
    }
    all
}
