//! Refused documents, and the places of their errors.

use proptest::prelude::*;

use super::*;

#[test]
fn unknown_field_is_named_with_place_path_and_suggestion() {
    assert_eq!(
        refused(&cluster("  name: a\n  connect_timeoutt: 1s\n")),
        [
            "a.yaml:4:3: error[XDS0003] cluster \"a\": connect_timeoutt: unknown field of envoy.config.cluster.v3.Cluster; \
             did you mean \"connect_timeout\"?"
        ]
    );
}

#[test]
fn every_finding_is_reported_not_only_the_first() {
    let findings = refused(
        "resources:\n- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: a\n  type: EDDS\n  \
         connect_timeout: 5\n  lb_policy: 99\n  per_connection_buffer_limit_bytes: -1\n  eds_cluster_config: []\n- x: 1\n- \
         '@type': type.googleapis.com/foo.Bar\n",
    );
    assert_eq!(
        findings,
        [
            "a.yaml:4:9: error[XDS0004] cluster \"a\": type: \"EDDS\" is no envoy.config.cluster.v3.Cluster.DiscoveryType: \
             expected STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST; did you mean \"EDS\"?",
            "a.yaml:5:20: error[XDS0004] cluster \"a\": connect_timeout: expected a duration in seconds, as in \"1.5s\", got \
             the number 5",
            "a.yaml:6:14: error[XDS0004] cluster \"a\": lb_policy: 99 is no envoy.config.cluster.v3.Cluster.LbPolicy",
            "a.yaml:7:38: error[XDS0004] cluster \"a\": per_connection_buffer_limit_bytes: -1 is out of the range of uint32",
            "a.yaml:8:23: error[XDS0004] cluster \"a\": eds_cluster_config: expected a mapping, got a list",
            "a.yaml:9:3: error[XDS0006] \"@type\" is missing",
            "a.yaml:10:12: error[XDS0006] @type: unknown type \"type.googleapis.com/foo.Bar\": no descriptor",
        ]
    );
}

#[test]
fn path_leads_through_lists_maps_and_anys() {
    let findings = refused(
        "resources:\n- '@type': type.googleapis.com/envoy.config.listener.v3.Listener\n  name: l\n  filter_chains:\n  - filters:\n    \
         - name: hcm\n      typed_config:\n        '@type': type.googleapis.com/envoy.extensions.filters.network.\
         http_connection_manager.v3.HttpConnectionManager\n        stat_prefix: 7\n        route_config:\n          \
         virtual_hosts:\n          - name: v\n            typed_per_filter_config:\n              x: {'@type': nope}\n",
    );
    assert_eq!(
        findings,
        [
            "a.yaml:9:22: error[XDS0004] listener \"l\": filter_chains[0].filters[0].typed_config.stat_prefix: expected a string, \
             got the number 7: put it in quotes",
            "a.yaml:14:28: error[XDS0006] listener \"l\": filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]\
             .typed_per_filter_config[\"x\"].@type: \"nope\" is no type URL: expected type.googleapis.com/some.message.Name",
        ]
    );
}

#[test]
fn field_given_in_both_spellings_is_a_conflict() {
    assert_eq!(
        refused(&cluster("  name: a\n  connect_timeout: 1s\n  connectTimeout: 1s\n")),
        [
            "a.yaml:5:3: error[XDS0005] cluster \"a\": connect_timeout: given twice, also as \"connect_timeout\" in line 4"
        ]
    );
}

#[test]
fn two_members_of_a_oneof_are_a_conflict() {
    let findings = refused(&cluster("  name: a\n  type: EDS\n  cluster_type: {name: x}\n"));
    assert_eq!(
        findings,
        [
            "a.yaml:5:3: error[XDS0005] cluster \"a\": cluster_type: only one of oneof cluster_discovery_type may be given, and \
             type is, in line 4"
        ]
    );
    // Null means an absent field.
    one(&cluster("  name: a\n  type: EDS\n  cluster_type: null\n"));
}

