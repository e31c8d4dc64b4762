//! The files of a snapshot, and snapshots that files cannot express.

use prost_types::Any;

use super::*;
use crate::{
    admission::{Candidate, Document, Format, Limits, admit},
    proto::admin::Resource,
};
use prost::Message as _;

fn snapshot(resources: &Value) -> Snapshot {
    let document = Document {
        name: "given.json".to_owned(),
        content: json!({ "resources": resources }).to_string().into_bytes().into(),
        format: Format::Json,
    };
    let candidate = Candidate {
        documents: vec![document],
        resources: Vec::new(),
    };
    let admitted = admit(&candidate, &Limits::default()).unwrap();
    let resources = admitted.resources.values().flatten().map(|resource| Resource {
        name: resource.name.to_string(),
        resource: Some(Any::decode(resource.body.clone()).unwrap()),
        ..Resource::default()
    });
    Snapshot {
        summary: None,
        resources: resources.collect(),
    }
}

fn cluster(name: &str, service: &str) -> Value {
    json!({
        "@type": ResourceType::Cluster.type_url(), "name": name, "type": "EDS",
        "eds_cluster_config": { "service_name": service, "eds_config": { "ads": {}, "resource_api_version": "V3" } },
    })
}

fn route(name: &str) -> Value {
    json!({ "@type": ResourceType::Route.type_url(), "name": name })
}

fn listener(source: &Value) -> Value {
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let config = json!({
        "@type": manager, "stat_prefix": "x",
        "rds": { "route_config_name": "r", "config_source": source },
    });
    json!({
        "@type": ResourceType::Listener.type_url(), "name": "l",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 1 } },
        "filter_chains": [{ "filters": [{ "name": "hcm", "typed_config": config }] }],
    })
}

fn layout(resources: &Value) -> Result<Layout, Vec<String>> {
    Layout::of(&snapshot(resources), &Snapshot::default(), Path::new("/out"))
}

