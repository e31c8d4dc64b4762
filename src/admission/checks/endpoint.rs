//! Endpoints: gaps between priorities, and addresses that would have to be resolved.

use std::collections::BTreeSet;

use prost_reflect::DynamicMessage;

use super::{Report, address, fields};
use crate::admission::{codes, path::Path};

/// Checks a ClusterLoadAssignment, as a resource or inside a cluster.
pub(super) fn check(assignment: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    priorities(assignment, path, report);
    if path.is_root() {
        must_be_ips(assignment, path, "EDS", report);
    }
}

/// gRPC refuses endpoints whose priorities are not 0, 1, 2, …; an Envoy accepts them.
fn priorities(assignment: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let localities = fields::messages(assignment, "endpoints");
    let given: BTreeSet<u64> = localities.map(|(_, one)| fields::number(one, "priority")).collect();
    let missing = (0..).zip(&given).find(|(expected, priority)| expected != *priority);
    if let Some((expected, priority)) = missing {
        let message =
            format!("priority {priority} without priority {expected}: gRPC refuses endpoints with such a gap");
        report.warn(codes::PRIORITIES, &path.field("endpoints"), message);
    }
}

/// Reports endpoints with host names, which `who` does not resolve.
pub(super) fn must_be_ips(assignment: &DynamicMessage, path: &Path<'_>, who: &str, report: &mut dyn Report) {
    let path = &path.field("endpoints");
    for (locality_index, locality) in fields::messages(assignment, "endpoints") {
        let path = &path.index(locality_index);
        let path = &path.field("lb_endpoints");
        for (index, one) in fields::messages(locality, "lb_endpoints") {
            let address = fields::message(one, "endpoint").and_then(|endpoint| fields::message(endpoint, "address"));
            if let Some(address) = address {
                let path = &path.index(index);
                let path = &path.field("endpoint");
                address::must_be_ip(address, &path.field("address"), who, report);
            }
        }
    }
}

/// The number of endpoints.
pub(super) fn count(assignment: &DynamicMessage) -> usize {
    let localities = fields::messages(assignment, "endpoints");
    localities
        .map(|(_, locality)| {
            let by_leds = usize::from(fields::has(locality, "leds_cluster_locality_config"));
            fields::list(locality, "lb_endpoints").len() + by_leds
        })
        .sum()
}
