//! Tests that the streams of one node share their names, for as long as the names count.

use std::task::Waker;

use super::*;
use crate::{
    node::Pattern,
    protocol::{Policy, Request, Scope, Variant},
    resource::ResourceType::Cluster,
};

fn session(variant: Variant, names: &[&str]) -> Session {
    let policy = Policy {
        on_demand: [(Cluster, [Pattern::from("tenant-*")].as_slice().into())].into(),
        ..Policy::default()
    };
    let mut session = Session::new(variant, Scope::Aggregated, Arc::new(policy), "s".into(), "n".to_owned());
    ask(&mut session, names);
    session
}

fn ask(session: &mut Session, names: &[&str]) {
    let request = Request {
        type_url: Cluster.type_url(),
        names: names.to_vec().into(),
        ..Request::default()
    };
    session.on_request(&request).unwrap();
}

/// The names of the node, as one of its streams learns them.
fn learnt(member: &mut Member, session: &mut Session, now: Instant) -> Vec<String> {
    member.exchange(session, &Context::from_waker(Waker::noop()), now);
    let (_, asked) = member.taken.as_ref().unwrap();
    asked[&Cluster].iter().map(ToString::to_string).collect()
}

#[test]
fn streams_of_a_node_learn_what_each_other_asks_for() {
    let on_demand = Arc::new(OnDemand::default());
    let now = Instant::now();
    let join = |node: &str| on_demand.join(&"g".into(), &node.into(), vec![Cluster], true, now);
    let (mut all, mut by_name, mut other) = (join("n"), join("n"), join("other"));
    let mut wildcard = session(Variant::Sotw, &["*"]);
    let mut named = session(Variant::Delta, &["tenant-1"]);
    let mut stranger = session(Variant::Delta, &["tenant-9"]);
    assert!(learnt(&mut all, &mut wildcard, now).is_empty());
    learnt(&mut other, &mut stranger, now);
    learnt(&mut by_name, &mut named, now);
    assert_eq!(learnt(&mut all, &mut wildcard, now), ["tenant-1"]);
    ask(&mut named, &["tenant-2"]);
    learnt(&mut by_name, &mut named, now);
    assert_eq!(learnt(&mut all, &mut wildcard, now), ["tenant-1", "tenant-2"]);
}

#[test]
fn names_count_for_a_while_after_their_stream_and_then_nothing_is_kept() {
    let on_demand = Arc::new(OnDemand::default());
    let now = Instant::now();
    let join = || on_demand.join(&"g".into(), &"n".into(), vec![Cluster], true, now);
    let (mut all, mut by_name) = (join(), join());
    let mut wildcard = session(Variant::Sotw, &["*"]);
    learnt(&mut by_name, &mut session(Variant::Delta, &["tenant-1"]), now);
    drop(by_name);
    let later = now + GRACE + Duration::from_secs(60);
    assert_eq!(learnt(&mut all, &mut wildcard, now), ["tenant-1"]);
    assert!(learnt(&mut all, &mut wildcard, later).is_empty());
    drop(all);
    assert!(on_demand.nodes.is_empty());
}
