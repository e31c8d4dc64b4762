//! Access rules. Lines: the kind of the pattern, a pattern, a template, two identities, a requested name; then a section
//! `access` in JSON.

use std::time::SystemTime;

use chancery::{
    access::{AccessConfig, Identity, Kind, Pattern, Policy, Right, Template},
    connection::ClientCertificate,
    node::{NodeGroup, NodeId},
};

use super::input::lines;

pub(super) fn run(bytes: &[u8]) {
    let Some([kind, pattern, template, first, second, asked]) = lines::<6>(bytes) else {
        return;
    };
    let kind = match kind {
        "uri" => Kind::Uri,
        "dns" => Kind::Dns,
        "token" => Kind::Token,
        _ => Kind::Subject,
    };
    if let Ok(read) = Pattern::new(kind, pattern) {
        granted(pattern, &read, template, [first, second], asked);
    }
    let rules = bytes.splitn(7, |byte| *byte == b'\n').nth(6).unwrap_or_default();
    if let Ok(config) = serde_json::from_slice::<AccessConfig>(rules) {
        decided(&config, first, second, asked);
    }
}

/// A placeholder stands for its captured text, and no identity is granted another's names.
fn granted(written: &str, pattern: &Pattern, template: &str, identities: [&str; 2], asked: &str) {
    let captured = identities.map(|identity| pattern.captures(identity));
    if !written.contains(['*', '{']) && !written.contains('}') {
        assert_eq!(
            captured[0].is_some(),
            written == identities[0],
            "literal text is itself"
        );
    }
    let (Ok(read), [Some(one), Some(other)]) = (Template::new(template, pattern), &captured) else {
        return;
    };
    let (one, other) = (read.expand(one), read.expand(other));
    let granted = [one.matches(asked), other.matches(asked)];
    // A template with two wildcards may match one name for several identities.
    if template.matches('*').count() < 2 && one != other {
        assert!(
            granted != [true, true],
            "{asked:?} is granted to both {one} and {other}"
        );
    }
    if !template.contains('*') {
        assert_eq!(
            granted[0],
            one.to_string() == asked,
            "without a wildcard there is one name"
        );
    }
}

/// A node without a matching rule is refused, and secrets are granted only within the rule's patterns.
fn decided(config: &AccessConfig, uri: &str, dns: &str, asked: &str) {
    let Ok(policy) = Policy::new(config) else { return };
    let certificate = ClientCertificate {
        uris: vec![uri.to_owned()],
        dns_names: vec![dns.to_owned()],
        not_after: SystemTime::UNIX_EPOCH,
        fingerprint: String::new(),
    };
    let identity = Identity::of(Some(&certificate), None, None);
    let (node, group) = (NodeId::from(asked), NodeGroup::from(asked));
    let reach = policy.node(identity.as_ref(), &node, &group);
    let rules = config.nodes.as_deref();
    assert_eq!(
        matches!(reach, Ok(None)),
        rules.is_none(),
        "rules restrict everybody or nobody"
    );
    if let (Ok(Some(reach)), Some(rules)) = (&reach, rules) {
        let grants_none = rules.iter().all(|rule| rule.secrets.0.is_empty());
        assert!(
            !(grants_none && reach.secrets.contains(asked)),
            "no rule grants a secret"
        );
    }
    assert_eq!(
        policy.node(None, &node, &group).is_ok(),
        rules.is_none(),
        "a client without an identity is no node"
    );
    for right in [Right::Read, Right::Administer] {
        let reach = policy.caller(None, right);
        assert_eq!(
            reach.is_ok(),
            config.admin.is_none(),
            "a client without an identity has no role"
        );
        policy.caller(identity.as_ref(), right).ok();
    }
}
