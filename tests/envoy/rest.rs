//! Envoys that poll over REST-JSON, and endpoints that register themselves.

use std::collections::BTreeSet;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    CLUSTER, Config, Control, ENDPOINTS, EXTENSION_CONFIG, Envoy, GROUP, LISTENER, ROUTES, RUNTIME_LAYER, Release,
    SCOPED_ROUTES, SECRET, Upstream, cluster, endpoints, eventually, expect, filter, http_listener, listener, router,
    routes, send,
};

for_both_releases! {
    everything_is_polled_over_rest,
    the_other_types_are_polled_over_rest_as_well,
    resources_refused_over_rest_show_as_unconfirmed,
    an_envoy_whose_group_nobody_published_is_given_what_registered_itself,
    the_tutorial_works_as_written,
}

/// A REST source for all resources, with the shortest practical interval.
fn source() -> Value {
    rest_source("0.1s")
}

fn rest_source(refresh_delay: &str) -> Value {
    json!({
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": ["xds_cluster"],
            "refresh_delay": refresh_delay,
            "request_timeout": "10s",
        },
    })
}

/// The HTTP port of the control plane, as a cluster.
fn xds_cluster(control: &Control) -> Value {
    json!({
        "name": "xds_cluster",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "xds_cluster", "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": socket(&control.http.ip().to_string(), control.http.port()) },
        }] }] },
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

fn bootstrap(control: &Control) -> Value {
    json!({
        "node": { "id": "node", "cluster": GROUP },
        "admin": { "address": socket("127.0.0.1", 0) },
        "dynamic_resources": { "cds_config": source(), "lds_config": source() },
        "static_resources": { "clusters": [xds_cluster(control)] },
    })
}

fn config(upstream: &Upstream) -> Config {
    Config::of([
        cluster("app", &source()),
        endpoints("app", &[upstream]),
        listener("web", "all", &source()),
        routes("all", "app"),
    ])
}

fn everything_is_polled_over_rest(release: Release) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(&blue));
    let envoy = Envoy::boot(release, "node", &bootstrap(&control));
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");

    control.deliver(&config(&green));
    envoy.expect_body("web", "green");
    let status = control.status("node").unwrap();
    for kind in [CLUSTER, ENDPOINTS, LISTENER, ROUTES] {
        let row = control.type_status("node", kind).unwrap();
        assert_eq!((kind, row["state"].as_str()), (kind, Some("STATE_SYNCED")), "{status}");
    }
    let streams = status["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 4, "{status}");
    assert!(streams.iter().all(|stream| stream["protocol"] == "PROTOCOL_REST"));

    // Polls have no order: the test publishes the resources that a route needs before the route, and removes old ones after.
    let wider = config(&green).with([cluster("late", &source()), endpoints("late", &[&blue])]);
    control.deliver(&wider);
    let mut moved = wider.with([routes("all", "late")]);
    control.deliver(&moved);
    envoy.expect_body("web", "blue");
    moved.remove(CLUSTER, "app");
    moved.remove(ENDPOINTS, "app");
    control.deliver(&moved);
    eventually("the cluster is gone", || expect(envoy.has_cluster("app"), false));
    traffic.expect_no_failure();
}

/// HTTPS with a discovered certificate, scopes, and a separately configured filter, all of them polled.
fn listener_of_the_other_types() -> Value {
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": source(),
        "scoped_rds": { "scoped_rds_config_source": source() },
    });
    let mutation = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
    let stamp = json!({
        "name": "stamp",
        "config_discovery": { "config_source": source(), "type_urls": [mutation] },
    });
    let manager = json!({ "scoped_routes": scopes, "http_filters": [stamp, router()] });
    let mut listener = http_listener("web", &manager);
    let secret = json!({ "name": "server", "sds_config": source() });
    listener["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": { "tls_certificate_sds_secret_configs": [secret] },
        },
    });
    listener
}

