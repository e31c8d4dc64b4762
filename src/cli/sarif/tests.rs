//! The structure that SARIF 2.1.0 requires, and its content.

use super::*;

fn finding(severity: Severity) -> Finding {
    Finding {
        severity: severity.into(),
        code: codes::UNKNOWN_FIELD.to_owned(),
        message: "unknown field".to_owned(),
        document: "conf/a b.yaml".to_owned(),
        line: 7,
        column: 9,
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        resource: "a".to_owned(),
        field: "lb_polici".to_owned(),
    }
}

#[test]
fn a_result_says_what_is_wrong_and_where() {
    let log = log(&[finding(Severity::Error), finding(Severity::Warning)]);
    let results = &log["runs"][0]["results"];
    let index = codes::ALL
        .iter()
        .position(|(code, _)| *code == codes::UNKNOWN_FIELD)
        .unwrap();
    assert_eq!(
        results[0],
        json!({
            "ruleId": "XDS0003",
            "ruleIndex": index,
            "level": "error",
            "message": {"text": "cluster \"a\": lb_polici: unknown field"},
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": {"uri": "conf/a%20b.yaml"},
                    "region": {"startLine": 7, "startColumn": 9},
                },
                "logicalLocations": [
                    {"name": "lb_polici", "fullyQualifiedName": "cluster/a/lb_polici", "kind": "property"},
                ],
            }],
        })
    );
    assert_eq!(results[1]["level"], "warning");
}

#[test]
fn unset_fields_are_left_out() {
    let bare = Finding {
        message: "1 more error".to_owned(),
        code: codes::TRUNCATED.to_owned(),
        ..Finding::default()
    };
    assert!(result(&bare).get("locations").is_none());
    let without_line = Finding {
        line: 0,
        column: 0,
        field: String::new(),
        ..finding(Severity::Error)
    };
    let location = &result(&without_line)["locations"][0];
    assert!(location["physicalLocation"].get("region").is_none());
    assert_eq!(location["logicalLocations"][0]["kind"], "resource");
}

/// The properties that the schema requires, with their types.
#[test]
fn the_log_has_what_the_schema_requires() {
    let log = log(&[finding(Severity::Error)]);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"].as_array().unwrap()[0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "chancery");
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), codes::ALL.len());
    for rule in rules {
        assert!(rule["id"].as_str().unwrap().starts_with("XDS"));
        for text in ["shortDescription", "help"] {
            assert!(rule[text]["text"].as_str().unwrap().ends_with('.'), "{rule}");
        }
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["error", "warning"].contains(&level));
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    for result in run["results"].as_array().unwrap() {
        assert!(result["message"]["text"].is_string());
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
}

#[test]
fn paths_become_uris() {
    assert_eq!(uri("a/b.yaml"), "a/b.yaml");
    assert_eq!(uri("/etc/x y.yaml"), "file:///etc/x%20y.yaml");
    assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
}
