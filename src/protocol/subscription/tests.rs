//! Subscriptions by the tables of the xDS protocol, and of other servers.

use super::*;

fn names(subscription: &Subscription) -> Vec<&str> {
    subscription.names().iter().map(ResourceName::as_str).collect()
}

fn replace(subscription: &mut Subscription, list: &[&str]) -> Edit {
    subscription.replace(list, true, &Unshared)
}

fn edit(subscription: &mut Subscription, subscribe: &[&str], unsubscribe: &[&str]) -> Edit {
    subscription.edit(subscribe.iter().copied(), unsubscribe.iter().copied(), true, &Unshared)
}

// W-1: the SotW example in the text of the protocol.
#[test]
fn sotw_example_sequence() {
    let mut subscription = Subscription::default();
    assert!(replace(&mut subscription, &[]).wildcard_added);
    assert!(subscription.is_pure_wildcard());
    replace(&mut subscription, &["*", "A"]);
    assert!(subscription.is_wildcard());
    assert_eq!(names(&subscription), ["A"]);
    replace(&mut subscription, &["A"]);
    assert!(!subscription.is_wildcard());
    replace(&mut subscription, &[]);
    assert!(subscription.is_empty());
}

// W-1: the delta example in the text of the protocol.
#[test]
fn delta_example_sequence() {
    let mut subscription = Subscription::default();
    edit(&mut subscription, &[], &[]);
    assert!(subscription.is_pure_wildcard());
    edit(&mut subscription, &["A"], &[]);
    assert!(subscription.is_wildcard(), "legacy wildcard stays");
    assert_eq!(names(&subscription), ["A"]);
    edit(&mut subscription, &[], &["*"]);
    assert!(!subscription.is_wildcard());
    edit(&mut subscription, &[], &["A"]);
    assert!(subscription.is_empty());
    edit(&mut subscription, &[], &[]);
    assert!(subscription.is_empty(), "an empty request is no wildcard any more");
}

// W-3
#[test]
fn empty_name_is_an_ordinary_name() {
    let mut subscription = Subscription::default();
    replace(&mut subscription, &["a"]);
    let edit = replace(&mut subscription, &[""]);
    assert!(!subscription.is_wildcard());
    assert_eq!(names(&subscription), [""]);
    assert_eq!(edit.dropped, [ResourceName::from("a")]);
}

// W-4
#[test]
fn empty_first_list_is_nothing_where_the_type_has_no_legacy_wildcard() {
    let mut subscription = Subscription::default();
    assert!(!subscription.replace(&[], false, &Unshared).changed);
    assert!(subscription.is_empty());
    let edit = subscription.replace(&["a"], false, &Unshared);
    assert_eq!(edit.asked, [ResourceName::from("a")]);
}

#[test]
fn repeated_list_changes_nothing_whatever_its_order() {
    let mut subscription = Subscription::default();
    replace(&mut subscription, &["a", "b"]);
    assert_eq!(replace(&mut subscription, &["b", "a"]), Edit::default());
}

#[test]
fn duplicates_in_a_list_count_once() {
    let mut subscription = Subscription::default();
    replace(&mut subscription, &["a", "a", "b"]);
    assert_eq!(names(&subscription), ["a", "b"]);
    assert!(!replace(&mut subscription, &["a", "a", "b"]).changed);
}

// D-1
#[test]
fn name_in_both_lists_ends_up_not_subscribed() {
    let mut subscription = Subscription::default();
    let edit = edit(&mut subscription, &["a"], &["a"]);
    assert!(subscription.is_empty());
    assert!(edit.asked.is_empty());
}

// D-4
#[test]
fn subscribing_again_asks_again() {
    let mut subscription = Subscription::default();
    edit(&mut subscription, &["a"], &[]);
    let again = edit(&mut subscription, &["a"], &[]);
    assert_eq!(again.asked, [ResourceName::from("a")]);
    assert!(!again.changed);
}

// D-10
#[test]
fn phantom_unsubscribe_changes_nothing() {
    let mut subscription = Subscription::default();
    edit(&mut subscription, &["a"], &[]);
    assert_eq!(edit(&mut subscription, &[], &["never"]), Edit::default());
}

//
#[test]
fn glob_selects_one_level_with_equal_context() {
    let mut subscription = Subscription::default();
    edit(&mut subscription, &["xdstp://a/T/dir/*?k=v", "plain/*"], &[]);
    for (name, selected) in [
        ("xdstp://a/T/dir/x?k=v", true),
        ("xdstp://a/T/dir/x", false),
        ("xdstp://a/T/dir/sub/x?k=v", false),
        ("plain/x", true),
        ("plain", false),
    ] {
        assert_eq!(subscription.selects_name(&name.into()), selected, "{name}");
    }
}

#[test]
fn list_is_known_by_how_it_is_written_until_another_is_taken_in() {
    let (list, other) = (ListFingerprint::of([&b"a"[..]]), ListFingerprint::of([&b"b"[..]]));
    let mut subscription = Subscription::default();
    assert!(!subscription.repeats(list));
    replace(&mut subscription, &["a"]);
    subscription.note_written(list);
    assert!(subscription.repeats(list) && !subscription.repeats(other));
    replace(&mut subscription, &["a", "b"]);
    assert!(!subscription.repeats(list));
}

// S-20
#[test]
fn wildcard_covers_names_on_demand_that_the_node_asks_for() {
    let patterns: Arc<[Pattern]> = [Pattern::from("tenant-*")].into();
    let mut subscription = Subscription::leaving_out(Some(patterns));
    let names = |names: &[&str]| Names::from(names.iter().map(|name| ResourceName::from(*name)).collect::<Vec<_>>());
    assert!(
        !subscription.cover(names(&["tenant-1"])).changed,
        "there is no wildcard yet"
    );
    replace(&mut subscription, &["*", "tenant-3"]);
    assert!(subscription.selects_name(&"tenant-1".into()) && !subscription.selects_name(&"tenant-2".into()));
    let edit = subscription.cover(names(&["a", "tenant-2", "tenant-3"]));
    assert_eq!(
        edit.asked,
        [ResourceName::from("tenant-2")],
        "a name that is already selected is not requested again"
    );
    assert_eq!(edit.dropped, [ResourceName::from("tenant-1")]);
    assert!(subscription.selects_name(&"tenant-2".into()) && !subscription.selects_name(&"tenant-1".into()));
}
