//! `chancery bootstrap`: an Envoy bootstrap that connects to Chancery.

use std::net::IpAddr;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    exit::{Exit, Failure},
    output::Output,
};

const CLUSTER: &str = "xds_cluster";
const TLS_CONTEXT: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const HTTP_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

#[derive(Args, Debug)]
pub(super) struct Bootstrap {
    /// The node's id; by default the name of the host
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// The node's cluster, which is its group if there are no rules; by default the node's id
    #[arg(long, value_name = "NAME")]
    node_cluster: Option<String>,
    /// Address at which Chancery serves xDS
    #[arg(long, default_value = "127.0.0.1:18000", value_name = "HOST:PORT")]
    xds_addr: String,
    /// Use TLS, and trust this CA: a file on Envoy's machine (PEM)
    #[arg(long, value_name = "FILE")]
    xds_ca: Option<String>,
    /// The certificate of Envoy: a file on its machine (PEM)
    #[arg(long, value_name = "FILE", requires = "xds_ca", requires = "xds_key")]
    xds_cert: Option<String>,
    /// The private key of that certificate: a file on Envoy's machine (PEM)
    #[arg(long, value_name = "FILE", requires = "xds_cert")]
    xds_key: Option<String>,
    /// Use incremental xDS
    #[arg(long)]
    delta: bool,
    /// Use a stream for each type instead of one aggregated stream
    #[arg(long)]
    no_ads: bool,
    /// Address of Envoy's own admin interface
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "IP:PORT")]
    admin_addr: String,
    /// The port of Envoy's own admin interface; 0 picks a free one
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Metadata of the node; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

impl Bootstrap {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        output.value(&self.value()?)?;
        Ok(Exit::Ok)
    }

    fn value(&self) -> Result<Value, Failure> {
        let (xds_host, xds_port) = host_port("--xds-addr", &self.xds_addr)?;
        let (admin_host, admin_port) = host_port("--admin-addr", &self.admin_addr)?;
        if admin_host.parse::<IpAddr>().is_err() {
            return Err(Failure::usage(format!(
                "--admin-addr {}: expected IP:PORT",
                self.admin_addr
            )));
        }
        Ok(json!({
            "node": self.node()?,
            "admin": { "address": address(&admin_host, self.admin_port.unwrap_or(admin_port)) },
            "dynamic_resources": self.dynamic_resources(),
            "static_resources": { "clusters": [self.xds_cluster(&xds_host, xds_port)] },
        }))
    }

    fn xds_cluster(&self, host: &str, port: u16) -> Value {
        let mut cluster = xds_cluster(host, port);
        if let Some(ca) = &self.xds_ca {
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": self.tls_context(host, ca),
            });
        }
        cluster
    }

    /// Checks the identity of the server: signed by the CA, and named by its certificate.
    fn tls_context(&self, host: &str, ca: &str) -> Value {
        let is_address = host.parse::<IpAddr>().is_ok();
        let san_type = if is_address { "IP_ADDRESS" } else { "DNS" };
        let mut common = json!({
            "alpn_protocols": ["h2"],
            "validation_context": {
                "trusted_ca": { "filename": ca },
                "match_typed_subject_alt_names": [{ "san_type": san_type, "matcher": { "exact": host } }],
            },
        });
        if let (Some(cert), Some(key)) = (&self.xds_cert, &self.xds_key) {
            common["tls_certificates"] =
                json!([{ "certificate_chain": { "filename": cert }, "private_key": { "filename": key } }]);
        }
        let mut context = json!({ "@type": TLS_CONTEXT, "common_tls_context": common });
        if !is_address {
            context["sni"] = json!(host);
        }
        context
    }

    fn node(&self) -> Result<Value, Failure> {
        let id = match &self.node_id {
            Some(id) => id.clone(),
            None => hostname()?,
        };
        // Envoy needs both; a node without a cluster has a group of its own.
        let cluster = self.node_cluster.as_ref().unwrap_or(&id);
        let mut node = Map::from_iter([("id".to_owned(), json!(id)), ("cluster".to_owned(), json!(cluster))]);
        let mut metadata = Map::new();
        for pair in &self.metadata {
            let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(Failure::usage(format!("--metadata {pair}: expected KEY=VALUE")));
            };
            metadata.insert(key.to_owned(), json!(value));
        }
        if !metadata.is_empty() {
            node.insert("metadata".to_owned(), Value::Object(metadata));
        }
        Ok(Value::Object(node))
    }

    fn dynamic_resources(&self) -> Value {
        let source = json!({
            "api_type": if self.delta { "DELTA_GRPC" } else { "GRPC" },
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": { "cluster_name": CLUSTER } }],
        });
        if self.no_ads {
            let own = json!({ "resource_api_version": "V3", "api_config_source": source });
            return json!({ "cds_config": own, "lds_config": own });
        }
        let shared = json!({ "resource_api_version": "V3", "ads": {} });
        json!({ "ads_config": source, "cds_config": shared, "lds_config": shared })
    }
}

