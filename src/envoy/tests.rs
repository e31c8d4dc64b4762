//! The form of a bootstrap. `tests/corpus` holds Envoy's verdicts on such bootstraps.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

fn trial(resources: &[(ResourceType, &str, Value)]) -> Trial {
    let mut served = Served::default();
    for (kind, name, value) in resources {
        let mut value = value.clone();
        value["@type"] = kind.type_url().into();
        served.insert(kind.clone(), *name, value);
    }
    Trial::new(&served, "group", Path::new("/dir"))
}

fn whole(trial: &Trial) -> Value {
    trial.bootstrap(&trial.units)
}

fn manager(fields: &Value) -> Value {
    let mut config = json!({ "@type": MANAGER, "stat_prefix": "a" });
    for (name, value) in fields.as_object().unwrap() {
        config[name] = value.clone();
    }
    json!({ "name": "a", "filter_chains": [{ "filters": [{ "name": "http", "typed_config": config }] }] })
}

fn ads() -> Value {
    json!({ "ads": {} })
}

#[test]
fn routes_are_inlined_where_they_are_requested() {
    let rds = json!({ "rds": { "route_config_name": "r", "config_source": ads() } });
    let trial = trial(&[
        (ResourceType::Listener, "a", manager(&rds)),
        (
            ResourceType::Route,
            "r",
            json!({ "name": "r", "vhds": { "config_source": ads() } }),
        ),
        (
            ResourceType::VirtualHost,
            "r/v",
            json!({ "name": "r/v", "domains": ["v"] }),
        ),
    ]);
    let bootstrap = whole(&trial);
    let listeners = bootstrap["static_resources"]["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 1, "nothing is left to hold");
    let config = &listeners[0]["filter_chains"][0]["filters"][0]["typed_config"];
    let hosts = json!([{ "name": "r/v", "domains": ["v"] }]);
    assert_eq!(
        config["route_config"],
        json!({ "name": "r", "validate_clusters": false, "virtual_hosts": hosts })
    );
    assert!(config.get("rds").is_none());
}

#[test]
fn references_to_unserved_resources_stay() {
    let rds = json!({ "rds": { "route_config_name": "r", "config_source": { "self": {} } } });
    let trial = trial(&[(ResourceType::Listener, "a", manager(&rds))]);
    let config = &whole(&trial)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(config["rds"]["config_source"], ads());
}

#[test]
fn endpoints_are_written_to_files_and_blamed_on_their_own() {
    let eds = json!({ "name": "c", "type": "EDS", "eds_cluster_config": { "service_name": "s", "eds_config": ads() } });
    let trial = trial(&[
        (ResourceType::Cluster, "c", eds),
        (ResourceType::Endpoint, "s", json!({ "cluster_name": "s" })),
        (ResourceType::Endpoint, "t", json!({ "cluster_name": "t" })),
    ]);
    assert_eq!(trial.files.len(), 2);
    let path = Path::new("/dir").join(&trial.files[0].0);
    let source = &whole(&trial)["static_resources"]["clusters"][1]["eds_cluster_config"]["eds_config"];
    assert_eq!(source["path_config_source"]["path"], path.to_str().unwrap());
    let blamed: Vec<_> = trial.units.iter().map(|unit| unit.blamed(true)).collect();
    assert_eq!(blamed, ["s", "t"].map(|name| (ResourceType::Endpoint, name.to_owned())));
    assert_eq!(trial.units[0].blamed(false), (ResourceType::Cluster, "c".to_owned()));
}

#[test]
fn secrets_and_filters_are_inlined_where_they_are_requested() {
    let filters = json!({ "route_config": {}, "http_filters": [{ "name": "f", "config_discovery": { "config_source": ads() } }] });
    let mut listener = manager(&filters);
    let secret = json!({ "name": "s", "sds_config": ads() });
    listener["filter_chains"][0]["transport_socket"] = json!({ "typed_config": { "secret": secret } });
    let fault = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" });
    let trial = trial(&[
        (ResourceType::Listener, "a", listener),
        (ResourceType::Secret, "s", json!({ "name": "s", "generic_secret": {} })),
        (
            ResourceType::ExtensionConfig,
            "f",
            json!({ "name": "f", "typed_config": fault }),
        ),
    ]);
    let bootstrap = whole(&trial);
    assert_eq!(trial.units.len(), 1);
    let chain = &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
    assert_eq!(
        chain["transport_socket"]["typed_config"]["secret"],
        json!({ "name": "s" })
    );
    assert_eq!(
        chain["filters"][0]["typed_config"]["http_filters"][0],
        json!({ "name": "f", "typed_config": fault })
    );
    assert_eq!(
        bootstrap["static_resources"]["secrets"],
        json!([{ "name": "s", "generic_secret": {} }])
    );
}

#[test]
fn unused_resources_are_put_into_holders() {
    let http = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
    let trial = trial(&[
        (ResourceType::Route, "r", json!({ "name": "r" })),
        (ResourceType::VirtualHost, "r/v", json!({ "name": "r/v" })),
        (
            ResourceType::Secret,
            "s",
            json!({ "name": "s", "validation_context": {} }),
        ),
        (
            ResourceType::ExtensionConfig,
            "f",
            json!({ "name": "f", "typed_config": { "@type": http } }),
        ),
        (
            ResourceType::Runtime,
            "rt",
            json!({ "name": "rt", "layer": { "a": 1 } }),
        ),
    ]);
    let blamed: Vec<_> = trial.units.iter().map(|unit| unit.blamed(false).0).collect();
    assert_eq!(
        blamed,
        [
            ResourceType::Secret,
            ResourceType::Route,
            ResourceType::VirtualHost,
            ResourceType::ExtensionConfig
        ]
    );
    assert_eq!(
        whole(&trial)["layered_runtime"]["layers"],
        json!([{ "name": "rt", "static_layer": { "a": 1 } }])
    );
}

#[test]
fn clusters_of_config_sources_come_first() {
    let source = json!({ "api_config_source": { "api_type": "REST", "cluster_names": ["z", "elsewhere"] } });
    let eds = json!({ "name": "a", "type": "EDS", "eds_cluster_config": { "eds_config": source } });
    let trial = trial(&[
        (ResourceType::Cluster, "a", eds),
        (ResourceType::Cluster, "z", json!({ "name": "z", "type": "STATIC" })),
    ]);
    let bootstrap = whole(&trial);
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    let names: Vec<_> = clusters
        .iter()
        .map(|cluster| cluster["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["chancery-ads", "elsewhere", "z", "a"]);
}