#[test]
fn sources_become_the_paths_of_the_files_that_are_written() {
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let files = layout(&json!([
        cluster("c", "a/b"),
        cluster("d", ""),
        listener(&ads),
        route("r")
    ]))
    .unwrap();
    let source = |cluster: &str| {
        let config = &files.clusters[cluster]["eds_cluster_config"]["eds_config"];
        config["path_config_source"]["path"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (source("c"), source("d")),
        ("/out/eds/a%2Fb.yaml".into(), "/out/eds/d.yaml".into())
    );
    assert!(
        files.listeners.contains("/out/rds/r.yaml") && !files.listeners.contains("ads"),
        "{}",
        files.listeners
    );
    let children: Vec<_> = files
        .children
        .keys()
        .map(|(_, path)| path.display().to_string())
        .collect();
    assert_eq!(children, ["eds/a%2Fb.yaml", "eds/d.yaml", "rds/r.yaml"]);
}

#[test]
fn own_resources_win_over_shared_ones() {
    let shared = snapshot(&json!([cluster("c", "shared"), cluster("s", "s")]));
    let own = snapshot(&json!([cluster("c", "own")]));
    let files = Layout::of(&own, &shared, Path::new("/out")).unwrap();
    assert_eq!(files.clusters.keys().collect::<Vec<_>>(), ["c", "s"]);
    assert_eq!(files.clusters["c"]["eds_cluster_config"]["service_name"], "own");
}

#[test]
fn another_servers_sources_stay() {
    let services = json!([{ "envoy_grpc": { "cluster_name": "other" } }]);
    let other = json!({
        "resource_api_version": "V3",
        "api_config_source": { "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": services },
    });
    assert!(layout(&json!([listener(&other)])).unwrap().listeners.contains("other"));
    let both = layout(&json!([listener(&other), route("r")])).unwrap();
    assert!(both.listeners.contains("/out/rds/r.yaml"), "it is published here");
}

#[test]
fn snapshots_that_files_cannot_express_are_refused_with_every_reason() {
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let reasons = layout(&json!([listener(&ads), scope("s")])).unwrap_err();
    assert_eq!(
        reasons,
        [
            "listener \"l\": it needs route \"r\", which is not published",
            "scoped_route \"s\": it needs route \"r\", which is not published",
        ]
    );
}

fn scope(name: &str) -> Value {
    json!({
        "@type": ResourceType::ScopedRoute.type_url(), "name": name, "route_configuration_name": "r", "on_demand": true,
        "key": { "fragments": [{ "string_key": "k" }] },
    })
}

fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn scopes_lie_in_one_file_and_carry_their_routes() {
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let mut scoped = listener(&ads);
    let manager = &mut scoped["filter_chains"][0]["filters"][0]["typed_config"];
    manager.as_object_mut().unwrap().remove("rds");
    let header = json!({ "header_value_extractor": { "name": "x", "index": 0 } });
    manager["scoped_routes"] = json!({
        "name": "s", "scope_key_builder": { "fragments": [header] }, "rds_config_source": ads,
        "scoped_rds": { "scoped_rds_config_source": ads },
    });
    let files = layout(&json!([scoped, scope("s"), route("r")])).unwrap();
    let text = &files.children[&(Stage::BehindClusters, PathBuf::from("srds.yaml"))];
    let scope = &read(text)["resources"][0];
    assert_eq!(scope["route_configuration"], json!({ "name": "r" }));
    assert_eq!(
        (&scope["route_configuration_name"], &scope["on_demand"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        files.listeners.contains("/out/srds.yaml") && !files.listeners.contains("ads"),
        "{}",
        files.listeners
    );

    // The file must exist even without scopes, since a listener reads it.
    let none = layout(&json!([scoped])).unwrap();
    let text = &none.children[&(Stage::BehindClusters, PathBuf::from("srds.yaml"))];
    assert_eq!(read(text)["resources"], json!([]));
}

#[test]
fn resources_without_a_file_are_inlined() {
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let mut on_demand = route("r");
    on_demand["vhds"] = json!({ "config_source": ads });
    let wrapped = |name: &str, resource: &Value| {
        let wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource";
        json!({ "@type": wrapper, "name": name, "resource": resource })
    };
    let host = |name: &str| {
        let host = json!({ "@type": ResourceType::VirtualHost.type_url(), "name": name, "domains": [name] });
        wrapped(name, &host)
    };
    let collection = "xdstp:///envoy.config.endpoint.v3.LbEndpoint/c";
    let member = |name: &str| {
        let endpoint = json!({ "address": { "socket_address": { "address": "127.0.0.1", "port_value": 1 } } });
        let resource = json!({ "@type": ResourceType::LbEndpoint.type_url(), "endpoint": endpoint });
        wrapped(&format!("{collection}/{name}"), &resource)
    };
    let locality = json!({
        "leds_cluster_locality_config": { "leds_config": ads, "leds_collection_name": format!("{collection}/*") },
    });
    let assignment =
        json!({ "@type": ResourceType::Endpoint.type_url(), "cluster_name": "c", "endpoints": [locality] });
    let files = layout(&json!([
        on_demand,
        host("r/a"),
        host("r/b"),
        host("rr/c"),
        cluster("c", ""),
        assignment,
        member("one"),
        member("deeper/two"),
    ]))
    .unwrap();
    let of = |stage: Stage, path: &str| read(&files.children[&(stage, PathBuf::from(path))])["resources"][0].clone();
    let routes = of(Stage::BehindClusters, "rds/r.yaml");
    let hosts: Vec<&str> = routes["virtual_hosts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|host| host["name"].as_str())
        .collect();
    assert_eq!((hosts, &routes["vhds"]), (vec!["r/a", "r/b"], &Value::Null));
    let endpoints = of(Stage::BeforeClusters, "eds/c.yaml");
    assert_eq!(endpoints["endpoints"][0]["lb_endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(files.children.len(), 2);
}

#[test]
fn names_become_names_of_files() {
    for (name, file) in [
        ("a", "a.yaml"),
        ("..", "%2E..yaml"),
        ("a b/c", "a%20b%2Fc.yaml"),
        ("ä", "%C3%A4.yaml"),
    ] {
        assert_eq!(file_name(name), file);
    }
    let long = ["x".repeat(300), "x".repeat(301)].map(|name| file_name(&name));
    assert!(long[0] != long[1] && long.iter().all(|name| name.len() < 255));
}
