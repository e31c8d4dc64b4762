//! Load reports of a real Envoy.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Chancery, PATIENCE, Process, tool},
    ports::free_address,
};

#[test]
fn envoy_reports_the_load_of_its_clusters() {
    let upstream = upstream();
    let listener = free_address().port();
    let chancery = Chancery::start();
    chancery.replace("edge", &proxy(listener, upstream));
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("envoy.json");
    std::fs::write(&config, bootstrap(chancery.xds.port()).to_string()).unwrap();
    let mut envoy = Command::new(tool("envoy-1.40.0/envoy"));
    envoy.args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "error", "-c"]);
    let _envoy = Process::spawn(envoy.arg(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    chancery.wait_synced("envoy", 2);
    // Repeated connections: Envoy does not report connections from before the request for reports.
    let status = chancery.wait_for("envoy", "a report of the connections", |status| {
        assert_eq!(answers(listener), b"pong");
        let clusters = status["load"]["clusters"].as_array();
        clusters.is_some_and(|clusters| {
            clusters
                .iter()
                .any(|cluster| cluster["cluster"] == "upstream" && cluster["issued_requests"].as_u64() > Some(0))
        })
    });
    assert!(status["load"]["reports_total"].as_u64() > Some(0), "{status:#}");
}

/// Connects until a listener accepts, and reads everything.
fn answers(port: u16) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).unwrap();
            return answer;
        }
        assert!(Instant::now() < deadline, "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends one word to every client.
fn upstream() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            connection.unwrap().write_all(b"pong").unwrap();
        }
    });
    port
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn endpoint(cluster: &str, port: u16) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(port) } }] }],
    })
}

fn proxy(listener: u16, upstream: u16) -> Value {
    json!([
        {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": "front",
            "address": address(listener),
            "filter_chains": [{ "filters": [{ "name": "proxy", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "front",
                "cluster": "upstream",
            } }] }],
        },
        {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "upstream",
            "connect_timeout": "5s",
            "load_assignment": endpoint("upstream", upstream),
        },
    ])
}

fn bootstrap(xds: u16) -> Value {
    let grpc = json!({
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds" } }],
    });
    let from_ads = json!({ "ads": {}, "resource_api_version": "V3" });
    json!({
        "node": { "id": "envoy", "cluster": "edge" },
        "dynamic_resources": { "ads_config": grpc, "cds_config": from_ads, "lds_config": from_ads },
        "cluster_manager": { "load_stats_config": grpc },
        "static_resources": { "clusters": [{
            "name": "xds",
            "connect_timeout": "5s",
            "load_assignment": endpoint("xds", xds),
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            },
        }] },
    })
}