#[test]
fn malformed_documents_are_refused() {
    for (content, expected) in [
        (
            "",
            "a.yaml:1:1: error[XDS0002] the document is empty: expected a mapping with \"resources\"",
        ),
        (
            "# only\n",
            "a.yaml:2:1: error[XDS0002] the document is empty: expected a mapping with \"resources\"",
        ),
        (
            "null\n",
            "a.yaml:1:1: error[XDS0002] the document is empty: expected a mapping with \"resources\"",
        ),
        (
            "version_info: x\n",
            "a.yaml:1:1: error[XDS0002] \"resources\" is missing; an empty document is written \"resources: []\"",
        ),
        (
            "resources:\n",
            "a.yaml:1:10: error[XDS0002] resources: expected a list, got null; no resources are written []",
        ),
        (
            "- a\n",
            "a.yaml:1:1: error[XDS0002] expected a mapping with \"resources\", got a list",
        ),
        (
            "resources: []\n---\nresources: []\n",
            "a.yaml:3:1: error[XDS0002] more than one YAML document in one file",
        ),
        (
            "resources: []\nresource: []\n",
            "a.yaml:2:1: error[XDS0003] resource: unknown field of a document; did you mean \"resources\"?",
        ),
        (
            "resources: []\nresources: []\n",
            "a.yaml:2:1: error[XDS0001] duplicate mapping key: resources",
        ),
        (
            "resources:\n\t- a\n",
            "a.yaml:2:2: error[XDS0001] tabs disallowed within this context (block indentation)",
        ),
        ("resources: [\n", "a.yaml:1:12: error[XDS0001] unclosed bracket '['"),
        (
            "resources: *nope\n",
            "a.yaml:1:12: error[XDS0001] alias references unknown anchor",
        ),
        (
            "resources: &a [*a]\n",
            "a.yaml:1:16: error[XDS0001] an alias inside the value it stands for",
        ),
        ("a: \u{1}\n", "a.yaml:1:4: error[XDS0001] unescaped control character"),
    ] {
        assert_eq!(refused(content), [expected], "{content:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_at_their_place() {
    assert_eq!(
        refused_as("a.yaml", b"resources:\n- \xff".to_vec()),
        ["a.yaml:2:3: error[XDS0001] not UTF-8: byte 0xff"]
    );
}

#[test]
fn bom_and_crlf_are_tolerated() {
    let plain = one(&cluster("  name: a\n"));
    let windows = format!("\u{feff}{}", cluster("  name: a\n")).replace('\n', "\r\n");
    assert_eq!(plain, one(&windows));
}

#[test]
fn ambiguous_scalars_are_refused_or_mean_what_yaml_1_2_says() {
    let buffer = |value: &str| {
        admit_text(
            "a.yaml",
            cluster(&format!("  name: a\n  per_connection_buffer_limit_bytes: {value}\n")),
        )
    };
    for good in ["0o17", "0xf", "15", "15.0", "1.5e1", "'15'"] {
        let json = to_json(&any_of(&only(buffer(good).unwrap())), Secrets::Show);
        assert_eq!(json["per_connection_buffer_limit_bytes"], 15, "{good}");
    }
    for bad in [
        "017",
        "1_000",
        "1.5",
        "NaN",
        ".nan",
        ".inf",
        "1e999",
        "4294967296",
        "18446744073709551616",
        "true",
        "''",
        "+1x",
    ] {
        let rejection = buffer(bad).expect_err(bad);
        assert!(
            rejection.to_string().starts_with("a.yaml:4:38: error[XDS0004]"),
            "{rejection}"
        );
    }
    for bad in ["yes", "no", "on", "1", "'true'"] {
        let yaml = cluster(&format!("  name: a\n  respect_dns_ttl: {bad}\n"));
        assert!(refused(&yaml)[0].starts_with("a.yaml:4:20: error[XDS0004]"), "{bad}");
    }
}

#[test]
fn not_a_number_is_a_value_of_doubles_only_as_proto3_json_has_it() {
    let overprovisioned = |value: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.service.runtime.v3.Runtime\n  name: r\n  layer: {{x: {value}}}\n"
        )
    };
    let json = to_json(&any_of(&one(&overprovisioned("NaN"))), Secrets::Show);
    assert_eq!(json["layer"]["x"], "NaN");
}

#[test]
fn alias_bomb_is_refused() {
    let mut bomb = String::from("a: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..10 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("b{i}: &a{i} [{aliases}]\n"));
    }
    let findings = refused(&bomb);
    assert!(
        findings[0].contains("error[XDS0010] holds more values than are read"),
        "{findings:?}"
    );
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    on_a_small_stack(|| {
        let blocks = (0..1000).fold(String::new(), |text, i| text + &" ".repeat(i) + "a:\n");
        for (content, line) in [
            ("[".repeat(100_000), 1),
            ("- ".repeat(100_000), 1),
            ("{\"a\":".repeat(100_000), 1),
            (blocks, 129),
        ] {
            let finding = &refused(&content)[0];
            assert!(finding.starts_with(&format!("a.yaml:{line}:")), "{finding}");
            assert!(
                finding.ends_with("error[XDS0011] lists and mappings nested deeper than 128"),
                "{finding}"
            );
        }
    });
}

