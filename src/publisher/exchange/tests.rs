//! Moves of listeners: those with a first one, and those that form a circle.

use std::sync::Arc;

use super::*;
use crate::{
    resource::{ContentHash, Version},
    snapshot::TypeResources,
};

/// Listeners with the places that they claim, from a text such as `"a=1 b=2,3"`.
fn listeners(text: &str) -> Types {
    let listener = |text: &str| {
        let (name, places) = text.split_once('=').unwrap();
        let name = ResourceName::from(name);
        let content = ContentHash::of(&ResourceType::Listener, &name, &[], None, places.as_bytes());
        let mut places: Vec<Place> = places.split(',').map(|place| Place::from(place.to_owned())).collect();
        places.sort();
        Arc::new(Resource {
            version: Version::from(content),
            name,
            content,
            aliases: Box::default(),
            ttl: None,
            body: bytes::Bytes::new(),
            references: Box::default(),
            places: places.into(),
            warming: crate::resource::Warming::default(),
        })
    };
    let set = TypeResources::new(text.split_whitespace().map(listener).collect()).unwrap();
    Types::from([(ResourceType::Listener, Arc::new(set))])
}

fn warned(before: &str, after: &str) -> Vec<String> {
    let found = check(&listeners(before), &listeners(after), &Places::default());
    let text = |finding: &Finding| {
        assert_eq!((finding.severity, finding.code), (Severity::Warning, "XDS0503"));
        assert!(finding.message.contains("publish twice"), "{}", finding.message);
        let warned = finding.message.strip_prefix("listeners exchange addresses: ").unwrap();
        warned.split_once(". An Envoy").unwrap().0.to_owned()
    };
    found.iter().map(text).collect()
}

#[test]
fn two_listeners_that_exchange_addresses_are_reported_with_them() {
    assert_eq!(
        warned("a=1 b=2 c=9", "a=2 b=1 c=9"),
        ["\"a\" takes 2 from \"b\", \"b\" takes 1 from \"a\""]
    );
    let found = check(&listeners("a=1 b=2"), &listeners("a=2 b=1"), &Places::default());
    assert_eq!(found[0].resource.as_deref(), Some("a"));
}

#[test]
fn circle_of_three_is_one_and_two_circles_are_two() {
    assert_eq!(
        warned("a=1 b=2 c=3", "a=2 b=3 c=1"),
        ["\"a\" takes 2 from \"b\", \"b\" takes 3 from \"c\", \"c\" takes 1 from \"a\""]
    );
    assert_eq!(warned("a=1 b=2 c=3 d=4", "a=2 b=1 c=4 d=3").len(), 2);
    let ten = |by: usize| (0..10).map(|n| format!("l{n}={} ", (n + by) % 10)).collect::<String>();
    let warned = warned(&ten(0), &ten(1));
    assert!(warned[0].ends_with("and so on for 10 listeners in all"), "{warned:?}");
}

#[test]
fn whoever_waits_for_a_circle_is_not_part_of_it() {
    assert_eq!(
        warned("a=1,5 b=2 z=8", "a=2 b=1 z=5"),
        ["\"a\" takes 2 from \"b\", \"b\" takes 1 from \"a\""]
    );
    // A circle over one of two addresses is enough.
    assert_eq!(warned("a=1,5 b=2,6", "a=2,5 b=1,6").len(), 1);
}

#[test]
fn hand_over_is_no_exchange() {
    for (before, after) in [
        ("a=1 b=2", "a=3 b=1"),
        ("a=1 b=2", "b=1"),
        ("a=1", "b=1"),
        ("a=1 b=2 c=3", "a=2 b=3 c=4"),
        ("a=1 b=2", "a=1 b=2"),
        ("", "a=1 b=2"),
        ("a=1 b=2", ""),
        // Both listeners claim the address already: that is another warning.
        ("a=1 b=2", "a=2 b=2"),
    ] {
        assert_eq!(warned(before, after), [""; 0], "{before} to {after}");
    }
}

#[test]
fn other_types_may_exchange_what_they_claim() {
    let scopes = |text| {
        let types = listeners(text).into_values().next().unwrap();
        Types::from([(ResourceType::ScopedRoute, types)])
    };
    let found = check(&scopes("a=1 b=2"), &scopes("a=2 b=1"), &Places::default());
    assert!(found.is_empty());
}
