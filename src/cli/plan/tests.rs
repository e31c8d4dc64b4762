//! The text of plans.

use super::*;
use crate::proto::admin::TypeSubscription;

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

fn field(path: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
    FieldChange {
        path: path.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
        sensitive: false,
    }
}

fn step(type_url: &str, round: u32, counts: [u32; 4]) -> Step {
    let [added, changed, removed, repeated] = counts;
    Step {
        type_url: type_url.to_owned(),
        round,
        added,
        changed,
        removed,
        repeated,
        ..Step::default()
    }
}

#[test]
fn a_changed_resource_is_shown_field_by_field() {
    let mut fields = vec![
        field("connect_timeout", Some("\"1s\""), Some("\"2s\"")),
        field("a[0]", None, Some("{\"b\":\u{1b}1}")),
        FieldChange {
            sensitive: true,
            ..field("key", Some("\"[redacted]\""), Some("\"[redacted]\""))
        },
        field("(fields unknown to this server)", None, None),
        field("long", Some(&"x".repeat(500)), None),
    ];
    fields.extend((0..10).map(|n| field(&n.to_string(), Some("1"), Some("2"))));
    let plan = Plan {
        types: vec![TypePlan {
            type_url: CLUSTER.to_owned(),
            resources: vec![ResourceDiff {
                name: "a".to_owned(),
                fields,
                more_fields: 4,
            }],
            ..TypePlan::default()
        }],
        ..Plan::default()
    };
    let change = TypeChange {
        type_url: CLUSTER.to_owned(),
        added: (0..22).map(|n| format!("n{n}")).collect(),
        changed: vec!["a".to_owned()],
        removed: vec!["z".to_owned()],
        version: String::new(),
    };
    let text = changes(&[change], Some(&plan));
    for line in [
        "  + cluster n19\n  + cluster: 2 more\n  ~ cluster a\n      connect_timeout: \"1s\" → \"2s\"\n",
        "      a[0]: (not set) → {\"b\":\\u{1b}1}\n",
        "      key: changed (a secret, not shown)\n",
        "      (fields unknown to this server): changed\n",
        &format!("      long: {}… → (not set)\n", "x".repeat(100)),
        "      … 7 more fields (-o json shows more)\n  - cluster z\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn receivers_are_shown_with_the_order() {
    let receiver = |id: &str| Receiver {
        node_id: id.to_owned(),
        group: "demo".to_owned(),
        subscriptions: vec![
            TypeSubscription {
                type_url: CLUSTER.to_owned(),
                wildcard: true,
                names: 0,
            },
            TypeSubscription {
                type_url: LISTENER.to_owned(),
                wildcard: false,
                names: 2,
            },
        ],
    };
    let plan = Plan {
        is_next: true,
        receivers: vec![receiver("one"), receiver("two")],
        receivers_total: 5,
        connected_total: 7,
        rollouts: vec![Rollout {
            form: Form::AdsSotw.into(),
            nodes: 4,
            node_ids: vec!["one".to_owned(), "two".to_owned()],
            steps: vec![
                step(CLUSTER, 1, [1, 2, 0, 7]),
                step(LISTENER, 2, [0, 1, 0, 0]),
                step(LISTENER, 3, [0, 0, 1, 0]),
            ],
        }],
        receivers_without_rollout: 1,
        ..Plan::default()
    };
    assert_eq!(
        delivery(&plan, "demo"),
        "received by 5 of 7 connected nodes:\n  \
         one (group demo): cluster all, listener 2 names\n  \
         two (group demo): cluster all, listener 2 names\n  \
         … 3 more\n\
         to 4 nodes on ADS (SotW), in this order: one, two and more\n  \
         1. CDS +1 ~2 (7 again)\n  \
         2. LDS ~1, once 1 is ACKed\n  \
         3. LDS -1, once 1 and 2 are ACKed\n\
         to 1 more node with other subscriptions in an order of their own\n"
    );
}

#[test]
fn missing_nodes_and_missing_receivers_are_shown() {
    let nobody = Plan {
        is_next: true,
        ..Plan::default()
    };
    assert_eq!(
        delivery(&nobody, "demo"),
        "no node of group demo is connected: nobody receives it now\n"
    );
    let none = Plan {
        connected_total: 1,
        ..nobody.clone()
    };
    assert_eq!(delivery(&none, "demo"), "received by none of 1 connected node\n");
    let past = Plan {
        is_next: false,
        ..nobody
    };
    assert_eq!(delivery(&past, "demo"), "");
}
