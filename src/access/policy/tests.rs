//! The decisions of the rules, and the reasons of refusals.

use std::time::SystemTime;

use super::*;
use crate::{access::TokenIdentity, connection::ClientCertificate};

fn config(yaml: &str) -> AccessConfig {
    serde_saphyr::from_str(yaml).unwrap()
}

fn policy(yaml: &str) -> Policy {
    Policy::new(&config(yaml)).unwrap()
}

fn spiffe(uris: &[&str]) -> Identity {
    let certificate = ClientCertificate {
        uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        dns_names: vec!["web.prod.example".to_owned()],
        not_after: SystemTime::UNIX_EPOCH,
        fingerprint: "ab".to_owned(),
    };
    Identity::of(Some(&certificate), None, None).unwrap()
}

fn token(name: &str) -> Identity {
    let token = TokenIdentity {
        name: name.to_owned(),
        hash: String::new(),
        expires: None,
    };
    Identity::of(None, Some(token), None).unwrap()
}

const NODES: &str = r#"
nodes:
- identity: "spiffe://prod/ns/pay/sa/{sa}"
  node_id: "pay/{sa}"
  groups: pay
- identity: "spiffe://prod/ns/{ns}/sa/{sa}"
  node_id: "{ns}/*"
  groups: ["{ns}"]
  secrets: ["{ns}-*", shared]
- dns: "{host}.prod.example"
  node_id: "{host}"
  groups: "*"
"#;

fn node(identity: Option<&Identity>, id: &str, group: &str) -> Result<Option<NodeReach>, Denial> {
    policy(NODES).node(identity, &id.into(), &group.into())
}

#[test]
fn without_rules_anybody_is_any_node_and_does_everything() {
    let open = Policy::default();
    assert_eq!(open.node(None, &"a".into(), &"g".into()), Ok(None));
    let reach = open.caller(None, Right::Administer).unwrap();
    assert_eq!(reach.check("", Role::Publish, "g"), Ok(()));
}

#[test]
fn an_identity_is_the_nodes_of_its_rule_in_its_groups() {
    let shop = spiffe(&["spiffe://prod/ns/shop/sa/cart"]);
    let reach = node(Some(&shop), "shop/cart-1", "shop").unwrap().unwrap();
    assert!(reach.secrets.contains("shop-tls") && reach.secrets.contains("shared"));
    assert!(!reach.secrets.contains("pay-tls") && !reach.secrets.contains("shop-a-tls"));
    for (id, group) in [("pay/cart-1", "shop"), ("shop", "shop"), ("", "shop")] {
        assert!(matches!(node(Some(&shop), id, group), Err(Denial::Node { .. })), "{id}");
    }
    for group in ["pay", "shop2", "Shop", "*", "shop/"] {
        let denied = node(Some(&shop), "shop/cart-1", group);
        assert!(matches!(denied, Err(Denial::Group { .. })), "{group}");
    }
}

#[test]
fn the_first_rule_of_an_identity_decides_alone() {
    let pay = spiffe(&["spiffe://prod/ns/pay/sa/api"]);
    assert!(node(Some(&pay), "pay/api", "pay").is_ok());
    // The second rule would allow this node.
    assert!(matches!(node(Some(&pay), "pay/other", "pay"), Err(Denial::Node { .. })));
    let reach = node(Some(&pay), "pay/api", "pay").unwrap().unwrap();
    assert!(!reach.secrets.contains("pay-tls"), "the first rule gives no secrets");
}

#[test]
fn strangers_and_anonymous_clients_are_refused_as_nodes() {
    assert_eq!(node(None, "shop/a", "shop"), Err(Denial::Anonymous));
    let denied = node(Some(&token("shop")), "shop/a", "shop");
    assert_eq!(denied, Err(Denial::Stranger("token:shop".to_owned())));
    let none: AccessConfig = config("nodes: []");
    let closed = Policy::new(&none).unwrap();
    let shop = spiffe(&["spiffe://prod/ns/shop/sa/cart"]);
    assert!(closed.node(Some(&shop), &"a".into(), &"g".into()).is_err());
}