/// A scope, a stamp and a runtime value that change together.
fn the_other_types(routes: &str, stamp: &str, percent: u32) -> [Value; 3] {
    let append = json!({ "header": { "key": "x-stamp", "value": stamp } });
    let mutations = json!({ "mutations": { "response_mutations": [{ "append": append }] } });
    let mut config = filter("stamp", "header_mutation.v3.HeaderMutation", mutations);
    config["@type"] = json!(EXTENSION_CONFIG);
    let scope = json!({
        "@type": SCOPED_ROUTES,
        "name": "acme",
        "route_configuration_name": routes,
        "key": { "fragments": [{ "string_key": "acme" }] },
    });
    let layer = json!({ "@type": RUNTIME_LAYER, "name": "switches", "layer": { "a.b": percent } });
    [config, scope, layer]
}

fn the_other_types_are_polled_over_rest_as_well(release: Release) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let identity = rcgen::generate_simple_self_signed(["chancery.example".to_owned()]).unwrap();
    let text = |pem: String| json!({ "inline_string": pem });
    let pair = json!({
        "certificate_chain": text(identity.cert.pem()),
        "private_key": text(identity.signing_key.serialize_pem()),
    });
    let config = Config::of([
        cluster("blue", &source()),
        endpoints("blue", &[&blue]),
        cluster("green", &source()),
        endpoints("green", &[&green]),
        routes("to-blue", "blue"),
        routes("to-green", "green"),
        listener_of_the_other_types(),
        json!({ "@type": SECRET, "name": "server", "tls_certificate": pair }),
    ]);
    control.publish(&config.with(the_other_types("to-blue", "first", 1)));
    let mut bootstrap = bootstrap(&control);
    let rtds = json!({ "name": "switches", "rtds_config": source() });
    bootstrap["layered_runtime"] = json!({ "layers": [{ "name": "discovered", "rtds_layer": rtds }] });
    let envoy = Envoy::boot(release, "node", &bootstrap);
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let expect_all = |body: &str, stamp: &str, value: &str| {
        eventually(&format!("{body}, {stamp}, {value}"), || {
            let url = format!("https://{}/", envoy.address("web")?);
            let reply = send(client.get(url).header("x-tenant", "acme"))?;
            let found = reply.headers.get("x-stamp").and_then(|stamp| stamp.to_str().ok());
            let page: Value = serde_json::from_str(&envoy.admin("/runtime").body).map_err(|error| error.to_string())?;
            let switched = page["entries"]["a.b"]["final_value"].as_str();
            expect((reply.body.as_str(), found, switched), (body, Some(stamp), Some(value)))
        });
    };
    expect_all("blue", "first", "1");
    // The next poll of a name confirms it; names that a node no longer polls stay unconfirmed.
    control.deliver(&config.with(the_other_types("to-blue", "first", 1)));
    control.deliver(&config.with(the_other_types("to-green", "second", 2)));
    expect_all("green", "second", "2");
    for kind in [SCOPED_ROUTES, SECRET, RUNTIME_LAYER, EXTENSION_CONFIG] {
        let row = control.type_status("node", kind).unwrap();
        assert_eq!((kind, row["state"].as_str()), (kind, Some("STATE_SYNCED")), "{row}");
    }
}

