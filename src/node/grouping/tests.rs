//! Tests of the rules: which rule a node matches, and which rules are refused.

use prost_types::{Struct, Value, value::Kind};

use super::*;
use crate::node::{Locality, NodeId};

fn node(id: &str, cluster: &str) -> Node {
    let tier = Value {
        kind: Some(Kind::StringValue("gold".into())),
    };
    let app = Struct {
        fields: [("tier".to_owned(), tier)].into(),
    };
    let metadata = Struct {
        fields: [(
            "app".to_owned(),
            Value {
                kind: Some(Kind::StructValue(app)),
            },
        )]
        .into(),
    };
    Node {
        id: NodeId::from(id),
        cluster: cluster.into(),
        locality: Locality {
            region: "eu".into(),
            zone: "eu-1".into(),
            sub_zone: String::new(),
        },
        metadata,
        user_agent: String::new(),
        client_features: Vec::new(),
    }
}

fn grouping(yaml: &str) -> Grouping {
    Grouping::new(serde_saphyr::from_str(yaml).unwrap()).unwrap()
}

fn group(grouping: &Grouping, node: &Node) -> Option<String> {
    grouping.group_of(node).map(|group| group.to_string())
}

#[test]
fn default_group_is_the_cluster_and_else_the_id() {
    let rules = Grouping::default();
    assert_eq!(group(&rules, &node("n", "c")).as_deref(), Some("c"));
    assert_eq!(group(&rules, &node("n", "")).as_deref(), Some("n"));
    assert_eq!(group(&rules, &node("", "")), None);
}

#[test]
fn a_node_cannot_put_itself_into_the_shared_group() {
    assert_eq!(group(&Grouping::default(), &node("n", "*")), None);
}

#[test]
fn first_rule_whose_conditions_all_hold_names_the_group() {
    let rules = grouping(
        r#"[{id: "edge-*", locality: {region: us}, group: us-edge},
            {id: "edge-*", metadata: {app.tier: gold}, group: "edge-{zone}-{metadata.app.tier}"},
            {cluster: "*", group: all}]"#,
    );
    assert_eq!(group(&rules, &node("edge-7", "c")).as_deref(), Some("edge-eu-1-gold"));
    assert_eq!(group(&rules, &node("x", "c")).as_deref(), Some("all"));
}

#[test]
fn patterns_match_the_whole_text() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "a-c", false),
        ("aba*ba", "aba", false),
        ("*", "", true),
    ] {
        assert_eq!(Pattern::from(pattern).matches(text), expected, "{pattern} ~ {text}");
    }
}

#[test]
fn rules_that_name_no_group_are_refused() {
    for (template, error) in [
        ("", RuleError::EmptyGroup(0)),
        ("*", RuleError::SharedGroup(0)),
        ("{id", RuleError::UnclosedBrace(0)),
        (
            "{name}",
            RuleError::UnknownPlaceholder {
                index: 0,
                name: "name".into(),
            },
        ),
    ] {
        let rule = GroupRule {
            id: None,
            cluster: None,
            locality: None,
            metadata: std::collections::BTreeMap::new(),
            group: template.into(),
        };
        assert_eq!(Grouping::new(vec![rule]), Err(error));
    }
}
