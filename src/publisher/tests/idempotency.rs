//! Publishes that are sent again, since their answer was lost.

use super::*;

fn keyed(text: &str, key: &str) -> ReplaceRequest {
    ReplaceRequest {
        options: with_key(key),
        ..replace_request(&group(), text)
    }
}

fn with_key(key: &str) -> PublishOptions {
    PublishOptions {
        idempotency_key: Some(key.to_owned()),
        ..PublishOptions::default()
    }
}

fn assert_repeated(again: &Published, first: &Published) {
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.revision, again.changed), (first.revision, first.changed));
    assert_eq!(again.changes, first.changes);
}

#[test]
fn a_retried_publish_is_one_publish() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1");
    let first = fixture.publisher.replace(keyed("a=2 c=1", "k")).unwrap();
    assert_eq!(first.revision, Revision(2));
    let again = fixture.publisher.replace(keyed("a=2 c=1", "k")).unwrap();
    assert_repeated(&again, &first);
    assert_eq!(fixture.publisher.history(&group(), 9).unwrap().len(), 2);
}

#[test]
fn a_retry_does_not_undo_what_came_in_between() {
    let fixture = Fixture::new();
    let first = fixture.publisher.replace(keyed("a=1", "k")).unwrap();
    fixture.replace("a=2");
    assert_repeated(&fixture.publisher.replace(keyed("a=1", "k")).unwrap(), &first);
    assert_eq!(fixture.served().unwrap(), "a=2");
}

#[test]
fn a_retry_of_what_changed_nothing_still_changes_nothing() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let first = fixture.publisher.replace(keyed("a=1", "k")).unwrap();
    assert!(!first.changed);
    fixture.replace("a=2");
    assert_repeated(&fixture.publisher.replace(keyed("a=1", "k")).unwrap(), &first);
    assert_eq!(fixture.served().unwrap(), "a=2");
}

#[test]
fn a_retry_is_recognized_whatever_revision_it_expects() {
    let fixture = Fixture::new();
    let mut request = keyed("a=1", "k");
    request.options.expected_revision = Some(0);
    let first = fixture.publisher.replace(request.clone()).unwrap();
    assert_repeated(&fixture.publisher.replace(request).unwrap(), &first);
}

#[test]
fn patches_and_rollbacks_have_keys_too() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1");
    let patch = PatchRequest {
        options: with_key("patch"),
        ..patch_request("c=1", &["b"])
    };
    let first = fixture.publisher.patch(patch.clone()).unwrap();
    assert_repeated(&fixture.publisher.patch(patch).unwrap(), &first);
    let back = || fixture.publisher.rollback(&group(), Revision(1), &with_key("back"));
    let first = back().unwrap();
    assert_repeated(&back().unwrap(), &first);
    assert_eq!(fixture.served().unwrap(), "a=1 b=1");
}

#[test]
fn a_key_with_other_content_is_a_conflict_that_says_so() {
    let fixture = Fixture::new();
    fixture.publisher.replace(keyed("a=1 b=1", "k")).unwrap();
    let named = ReplaceRequest {
        options: PublishOptions {
            version_info: Some("by hand".to_owned()),
            ..with_key("k")
        },
        ..keyed("a=1 b=1", "k")
    };
    let patch = PatchRequest {
        options: with_key("k"),
        ..patch_request("a=1 b=1", &[])
    };
    for refused in [
        fixture.publisher.replace(keyed("a=2 b=1", "k")),
        fixture.publisher.replace(keyed("a=1", "k")),
        fixture.publisher.replace(named),
        fixture.publisher.patch(patch),
        fixture.publisher.rollback(&group(), Revision(1), &with_key("k")),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(
                refused,
                PublishError::KeyReused {
                    revision: Revision(1),
                    ..
                }
            ),
            "{refused}"
        );
        assert!(refused.to_string().contains("idempotency key \"k\""), "{refused}");
    }
    assert_eq!(fixture.publisher.history(&group(), 9).unwrap().len(), 1);
}

#[test]
fn a_key_belongs_to_its_group_and_to_no_dry_run() {
    let fixture = Fixture::new();
    let mut tried = keyed("a=1", "k");
    tried.options.dry_run = true;
    assert!(!fixture.publisher.replace(tried.clone()).unwrap().repeated);
    assert!(!fixture.publisher.replace(keyed("a=2", "k")).unwrap().repeated);
    assert!(!fixture.publisher.replace(tried).unwrap().repeated);
    let other = ReplaceRequest {
        group: NodeGroup::from("other"),
        ..keyed("a=3", "k")
    };
    assert!(!fixture.publisher.replace(other).unwrap().repeated);
}

#[test]
fn a_refused_publish_may_be_mended_under_its_key() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let mut request = keyed("a=2", "k");
    request.options.expected_revision = Some(7);
    fixture.publisher.replace(request).unwrap_err();
    assert!(!fixture.publisher.replace(keyed("a=3", "k")).unwrap().repeated);
}

#[test]
fn malformed_keys_are_refused() {
    let fixture = Fixture::new();
    for key in ["", "a\nb", &"k".repeat(257)] {
        let refused = fixture.publisher.replace(keyed("a=1", key)).unwrap_err();
        assert!(matches!(refused, PublishError::InvalidKey(_)), "{refused}");
    }
}

#[test]
fn a_restart_does_not_forget_it() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let keep = NonZeroUsize::new(3).unwrap();
        Fixture::over(Arc::new(RedbStore::open(dir.path(), keep, None).unwrap()))
    };
    let first = open().publisher.replace(keyed("a=1", "k")).unwrap();
    let fixture = open();
    assert_repeated(&fixture.publisher.replace(keyed("a=1", "k")).unwrap(), &first);
    fixture.publisher.replace(keyed("a=2", "k")).unwrap_err();
    for n in 3..9 {
        fixture
            .publisher
            .replace(keyed(&format!("a={n}"), &n.to_string()))
            .unwrap();
    }
    let published = fixture.publisher.replace(keyed("a=1", "k")).unwrap();
    assert!(!published.repeated, "as many are remembered as revisions are kept");
}
