//! Tests of the charges: their size, their peer, and their end.

use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::{
    protocol::{Listing, Lists, Policies, Policy, Scope, Variant},
    transport::lists::SharedLists,
};

const ENDPOINT: ResourceType = ResourceType::Endpoint;

/// One stream and its account.
struct Stream {
    session: Session,
    account: Account,
}

struct Fixture {
    subscribed: Arc<Subscribed>,
    lists: Arc<SharedLists>,
}

impl Fixture {
    fn new(all: usize, peer: usize) -> Self {
        Self {
            subscribed: Subscribed::new(Bounds { all, peer }),
            lists: Arc::default(),
        }
    }

    fn session(&self, variant: Variant) -> Session {
        let policy = Arc::clone(Policies::new(Policy::default(), BTreeSet::new()).common());
        let session = Session::new(variant, Scope::Aggregated, policy, "s".into(), "n".to_owned());
        session.with_names(Arc::clone(&self.lists) as Arc<dyn Lists>)
    }

    fn stream(&self, peer: u8) -> Stream {
        Stream {
            session: self.session(Variant::Delta),
            account: Account::new(Arc::clone(&self.subscribed), Some([10, 0, 0, peer].into())),
        }
    }
}

impl Stream {
    fn send(&mut self, request: &Request<'_>) -> Result<(), Full> {
        self.session.on_request(request).unwrap();
        self.account.settle(&ENDPOINT, &self.session, request)
    }

    fn edit(&mut self, add: &[String], remove: &[String]) -> Result<(), Full> {
        let texts = |names: &[String]| names.iter().map(|name| name.clone().leak() as &str).collect::<Vec<_>>();
        self.send(&Request {
            type_url: ENDPOINT.type_url(),
            names: texts(add).into(),
            unsubscribe: texts(remove).into(),
            ..Request::default()
        })
    }
}

fn names(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of}-{number:05}")).collect()
}

/// The charge of a list of such names.
fn whole(count: usize) -> usize {
    count * (NAME + "a-00000".len())
}

#[test]
fn names_of_all_streams_of_a_peer_have_a_bound_and_others_are_left_theirs() {
    let fixture = Fixture::new(2 * whole(1000), whole(1000));
    let (mut one, mut two, mut other) = (fixture.stream(1), fixture.stream(1), fixture.stream(2));
    one.edit(&names("a", 600), &[]).unwrap();
    let refused = two.edit(&names("b", 600), &[]).unwrap_err();
    assert!(matches!(refused, Full::Peer { .. }), "{refused}");
    other.edit(&names("c", 900), &[]).unwrap();
    drop((one, two));
    let mut again = fixture.stream(1);
    again.edit(&names("b", 600), &[]).unwrap();
    drop((again, other));
    assert_eq!((fixture.subscribed.bytes(), fixture.subscribed.lists.len()), (0, 0));
}

#[test]
fn a_stream_without_room_is_refused_before_the_list_is_made() {
    let fixture = Fixture::new(whole(6000), whole(6000));
    let (many, more) = (names("a", 5000), names("b", 5000));
    let request = |names: &[String]| Request {
        type_url: ENDPOINT.type_url(),
        names: names
            .iter()
            .map(|name| name.clone().leak() as &str)
            .collect::<Vec<_>>()
            .into(),
        ..Request::default()
    };
    let (mut one, two) = (fixture.stream(1), fixture.stream(2));
    let reserve = |stream: &Stream, names: &[String]| {
        let reserved = stream.account.reserve(&ENDPOINT, &stream.session, &request(names));
        reserved.map(|lease| lease.map_or(0, |lease| lease.bytes()))
    };
    assert_eq!(reserve(&one, &many), Ok(5000 * NAME));
    assert_eq!(fixture.subscribed.bytes(), 0, "a reservation is for the moment");
    one.edit(&many, &[]).unwrap();
    assert!(reserve(&two, &more).is_err());
    assert!(two.session.names_of(&ENDPOINT).is_none(), "nothing was made of it");
    // Lists of other streams exist already.
    assert_eq!(reserve(&two, &many), Ok(0));
    // In SotW a list replaces the one before.
    let mut sotw = fixture.stream(3);
    sotw.session = fixture.session(Variant::Sotw);
    sotw.send(&request(&many)).unwrap();
    assert_eq!(reserve(&sotw, &more), Ok(0));
}

#[test]
fn list_that_streams_have_in_common_counts_once() {
    let fixture = Fixture::new(whole(1000), whole(1000));
    let mut streams: Vec<Stream> = (0..20).map(|peer| fixture.stream(peer)).collect();
    for stream in &mut streams {
        stream.edit(&names("a", 900), &[]).unwrap();
    }
    assert_eq!(fixture.subscribed.bytes(), whole(900));
    streams.truncate(1);
    assert_eq!(fixture.subscribed.bytes(), whole(900));
}

#[test]
fn edited_lists_count_by_their_edits() {
    let fixture = Fixture::new(usize::MAX, usize::MAX);
    let mut streams: Vec<Stream> = (0..10).map(|peer| fixture.stream(peer)).collect();
    for stream in &mut streams {
        stream.edit(&names("a", 10_000), &[]).unwrap();
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.edit(&names(&number.to_string(), 1), &[]).unwrap();
    }
    assert_eq!(fixture.subscribed.bytes(), whole(10_000) + 10 * EDIT);
}

#[test]
fn list_that_was_edited_away_counts_no_longer() {
    let fixture = Fixture::new(usize::MAX, usize::MAX);
    let mut stream = fixture.stream(1);
    stream.edit(&names("a", 10_000), &[]).unwrap();
    for name in names("a", 10_000).chunks(100) {
        stream.edit(&[], name).unwrap();
    }
    assert_eq!(fixture.subscribed.bytes(), 0);
}

#[test]
fn globs_count_too() {
    let fixture = Fixture::new(100 * GLOB, 100 * GLOB);
    let mut stream = fixture.stream(1);
    let globs = |count: usize| -> Vec<String> { (0..count).map(|number| format!("d{number}/*")).collect() };
    stream.edit(&globs(50), &[]).unwrap();
    let held = fixture.subscribed.bytes();
    assert!(held > 50 * GLOB, "{held}");
    stream.edit(&globs(200), &[]).unwrap_err();
    let mut other = fixture.stream(1);
    other.edit(&globs(20), &[]).unwrap();
    other.edit(&[], &globs(20)).unwrap();
    assert_eq!(fixture.subscribed.bytes(), held);
}

#[test]
fn versions_that_a_client_presents_count_while_they_are_remembered() {
    let fixture = Fixture::new(100 * PRESENTED, 100 * PRESENTED);
    let present = |stream: &mut Stream, count: usize| {
        let names = names("a", count);
        let held: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        stream.send(&Request {
            type_url: ENDPOINT.type_url(),
            presented: Listing::from(held),
            ..Request::default()
        })
    };
    let (mut one, mut two) = (fixture.stream(1), fixture.stream(1));
    present(&mut one, 60).unwrap();
    assert_eq!(fixture.subscribed.bytes(), 60 * PRESENTED);
    let refused = present(&mut two, 60).unwrap_err();
    assert!(matches!(refused, Full::Peer { .. } | Full::All { .. }), "{refused}");
    drop((one, two));
    assert_eq!(fixture.subscribed.bytes(), 0);
}
