//! Admission through its public functions.

mod bad_input;
mod checks;
mod encoded;
mod group;
mod known;
mod places;
mod references;
mod round_trip;
mod rules;
mod secrets;
mod warming;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::resource::{Resource, ResourceType};

/// A document whose name gives its format: `a.yaml`, `a.json`, `a.pb`.
fn document(name: &str, content: impl Into<Vec<u8>>) -> Document {
    Document {
        name: name.to_owned(),
        content: Bytes::from(content.into()),
        format: Format::of_name(name),
    }
}

fn admit_text(name: &str, content: impl Into<Vec<u8>>) -> Result<Admitted, Rejection> {
    let candidate = Candidate {
        documents: vec![document(name, content)],
        resources: Vec::new(),
    };
    admit(&candidate, &Limits::default())
}

fn admit_any(any: prost_types::Any) -> Result<Admitted, Rejection> {
    admit_raw(vec![RawResource {
        name: None,
        aliases: Vec::new(),
        ttl: None,
        any,
    }])
}

fn admit_raw(resources: Vec<RawResource>) -> Result<Admitted, Rejection> {
    let candidate = Candidate {
        documents: Vec::new(),
        resources,
    };
    admit(&candidate, &Limits::default())
}

/// The only resource of a YAML document.
fn one(yaml: &str) -> Arc<Resource> {
    let admitted = admit_text("a.yaml", yaml).unwrap_or_else(|rejection| panic!("{rejection}"));
    // Small fixtures may have warnings about resources that an Envoy could not run.
    let other = admitted
        .findings
        .iter()
        .find(|finding| finding.code < codes::SAME_ADDRESS);
    assert_eq!(other, None, "{yaml}");
    only(admitted)
}

fn only(admitted: Admitted) -> Arc<Resource> {
    let mut all: Vec<_> = admitted.resources.into_values().flatten().collect();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn any_of(resource: &Resource) -> prost_types::Any {
    prost::Message::decode(resource.body.clone()).unwrap()
}

/// The errors of a YAML document, as text.
fn refused(yaml: &str) -> Vec<String> {
    refused_as("a.yaml", yaml)
}

fn refused_as(name: &str, content: impl Into<Vec<u8>>) -> Vec<String> {
    let rejection = admit_text(name, content).expect_err("the document is refused");
    assert!(rejection.findings.iter().any(|f| f.severity == Severity::Error));
    rejection.findings.iter().map(ToString::to_string).collect()
}

fn cluster(fields: &str) -> String {
    format!("resources:\n- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n{fields}")
}

/// Runs a test on a stack as small as that of a server thread.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn format_follows_the_ending() {
    assert_eq!(Format::of_name("a/b.json"), Format::Json);
    assert_eq!(Format::of_name("b.binpb"), Format::Binary);
    assert_eq!(Format::of_name("b.pb"), Format::Binary);
    assert_eq!(Format::of_name("b.yml"), Format::Yaml);
    assert_eq!(Format::of_name("-"), Format::Yaml);
}