/// A message that can contain itself: an `Any` in an ExtensionConfig, `levels` deep.
fn nested_json(levels: usize) -> String {
    let open = r#"{"@type":"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig","name":"n","typed_config":"#;
    let inner = r#"{"@type":"type.googleapis.com/google.protobuf.Empty"}"#;
    format!(
        "{{\"resources\":[{}{inner}{}]}}",
        open.repeat(levels - 1),
        "}".repeat(levels - 1)
    )
}

#[test]
fn anys_nest_sixteen_deep_and_no_deeper() {
    on_a_small_stack(|| {
        admit_text("a.json", nested_json(16)).unwrap();
        for levels in [17, 40] {
            let finding = &refused_as("a.json", nested_json(levels))[0];
            assert!(
                finding.contains("error[XDS0011] extension_config \"n\": typed_config.")
                    && finding.ends_with("more than 16 google.protobuf.Any inside one another"),
                "{finding}"
            );
        }
        let finding = &refused_as("a.json", nested_json(10_000))[0];
        assert!(finding.contains("error[XDS0011]"), "{finding}");
        let yaml = refused_as("a.yaml", nested_json(10_000));
        assert!(yaml[0].contains("error[XDS0011]"), "{yaml:?}");
    });
}

#[test]
fn structs_nest_no_deeper_than_protobuf_decodes() {
    on_a_small_stack(|| {
        let runtime = |levels: usize| {
            format!(
                "{{\"resources\":[{{\"@type\":\"type.googleapis.com/envoy.service.runtime.v3.Runtime\",\"name\":\"r\",\"layer\":{}{{}}{}}}]}}",
                "{\"a\":".repeat(levels),
                "}".repeat(levels)
            )
        };
        let admitted = only(admit_text("a.json", runtime(32)).unwrap());
        // The admitted bytes decode with prost.
        let any = any_of(&admitted);
        assert_eq!(only(admit_any(any).unwrap()), admitted);
        for levels in [33, 101] {
            let finding = &refused_as("a.json", runtime(levels))[0];
            assert!(finding.contains("error[XDS0011]"), "{finding}");
        }
    });
}

#[test]
fn duplicate_names_are_refused_with_both_places() {
    let two = cluster("  name: a\n- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: a\n");
    assert_eq!(
        refused(&two),
        ["a.yaml:4:3: error[XDS0009] cluster \"a\": name \"a\" is taken: a.yaml:2:3 and a.yaml:4:3 both answer to it"]
    );
    let candidate = Candidate {
        documents: vec![
            document("a.yaml", cluster("  name: a\n")),
            document("b.yaml", cluster("  name: a\n")),
        ],
        resources: vec![RawResource {
            name: None,
            aliases: vec!["b".into(), "b".into()],
            ttl: None,
            any: any_of(&one(&cluster("  name: c\n"))),
        }],
    };
    let rejection = admit(&candidate, &Limits::default()).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "b.yaml:2:3: error[XDS0009] cluster \"a\": name \"a\" is taken: a.yaml:2:3 and b.yaml:2:3 both answer to it\n\
         error[XDS0009] cluster \"c\": alias \"b\" is taken: resource 0 of the request and resource 0 of the request both \
         answer to it"
    );
}

#[test]
fn one_name_in_two_types_is_no_duplicate() {
    let both = cluster(
        "  name: a\n- '@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: a\n",
    );
    assert_eq!(admit_text("a.yaml", both).unwrap().resources.len(), 2);
}

#[test]
fn names_that_cannot_be_subscribed_to_are_refused() {
    for (name, why) in [
        ("\"a\\nb\"", "control character"),
        ("\"a\\0b\"", "control character"),
        ("'*'", "subscribes to everything"),
        ("''", "the name is empty"),
    ] {
        let findings = refused(&cluster(&format!("  name: {name}\n")));
        assert!(
            findings[0].starts_with("a.yaml:3:9: error[XDS0008] cluster"),
            "{findings:?}"
        );
        assert!(findings[0].contains(why), "{findings:?}");
    }
    let long = "x".repeat(2049);
    assert!(refused(&cluster(&format!("  name: {long}\n")))[0].ends_with("2049 bytes, more than the 2048 it may have"));
}

