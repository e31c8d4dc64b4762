//! The published resources: one listener, one route configuration, one cluster and its endpoints, changed from publish to
//! publish according to the case.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

const ADS: &str = "type.googleapis.com/";

/// The changes between publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The endpoints of the cluster.
    Endpoints,
    /// The route moves to a new cluster, and the old one is removed in the same publish.
    Route,
    /// Cluster, endpoints, the route configuration's name and the listener's content.
    Everything,
    /// As `Everything`, with the route inside the listener, so that a drain is not visible to the server.
    Inline,
    /// A timeout of the cluster.
    Touch,
    /// As `Route`, but every second publish is refused: for its route, then for its cluster.
    Refused,
    /// Nothing: the control plane is killed and started again.
    Restart,
}

/// The listener's port and the upstreams behind the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) listener: SocketAddr,
    pub(crate) upstreams: Vec<SocketAddr>,
}

impl Case {
    /// The time from publish to publish; for `Restart` from kill to kill.
    pub(crate) const fn interval(self) -> Duration {
        Duration::from_millis(match self {
            Self::Endpoints => 200,
            Self::Route => 300,
            Self::Everything | Self::Inline => 1000,
            Self::Touch | Self::Refused => 500,
            Self::Restart => 4000,
        })
    }

    const fn moves_the_route(self) -> bool {
        match self {
            Self::Route | Self::Everything | Self::Inline | Self::Refused => true,
            Self::Endpoints | Self::Touch | Self::Restart => false,
        }
    }

    const fn changes_the_listener(self) -> bool {
        matches!(self, Self::Everything | Self::Inline)
    }

    /// Returns true if Envoy refuses publish `number` for its cluster. Other refused publishes are refused for their route.
    const fn has_bad_cluster(self, number: u64) -> bool {
        self.is_refused(number) && number % 4 == 3
    }

    /// Returns true if Envoy refuses the cluster of this name.
    pub(crate) fn refuses_cluster(self, name: &str) -> bool {
        let number = name.strip_prefix("cluster-").and_then(|number| number.parse().ok());
        number.is_some_and(|number| self.has_bad_cluster(number))
    }

    /// Returns true if Envoy refuses publish `number`.
    pub(crate) const fn is_refused(self, number: u64) -> bool {
        matches!(self, Self::Refused) && number % 2 == 1
    }

    /// The name of the only cluster that remains after publish `number`.
    pub(crate) fn cluster(self, number: u64) -> String {
        format!("cluster-{}", if self.moves_the_route() { number } else { 0 })
    }
}

impl Scene {
    /// The whole snapshot of publish `number`, as a document.
    pub(crate) fn document(&self, case: Case, number: u64) -> Vec<u8> {
        let mut resources = vec![
            self.cluster(case, number),
            self.endpoints(case, number),
            self.listener(case, number),
        ];
        if case != Case::Inline {
            resources.push(with_type(
                "envoy.config.route.v3.RouteConfiguration",
                route(case, number),
            ));
        }
        json!({ "resources": resources }).to_string().into_bytes()
    }

    fn cluster(&self, case: Case, number: u64) -> Value {
        let touched = if case == Case::Touch { number } else { 0 };
        let mut cluster = json!({
            "name": case.cluster(number),
            "type": "EDS",
            "eds_cluster_config": { "eds_config": { "resource_api_version": "V3", "ads": {} } },
            "connect_timeout": format!("{}.{:03}s", 2 + touched / 1000, touched % 1000),
        });
        if case.has_bad_cluster(number) {
            cluster["lb_policy"] = json!("RING_HASH");
            cluster["ring_hash_lb_config"] = json!({ "minimum_ring_size": 64, "maximum_ring_size": 32 });
        }
        with_type("envoy.config.cluster.v3.Cluster", cluster)
    }

    /// Two of the upstreams, different ones in each publish.
    fn endpoints(&self, case: Case, number: u64) -> Value {
        let turn = if case == Case::Touch || case == Case::Restart {
            0
        } else {
            number
        };
        let turn = usize::try_from(turn).expect("a small number");
        let endpoint = |at: usize| {
            let upstream = self.upstreams[(turn + at) % self.upstreams.len()];
            json!({ "endpoint": { "address": address(upstream) } })
        };
        let assignment = json!({
            "cluster_name": case.cluster(number),
            "endpoints": [{ "lb_endpoints": [endpoint(0), endpoint(1)] }],
        });
        with_type("envoy.config.endpoint.v3.ClusterLoadAssignment", assignment)
    }

    /// The content changes alternately inside the filter chain, which Envoy replaces in place, and outside of it, for which Envoy
    /// makes a new listener.
    fn listener(&self, case: Case, number: u64) -> Value {
        let turn = if case.changes_the_listener() { number } else { 0 };
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": format!("turn_{turn}"),
            "access_log": [access_log()],
            "http_filters": [{
                "name": "router",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            }],
        });
        if case == Case::Inline {
            manager["route_config"] = route(case, number);
        } else {
            let source = json!({ "resource_api_version": "V3", "ads": {} });
            manager["rds"] = json!({ "route_config_name": route_name(case, number), "config_source": source });
        }
        let listener = json!({
            "name": "listener",
            "address": address(self.listener),
            "per_connection_buffer_limit_bytes": 1_048_576 + turn / 2,
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        });
        with_type("envoy.config.listener.v3.Listener", listener)
    }
}

fn route_name(case: Case, number: u64) -> String {
    format!("route-{}", if case == Case::Everything { number } else { 0 })
}

fn route(case: Case, number: u64) -> Value {
    let mut routes = vec![json!({ "match": { "prefix": "/" }, "route": { "cluster": case.cluster(number) } })];
    if case.is_refused(number) && !case.has_bad_cluster(number) {
        // Admission only warns of this, but Envoy refuses it.
        let twice = json!({
            "cluster": case.cluster(number),
            "prefix_rewrite": "/a",
            "regex_rewrite": { "pattern": { "regex": "/b" }, "substitution": "/c" },
        });
        routes.insert(0, json!({ "match": { "prefix": "/never" }, "route": twice }));
    }
    json!({
        "name": route_name(case, number),
        "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }],
    })
}

/// One line for each failed request, with Envoy's response flags.
fn access_log() -> Value {
    let not_200 = json!({ "status_code_filter": {
        "comparison": { "op": "NE", "value": { "default_value": 200, "runtime_key": "no_loss.status" } },
    }});
    json!({
        "name": "log",
        "filter": { "or_filter": { "filters": [not_200, { "response_flag_filter": {} }] } },
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": { "text_format_source": { "inline_string":
                "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %START_TIME(%FT%T.%3fZ)%\n",
            }},
        },
    })
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn with_type(name: &str, mut resource: Value) -> Value {
    resource["@type"] = json!(format!("{ADS}{name}"));
    resource
}