#[test]
fn codes_are_listed_in_order_and_documented() {
    assert!(codes::ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let page = include_str!("../../docs/admission.md");
    for (code, _) in codes::ALL {
        assert!(page.contains(code), "docs/admission.md does not explain {code}");
    }
}

#[test]
fn every_code_that_is_declared_is_listed() {
    let declared = include_str!("codes.rs").lines().filter_map(|line| {
        let value = line.strip_prefix("pub const ")?.split_once(": &str = \"")?.1;
        value.strip_suffix("\";")
    });
    let listed = codes::ALL.iter().map(|(code, _)| *code);
    assert_eq!(declared.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
}

#[test]
fn empty_list_is_a_valid_document() {
    let admitted = admit_text("a.yaml", "resources: []\n").unwrap();
    assert!(admitted.resources.is_empty());
}

#[test]
fn keys_of_a_discovery_response_are_tolerated() {
    admit_text(
        "a.json",
        r#"{"version_info": "1", "typeUrl": "x", "nonce": "n", "control_plane": {"identifier": "x"}, "resources": []}"#,
    )
    .unwrap();
}

#[test]
fn type_may_stand_anywhere_in_the_mapping() {
    let first = one(&cluster("  name: a\n  connect_timeout: 1s\n"));
    let last = one(
        "resources:\n- connect_timeout: 1s\n  name: a\n  '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n",
    );
    assert_eq!(first, last);
}

#[test]
fn both_spellings_of_a_field_and_both_formats_are_one_content() {
    let yaml = one(&cluster("  name: a\n  connect_timeout: 1.5s\n  type: EDS\n"));
    let json = admit_text(
        "a.json",
        r#"{"resources": [{"type": 3, "connectTimeout": "1.500s", "name": "a",
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster"}]}"#,
    );
    assert_eq!(yaml, only(json.unwrap()));
}

#[test]
fn scalars_follow_proto3_json() {
    let resource = one(&cluster(
        "  name: a\n  per_connection_buffer_limit_bytes: 1e3\n  max_requests_per_connection: '7'\n  \
         metadata: {filter_metadata: {x: {n: null, t: yes, f: 0x10}}}\n",
    ));
    let json = to_json(&any_of(&resource), Secrets::Show);
    assert_eq!(json["per_connection_buffer_limit_bytes"], 1000);
    assert_eq!(json["max_requests_per_connection"], 7);
    let metadata = &json["metadata"]["filter_metadata"]["x"];
    assert_eq!(metadata, &serde_json::json!({"n": null, "t": "yes", "f": 16.0}));
}

#[test]
fn wrapper_gives_name_aliases_and_ttl() {
    let resource = one(
        "resources:\n- '@type': type.googleapis.com/envoy.service.discovery.v3.Resource\n  name: r/v\n  aliases: [b, c]\n  \
         ttl: 5s\n  version: ignored\n  resource:\n    '@type': type.googleapis.com/envoy.config.route.v3.VirtualHost\n    \
         name: v\n    domains: ['*']\n",
    );
    assert_eq!(resource.name.as_str(), "r/v");
    assert_eq!(resource.aliases, ["b".into(), "c".into()].into());
    assert_eq!(resource.ttl, Some(std::time::Duration::from_secs(5)));
    assert!(any_of(&resource).type_url.ends_with(".VirtualHost"));
}

#[test]
fn each_type_has_its_name_in_its_own_field() {
    for (message, field, rest) in [
        ("envoy.config.cluster.v3.Cluster", "name", ""),
        ("envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name", ""),
        ("envoy.config.listener.v3.Listener", "name", ""),
        ("envoy.config.route.v3.RouteConfiguration", "name", ""),
        (
            "envoy.config.route.v3.ScopedRouteConfiguration",
            "name",
            "  key: {fragments: [{string_key: k}]}\n",
        ),
        ("envoy.extensions.transport_sockets.tls.v3.Secret", "name", ""),
        ("envoy.service.runtime.v3.Runtime", "name", ""),
        (
            "envoy.config.core.v3.TypedExtensionConfig",
            "name",
            "  typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}\n",
        ),
    ] {
        let header = format!("resources:\n- '@type': type.googleapis.com/{message}\n{rest}");
        assert_eq!(one(&format!("{header}  {field}: n\n")).name.as_str(), "n");
        let findings = refused(&header);
        assert!(
            findings[0].contains("error[XDS0008]") && findings[0].ends_with("the name is empty"),
            "{findings:?}"
        );
    }
}

#[test]
fn identical_content_has_identical_version_and_other_content_another() {
    let a = one(&cluster("  name: a\n"));
    assert_eq!(a.version, one(&cluster("  name: a\n")).version);
    assert_ne!(a.version, one(&cluster("  name: a\n  alt_stat_name: x\n")).version);
}

/// Ten thousand clusters of 1 KB, the size of the performance targets. Prints its time with `--nocapture`.
#[test]
fn ten_thousand_resources_are_admitted() {
    let mut yaml = String::from("resources:\n");
    for i in 0..10_000 {
        yaml.push_str(&format!(
            "- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: c{i}\n  connect_timeout: 1s\n  \
             load_assignment:\n    cluster_name: c{i}\n    endpoints:\n    - lb_endpoints:\n"
        ));
        for j in 0..6 {
            yaml.push_str(&format!(
                "      - endpoint:\n          address:\n            socket_address:\n              address: 10.0.0.{j}\n              port_value: 80\n"
            ));
        }
    }
    let bytes = yaml.len();
    let started = std::time::Instant::now();
    let admitted = admit_text("big.yaml", yaml).unwrap();
    eprintln!("{bytes} bytes of YAML admitted in {:?}", started.elapsed());
    assert_eq!(admitted.resources[&ResourceType::Cluster].len(), 10_000);
}