#[test]
fn wrapper_must_agree_with_the_resource() {
    let wrapped = |wrapper: &str, inner: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.service.discovery.v3.Resource\n{wrapper}  resource:\n    '@type': \
             type.googleapis.com/{inner}\n"
        )
    };
    let differs = wrapped("  name: b\n", "envoy.config.cluster.v3.Cluster\n    name: a");
    assert!(refused(&differs)[0].ends_with("the wrapper names it \"b\", the resource itself \"a\""));
    let unnamed = wrapped("", "envoy.config.route.v3.VirtualHost\n    name: a\n    domains: [a]");
    assert!(refused(&unnamed)[0].contains("error[XDS0008] virtual_host: no name"));
    let twice = wrapped("  name: a\n", "envoy.service.discovery.v3.Resource");
    assert!(refused(&twice)[0].ends_with("a Resource wrapper inside a Resource wrapper"));
    let ttl = wrapped(
        "  name: a\n  ttl: -1s\n",
        "envoy.config.cluster.v3.Cluster\n    name: a",
    );
    assert_eq!(refused(&ttl), ["a.yaml:2:3: error[XDS0014] ttl is not positive"]);
    let bare = "resources:\n- '@type': type.googleapis.com/envoy.service.discovery.v3.Resource\n  name: a\n";
    assert_eq!(
        refused(bare),
        ["a.yaml:2:3: error[XDS0002] the wrapper has no \"resource\""]
    );
}

#[test]
fn exceeded_limits_are_reported_once() {
    let three = (0..3).fold(String::from("resources:\n"), |text, i| {
        text + &format!("- {{'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c{i}}}\n")
    });
    let candidate = Candidate {
        documents: vec![document("a.yaml", three)],
        resources: Vec::new(),
    };
    for (limits, expected) in [
        (
            Limits {
                resources: 1,
                ..Limits::default()
            },
            "more than 1 resources",
        ),
        (
            Limits {
                total_bytes: 100,
                ..Limits::default()
            },
            "all resources together take more than 100 bytes",
        ),
        (
            Limits {
                document_bytes: 10,
                ..Limits::default()
            },
            "more than the 10 that a document may have",
        ),
    ] {
        let rejection = admit(&candidate, &limits).unwrap_err();
        assert_eq!(rejection.findings.len(), 1, "{rejection}");
        assert_eq!(rejection.findings[0].code, codes::LIMIT);
        assert!(rejection.findings[0].message.ends_with(expected), "{rejection}");
    }
    let limits = Limits {
        resource_bytes: 10,
        findings: 2,
        ..Limits::default()
    };
    let rejection = admit(&candidate, &limits).unwrap_err();
    assert_eq!(rejection.findings.len(), 3, "{rejection}");
    assert_eq!(rejection.findings[2].to_string(), "error[XDS0012] 1 more errors");
}

proptest! {
    #[test]
    fn admission_never_panics_on_bytes(bytes: Vec<u8>, name in "a\\.(yaml|json|pb)") {
        let _ = admit_text(&name, bytes);
    }

    #[test]
    fn admission_never_panics_on_yaml_like_text(text in "(resources|'@type'|name|: |- |\\[|\\]|\\{|\\}|,|\n|  |\t|&a|\\*a|<<|!!int|\"|'|#|1|-1|\\.5|~|\\||>){0,40}") {
        let _ = admit_text("a.yaml", text);
    }

    #[test]
    fn admission_never_panics_on_encoded_resources(value: Vec<u8>, index in 0..ResourceType::KNOWN.len()) {
        let any = prost_types::Any { type_url: ResourceType::KNOWN[index].type_url().to_owned(), value };
        let _ = admit_any(any.clone());
        let _ = to_json(&any, Secrets::Redact);
    }

    #[test]
    fn leaves_of_every_type_are_taken_or_refused(text in ".{0,20}", number: f64) {
        for value in [format!("{text:?}"), number.to_string()] {
            for field in ["connect_timeout", "type", "per_connection_buffer_limit_bytes", "respect_dns_ttl", "name", "metadata"] {
                let _ = admit_text("a.yaml", cluster(&format!("  {field}: {value}\n")));
            }
        }
    }
}
