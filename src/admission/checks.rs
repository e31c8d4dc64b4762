//! Checks of one resource beyond the rules in Envoy's protos: contradictions that an Envoy refuses or cannot use.
//!
//! Each check looks at one message and the fields in it, and reports to a [`Report`]. A finding is an error if this
//! server refuses the resource for it, and a warning if only some release or build of Envoy might. `group` checks
//! resources against each other. Time is an argument.

mod address;
mod cluster;
mod deprecated;
mod endpoint;
pub(super) mod fields;
mod filters;
mod listener;
mod range;
mod re2;
mod report;
mod route;
mod source;
mod tls;

use std::time::SystemTime;

use prost_reflect::{DynamicMessage, ReflectMessage as _};

pub(super) use self::{address::Bound, report::Report};
use super::{codes, path::Path};

pub(super) fn addresses_of(listener: &DynamicMessage) -> Vec<Bound> {
    listener::addresses(listener)
}

/// The clusters that make up an aggregate cluster.
pub(super) fn aggregated_by(cluster: &DynamicMessage) -> Vec<String> {
    cluster::aggregated(cluster)
}

/// Checks one message, without the messages inside it. Certificates are checked to be valid at `now`, if it is given.
pub(super) fn message(message: &DynamicMessage, path: &Path<'_>, now: Option<SystemTime>, report: &mut dyn Report) {
    let descriptor = message.descriptor();
    deprecated::check(message, &descriptor, path, report);
    let full_name = descriptor.full_name();
    let Some(name) = full_name.strip_prefix("envoy.") else {
        if full_name == "xds.core.v3.CidrRange" {
            range::check(message, path, report);
        }
        return;
    };
    match name {
        "config.cluster.v3.Cluster" => cluster::check(message, path, report),
        "config.endpoint.v3.ClusterLoadAssignment" => endpoint::check(message, path, report),
        "config.listener.v3.Listener" => listener::check(message, path, report),
        "config.listener.v3.FilterChain" => filters::network(message, path, report),
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
            filters::http(message, path, report);
        }
        "extensions.filters.network.http_connection_manager.v3.ScopedRoutes" => {
            route::inline_scopes(message, path, report);
        }
        "config.route.v3.RouteConfiguration" => route::configuration(message, path, report),
        "config.route.v3.VirtualHost" => route::virtual_host(message, path, report),
        "config.route.v3.Route" => route::headers(message, path, report),
        "config.route.v3.RouteAction" => route::action(message, path, report),
        "config.route.v3.WeightedCluster" => route::weighted(message, path, report),
        "config.route.v3.RetryPolicy.RetryBackOff" => route::back_off(message, path, report),
        "config.core.v3.CidrRange" => range::check(message, path, report),
        "config.core.v3.ApiConfigSource" => source::check(message, path, report),
        "type.matcher.v3.RegexMatcher" => regex(message, path, report),
        "extensions.transport_sockets.tls.v3.TlsCertificate" => tls::certificate(message, path, now, report),
        "extensions.transport_sockets.tls.v3.CertificateValidationContext" => {
            tls::validation(message, path, now, report);
        }
        _ => {}
    }
}

/// Envoy's default limit on the size of a compiled expression; its runtime can change it.
const MAX_PROGRAM_SIZE: usize = 100;

fn regex(matcher: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let path = &path.field("regex");
    match re2::check(fields::text(matcher, "regex")) {
        Err(fault) => report.error(codes::REGEX, path, fault.to_string()),
        Ok(size) if size > MAX_PROGRAM_SIZE => report.warn(
            codes::REGEX_SIZE,
            path,
            format!(
                "compiles to a program of about {size}, more than the {MAX_PROGRAM_SIZE} that Envoy takes unless its runtime \
                 setting re2.max_program_size.error_level says otherwise"
            ),
        ),
        Ok(_) => {}
    }
}