/// The static cluster of Chancery. Keepalive finds a connection that silently died, which no read would.
fn xds_cluster(host: &str, port: u16) -> Value {
    let kind = if host.parse::<IpAddr>().is_ok() {
        "STATIC"
    } else {
        "STRICT_DNS"
    };
    json!({
        "name": CLUSTER,
        "type": kind,
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": {
                    "http2_protocol_options": { "connection_keepalive": { "interval": "30s", "timeout": "5s" } },
                },
            },
        },
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(host, port) } }] }],
        },
    })
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// `host:port`, `1.2.3.4:port` or `[::1]:port`.
fn host_port(flag: &str, text: &str) -> Result<(String, u16), Failure> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    });
    parsed.ok_or_else(|| Failure::usage(format!("{flag} {text}: expected HOST:PORT")))
}

fn hostname() -> Result<String, Failure> {
    let from_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    std::env::var("HOSTNAME")
        .ok()
        .or_else(from_kernel)
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::usage("the host has no name: give the node one with --node-id ID"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bootstrap: Bootstrap,
    }

    fn bootstrap(args: &[&str]) -> Result<Value, String> {
        let line = Line::try_parse_from(["chancery", "--node-id", "n"].iter().chain(args)).unwrap();
        line.bootstrap.value().map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_address_is_static_and_a_name_is_resolved() {
        for (addr, kind, host) in [
            ("10.0.0.1:1", "STATIC", "10.0.0.1"),
            ("[::1]:1", "STATIC", "::1"),
            ("chancery.svc:1", "STRICT_DNS", "chancery.svc"),
        ] {
            let cluster = bootstrap(&["--xds-addr", addr]).unwrap()["static_resources"]["clusters"][0].take();
            assert_eq!(cluster["type"], kind, "{addr}");
            let address =
                cluster.pointer("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address");
            assert_eq!(address.unwrap()["address"], host);
        }
    }

    #[test]
    fn each_flag_reaches_the_bootstrap() {
        let ads = bootstrap(&[
            "--delta",
            "--admin-port",
            "0",
            "--metadata",
            "tier=edge",
            "--node-cluster",
            "c",
        ])
        .unwrap();
        assert_eq!(ads["dynamic_resources"]["ads_config"]["api_type"], "DELTA_GRPC");
        assert_eq!(ads["admin"]["address"]["socket_address"]["port_value"], 0);
        assert_eq!(
            ads["node"],
            json!({"id": "n", "cluster": "c", "metadata": {"tier": "edge"}})
        );
        let own = bootstrap(&["--no-ads"]).unwrap();
        assert_eq!(
            own["dynamic_resources"]["cds_config"]["api_config_source"]["api_type"],
            "GRPC"
        );
        assert!(own["dynamic_resources"].get("ads_config").is_none());
    }

    #[test]
    fn tls_names_the_server_and_shows_the_client() {
        let socket = |args: &[&str]| {
            let mut bootstrap = bootstrap(args).unwrap();
            bootstrap["static_resources"]["clusters"][0]["transport_socket"].take()
        };
        assert!(socket(&[]).is_null());
        let by_name = socket(&["--xds-addr", "chancery.svc:1", "--xds-ca", "/ca.pem"]);
        let context = &by_name["typed_config"];
        assert_eq!(context["sni"], "chancery.svc");
        let validation = &context["common_tls_context"]["validation_context"];
        assert_eq!(validation["trusted_ca"]["filename"], "/ca.pem");
        let name = &validation["match_typed_subject_alt_names"][0];
        assert_eq!(
            (&name["san_type"], &name["matcher"]["exact"]),
            (&json!("DNS"), &json!("chancery.svc"))
        );
        let files = [
            "--xds-ca",
            "/ca.pem",
            "--xds-cert",
            "/cert.pem",
            "--xds-key",
            "/key.pem",
        ];
        let by_address = socket(&files);
        let context = &by_address["typed_config"];
        assert!(context.get("sni").is_none());
        let own = &context["common_tls_context"]["tls_certificates"][0];
        assert_eq!(own["certificate_chain"]["filename"], "/cert.pem");
        assert_eq!(own["private_key"]["filename"], "/key.pem");
    }

    #[test]
    fn malformed_values_are_named() {
        for args in [
            ["--xds-addr", "nowhere"],
            ["--xds-addr", ":1"],
            ["--admin-addr", "a:1"],
            ["--metadata", "tier"],
        ] {
            let error = bootstrap(&args).unwrap_err();
            assert!(error.contains(args[0]), "{error}");
        }
    }
}