#[test]
fn a_name_counts_only_as_what_it_was_verified_as() {
    // A token with the name of a host, and a URI that is one.
    for other in [token("web.prod.example"), spiffe(&[])] {
        let found = policy("{nodes: [{token: 'web.prod.example', node_id: a, groups: a}], tokens_file: t}");
        let is_token = other.token().is_some();
        assert_eq!(found.node(Some(&other), &"a".into(), &"a".into()).is_ok(), is_token);
    }
    let uri = spiffe(&["web.prod.example"]);
    let by_uri = policy("{nodes: [{identity: 'web.prod.example', node_id: a, groups: a}]}");
    assert!(by_uri.node(Some(&uri), &"a".into(), &"a".into()).is_ok());
    assert!(by_uri.node(Some(&spiffe(&[])), &"a".into(), &"a".into()).is_err());
}

const ADMIN: &str = r#"
tokens_file: tokens
admin:
- token: ci
  roles: [read, publish]
  groups: ["shop-*"]
- token: "team-{team}"
  roles: [publish, read-secrets]
  groups: ["{team}", "{team}/*"]
- token: root
  roles: [administer]
"#;

#[test]
fn roles_are_for_the_groups_of_their_rule() {
    let rules = policy(ADMIN);
    let ci = rules.caller(Some(&token("ci")), Right::Publish).unwrap();
    assert_eq!(ci.check("ci", Role::Publish, "shop-eu"), Ok(()));
    assert!(matches!(
        ci.check("ci", Role::Publish, "pay"),
        Err(Denial::RoleInGroup { .. })
    ));
    assert!(matches!(
        ci.check("ci", Role::ReadSecrets, "shop-eu"),
        Err(Denial::Role { .. })
    ));
    assert!(matches!(
        ci.check("ci", Role::Publish, "*"),
        Err(Denial::RoleInGroup { .. })
    ));
    let team = rules.caller(Some(&token("team-pay")), Right::Publish).unwrap();
    assert_eq!(team.check("", Role::ReadSecrets, "pay/eu"), Ok(()));
    assert!(team.check("", Role::ReadSecrets, "pay2").is_err());
    let root = rules.caller(Some(&token("root")), Right::Administer).unwrap();
    for role in [Role::Read, Role::Publish, Role::ReadSecrets] {
        assert_eq!(root.check("", role, "anything"), Ok(()));
    }
}

#[test]
fn a_call_needs_its_role() {
    let rules = policy(ADMIN);
    assert!(rules.caller(Some(&token("ci")), Right::Read).is_ok());
    for (who, right) in [
        ("ci", Right::Administer),
        ("team-pay", Right::Read),
        ("team-pay", Right::Administer),
    ] {
        assert!(
            matches!(rules.caller(Some(&token(who)), right), Err(Denial::Role { .. })),
            "{who} {right:?}"
        );
    }
    assert_eq!(rules.caller(None, Right::Read), Err(Denial::Anonymous));
    assert!(matches!(
        rules.caller(Some(&token("x")), Right::Read),
        Err(Denial::Stranger(_))
    ));
    assert!(rules.caller(None, Right::Open).is_ok());
}

#[test]
fn rules_that_cannot_be_used_are_refused_with_their_place() {
    for (yaml, expected) in [
        (
            "nodes: [{node_id: a, groups: a}]",
            "access.nodes[0]: exactly one of identity, dns, token and subject must say who is meant",
        ),
        (
            "nodes: [{identity: a, dns: b, node_id: a, groups: a}]",
            "access.nodes[0]: exactly one of",
        ),
        (
            "nodes: [{identity: 'a/{b}', node_id: '{c}', groups: a}]",
            "access.nodes[0].node_id: \"{c}\": unknown placeholder {c}",
        ),
        (
            "nodes: [{identity: 'a/{b}', node_id: a, groups: '{b}*'}]",
            "access.nodes[0].groups: \"{b}*\": {b} is followed by *",
        ),
        (
            "nodes: [{identity: 'a/{b}{c}', node_id: a, groups: a}]",
            "access.nodes[0].identity: \"a/{b}{c}\": segment \"{b}{c}\" has two placeholders",
        ),
        (
            "nodes: [{identity: a, node_id: [], groups: a}]",
            "access.nodes[0].node_id is empty",
        ),
        (
            "nodes: [{token: a, node_id: a, groups: a}]",
            "access.nodes[0].token needs access.tokens_file",
        ),
        (
            "nodes: [{subject: a, node_id: a, groups: a}]",
            "access.nodes[0].subject needs access.jwt",
        ),
        ("admin: [{identity: a, roles: []}]", "access.admin[0].roles is empty"),
        (
            "admin: [{identity: a, roles: [publish]}]",
            "access.admin[0].groups is empty",
        ),
    ] {
        let error = Policy::new(&config(yaml)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{yaml}: {error}");
    }
}