/// Over gRPC and over REST, in a group without a snapshot: registered endpoints are in the shared group.
fn an_envoy_whose_group_nobody_published_is_given_what_registered_itself(release: Release) {
    let control = Control::start();
    let upstream = Upstream::named("one");
    let over_rest = Envoy::boot(release, "id_1", &tutorial(&control));
    let service = json!({ "envoy_grpc": { "cluster_name": "xds_cluster" } });
    let mut bootstrap = tutorial(&control);
    bootstrap["node"] = json!({ "id": "id_2", "cluster": "another" });
    let clusters = &mut bootstrap["static_resources"]["clusters"];
    clusters[0]["eds_cluster_config"]["eds_config"] = json!({
        "resource_api_version": "V3",
        "api_config_source": { "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service] },
    });
    let address = &mut clusters[1]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
    *address = socket(&control.xds.ip().to_string(), control.xds.port());
    clusters[1]["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let over_grpc = Envoy::boot(release, "id_2", &bootstrap);
    register(&control, &upstream);
    over_rest.expect_body("listener_0", "one");
    over_grpc.expect_body("listener_0", "one");
}

fn resources_refused_over_rest_show_as_unconfirmed(release: Release) {
    let control = Control::start();
    let blue = Upstream::named("blue");
    control.publish(&config(&blue));
    let envoy = Envoy::boot(release, "node", &bootstrap(&control));
    envoy.expect_body("web", "blue");
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "no-such-cluster" } });
    let inline = json!({ "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [all] }] });
    let broken = http_listener("web", &json!({ "route_config": inline, "http_filters": [router()] }));
    control.publish(&config(&blue).with([broken]));
    eventually("the refusal shows", || {
        let row = control.type_status("node", LISTENER)?;
        expect(row["state"].as_str(), Some("STATE_UNCONFIRMED"))
    });
    let shown = control.run(&["status", "node"]).stdout;
    assert!(shown.contains("rejected or not yet applied"), "{shown}");
    envoy.expect_body("web", "blue");
    control.deliver(&config(&blue));
}

/// The tutorial's bootstrap, with the current API version.
fn tutorial(control: &Control) -> Value {
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let route = json!({ "match": { "prefix": "/" }, "route": { "cluster": "targetCluster" } });
    let manager = json!({
        "@type": manager,
        "stat_prefix": "ingress_http",
        "route_config": {
            "name": "local_route",
            "virtual_hosts": [{ "name": "local_service", "domains": ["*"], "routes": [route] }],
        },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": router } }],
    });
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
    let target = json!({
        "name": "targetCluster",
        "connect_timeout": "0.25s",
        "type": "EDS",
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {
            "service_name": "myservice",
            "eds_config": {
                "resource_api_version": "V3",
                "api_config_source": {
                    "api_type": "REST",
                    "transport_api_version": "V3",
                    "cluster_names": ["xds_cluster"],
                    "refresh_delay": "5s",
                },
            },
        },
    });
    json!({
        "node": { "id": "id_1", "cluster": "test" },
        "admin": { "address": socket("127.0.0.1", 0) },
        "static_resources": {
            "listeners": [{
                "name": "listener_0",
                "address": socket("127.0.0.1", 0),
                "filter_chains": [{ "filters": [filter] }],
            }],
            "clusters": [target, xds_cluster(control)],
        },
    })
}

/// `curl http://…/endpoints --json '{…}'`.
fn register(control: &Control, upstream: &Upstream) -> String {
    let body = json!({ "address": "127.0.0.1", "port_value": upstream.address.port() });
    let request = Client::new()
        .post(format!("http://{}/endpoints", control.http))
        .header("content-type", "application/json")
        .body(body.to_string());
    let reply = send(request).unwrap();
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    json["id"].as_str().expect("an id").to_owned()
}

/// The upstreams that answer requests in turn.
fn answering(envoy: &Envoy) -> BTreeSet<String> {
    let replies = (0..10).filter_map(|_| envoy.get("listener_0").ok());
    replies
        .filter(|reply| reply.status.is_success())
        .map(|reply| reply.body)
        .collect()
}

fn the_tutorial_works_as_written(release: Release) {
    let control = Control::start();
    let names = ["one", "two", "three", "four", "five"];
    let upstreams = names.map(Upstream::named);
    let envoy = Envoy::boot(release, "id_1", &tutorial(&control));
    let first = register(&control, &upstreams[0]);
    envoy.expect_body("listener_0", "one");
    for upstream in &upstreams[1..] {
        register(&control, upstream);
    }
    let all = BTreeSet::from(names.map(str::to_owned));
    eventually("all five share the traffic", || expect(answering(&envoy), all.clone()));
    let gone = send(Client::new().delete(format!("http://{}/endpoints/{first}", control.http))).unwrap();
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let rest: BTreeSet<String> = all.into_iter().filter(|name| name != "one").collect();
    eventually("the one that is removed gets no more", || {
        expect(answering(&envoy), rest.clone())
    });
}
