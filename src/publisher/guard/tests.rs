//! Removals that must be confirmed, and those that need not.

use std::sync::Arc;

use super::*;
use crate::{
    admission::Severity,
    resource::{ContentHash, ResourceName, Version},
    snapshot::TypeResources,
};

const CLUSTER: ResourceType = ResourceType::Cluster;
const ENDPOINT: ResourceType = ResourceType::Endpoint;

/// Resources named by numbers, from lists such as `[(CLUSTER, 0..3)]`.
fn types(all: &[(ResourceType, std::ops::Range<usize>)]) -> Types {
    let of = |resource_type: &ResourceType, range: &std::ops::Range<usize>| {
        let resources = range.clone().map(|number| {
            let name = ResourceName::from(number.to_string());
            let content = ContentHash::of(resource_type, &name, &[], None, b"");
            Arc::new(Resource {
                version: Version::from(content),
                name,
                content,
                aliases: Box::default(),
                ttl: None,
                body: bytes::Bytes::new(),
                references: Box::default(),
                places: Box::default(),
                warming: crate::resource::Warming::default(),
            })
        });
        Arc::new(TypeResources::new(resources.collect()).unwrap())
    };
    all.iter()
        .map(|(kind, range)| (kind.clone(), of(kind, range)))
        .collect()
}

fn messages_of(guard: &RemovalGuard, owner: Owner, before: &Types, after: &Types) -> Vec<String> {
    let changes = super::super::change::type_changes(before, after);
    let found = guard.check(&Removal {
        group: &"g".into(),
        owner,
        before,
        after,
        changes: &changes,
    });
    let text = |finding: &Finding| {
        assert_eq!(finding.severity, Severity::Error);
        let (message, remedy) = finding.message.split_once(": ").expect("a remedy");
        let word = if owner == Owner::Files {
            "delete-snapshot"
        } else {
            "--allow-removals"
        };
        assert!(remedy.contains(word), "{remedy}");
        format!("{} {message}", finding.code)
    };
    found.iter().map(text).collect()
}

fn messages(before: &Types, after: &Types) -> Vec<String> {
    messages_of(&RemovalGuard::default(), Owner::AdminApi, before, after)
}

#[test]
fn emptying_a_type_is_asked() {
    let before = types(&[(CLUSTER, 0..20), (ENDPOINT, 0..3)]);
    let after = types(&[(CLUSTER, 0..20), (ENDPOINT, 0..0)]);
    assert_eq!(
        messages(&before, &after),
        ["XDS0501 would empty type endpoint (3 resources)"]
    );
    assert_eq!(
        messages(&types(&[(CLUSTER, 0..1)]), &types(&[])),
        [
            "XDS0501 would empty type cluster (1 resource)",
            "XDS0502 would remove 1 of 1 resources (limit 50 %)"
        ]
    );
}

#[test]
fn more_than_the_share_is_asked_and_exactly_the_share_is_not() {
    for (before, after, asked) in [
        (100, 30, Some("XDS0502 would remove 70 of 100 resources (limit 50 %)")),
        (100, 50, None),
        (100, 49, Some("XDS0502 would remove 51 of 100 resources (limit 50 %)")),
        (2, 1, None),
        (3, 1, Some("XDS0502 would remove 2 of 3 resources (limit 50 %)")),
    ] {
        let asked: Vec<&str> = asked.into_iter().collect();
        let found = messages(&types(&[(CLUSTER, 0..before)]), &types(&[(CLUSTER, 0..after)]));
        assert_eq!(found, asked, "{before} to {after}");
    }
}

#[test]
fn a_share_of_any_size_is_met_exactly() {
    for percent in 1..100 {
        let guard = RemovalGuard {
            max_share: f64::from(percent) / 100.0,
            ..RemovalGuard::default()
        };
        let left = 100 - percent as usize;
        let (before, exact) = (types(&[(CLUSTER, 0..100)]), types(&[(CLUSTER, 0..left)]));
        assert_eq!(
            messages_of(&guard, Owner::AdminApi, &before, &exact),
            [""; 0],
            "{percent}"
        );
        if left > 1 {
            let more = types(&[(CLUSTER, 0..left - 1)]);
            assert_eq!(
                messages_of(&guard, Owner::AdminApi, &before, &more).len(),
                1,
                "{percent}"
            );
        }
    }
}

#[test]
fn the_share_is_of_all_types_together() {
    let before = types(&[(CLUSTER, 0..8), (ENDPOINT, 0..8)]);
    let after = types(&[(CLUSTER, 0..1), (ENDPOINT, 0..8)]);
    assert_eq!(messages(&before, &after), [""; 0]);
}

#[test]
fn replaced_resources_are_no_removals_in_tiny_groups_alone() {
    // One cluster with its endpoints is replaced by another one.
    let before = types(&[(CLUSTER, 0..1), (ENDPOINT, 0..1), (ResourceType::Listener, 0..1)]);
    let after = types(&[(CLUSTER, 1..2), (ENDPOINT, 1..2), (ResourceType::Listener, 0..1)]);
    assert_eq!(messages(&before, &after), [""; 0]);
    // The resources of another group, published to this one by mistake.
    let (before, after) = (types(&[(CLUSTER, 0..20)]), types(&[(CLUSTER, 20..40)]));
    assert_eq!(
        messages(&before, &after),
        ["XDS0502 would remove 20 of 20 resources (limit 50 %)"]
    );
}

#[test]
fn files_are_trusted_where_that_is_set() {
    let (before, after) = (types(&[(CLUSTER, 0..2)]), types(&[]));
    let trusting = RemovalGuard {
        trusts_files: true,
        ..RemovalGuard::default()
    };
    assert_eq!(messages_of(&trusting, Owner::Files, &before, &after), [""; 0]);
    assert_eq!(messages_of(&trusting, Owner::AdminApi, &before, &after).len(), 2);
    assert_eq!(
        messages_of(&RemovalGuard::default(), Owner::Files, &before, &after).len(),
        2
    );
}

#[test]
fn resources_that_come_back_are_not_counted() {
    let guard = RemovalGuard {
        returns: Some(|group, kind, resource| {
            group.as_str() == "g" && *kind == ENDPOINT && resource.name.as_str() != "0"
        }),
        ..RemovalGuard::default()
    };
    let after = types(&[(CLUSTER, 0..1)]);
    let put_back = types(&[(CLUSTER, 0..1), (ENDPOINT, 1..5)]);
    assert_eq!(messages_of(&guard, Owner::AdminApi, &put_back, &after), [""; 0]);
    let not_all = types(&[(CLUSTER, 0..1), (ENDPOINT, 0..5)]);
    assert_eq!(messages_of(&guard, Owner::AdminApi, &not_all, &after).len(), 1);
}
