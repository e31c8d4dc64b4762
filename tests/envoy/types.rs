//! The types other than clusters, endpoints, listeners and routes, each delivered to an Envoy that uses it.

mod extension_config;
mod locality_endpoints;
mod on_demand_clusters;
mod runtime;
mod scoped_routes;
mod secrets;
mod ttl;
mod virtual_hosts;
