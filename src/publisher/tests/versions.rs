//! One version means one content: content that returns gets another version.

use super::*;

#[test]
fn content_that_returns_gets_another_version() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1");
    let (plain, steady, set) = (fixture.version("a"), fixture.version("b"), fixture.type_version());
    fixture.replace("a=2 b=1");
    fixture.rollback(1).unwrap();
    assert_eq!(fixture.served().unwrap(), "a=1 b=1");
    assert_eq!(fixture.version("a"), format!("{plain}-r3"));
    assert_eq!(fixture.version("b"), steady, "it never changed");
    assert_ne!(fixture.type_version(), set);

    fixture.replace("a=1 b=2");
    assert_eq!(fixture.version("a"), format!("{plain}-r3"), "kept with its suffix");
}

#[test]
fn resource_that_was_deleted_and_comes_back_gets_another_version() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let (plain, set) = (fixture.version("a"), fixture.type_version());
    fixture.replace("");
    fixture.replace("a=1");
    assert_eq!(fixture.version("a"), format!("{plain}-r3"));
    assert_ne!(fixture.type_version(), set);
}

#[test]
fn set_of_unchanged_resources_that_returns_gets_another_type_version() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let (plain, set) = (fixture.version("a"), fixture.type_version());
    fixture.replace("a=1 b=1");
    fixture.replace("a=1");
    assert_eq!(fixture.version("a"), plain);
    assert_eq!(fixture.type_version(), format!("{set}-r3"));
}

#[test]
fn emptied_type_has_a_version_for_each_time_it_is_emptied() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    fixture.replace("");
    let first = fixture.type_version();
    assert!(!fixture.replace("").changed);
    fixture.replace("a=2");
    fixture.replace("");
    assert_eq!(fixture.type_version(), format!("{first}-r4"));
}

#[test]
fn named_version_never_means_two_states() {
    let fixture = Fixture::new();
    let name = |text: &str, version: &str| {
        let mut request = replace_request(&group(), text);
        request.options.version_info = Some(version.to_owned());
        fixture.publisher.replace(request)
    };
    assert_eq!(name("a=1", "v1").unwrap().changes[0].version.as_str(), "v1");
    assert_eq!(fixture.type_version(), "v1");
    assert_eq!(name("a=2", "v1").unwrap().changes[0].version.as_str(), "v1-r2");
    assert_eq!(name("a=3", "v2").unwrap().changes[0].version.as_str(), "v2");
    assert_eq!(name("a=1", "v1").unwrap().changes[0].version.as_str(), "v1-r4");
    assert!(!name("a=1", "v5").unwrap().changed, "a name alone changes nothing");
    assert!(matches!(name("a=9", "a\n"), Err(PublishError::InvalidVersion(_))));
}

#[test]
fn past_contents_are_forgotten_with_the_revisions_that_held_them() {
    let fixture = Fixture::over(Arc::new(MemoryStore::new(NonZeroUsize::new(3).unwrap())));
    fixture.replace("a=1");
    let plain = fixture.version("a");
    for content in 2..=5 {
        fixture.replace(&format!("a={content}"));
    }
    fixture.replace("a=1");
    assert_eq!(fixture.version("a"), plain);
}
