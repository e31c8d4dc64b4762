//! Origins of revisions, in the records of this release and of earlier ones.

use super::*;
use crate::revision::{
    Origin,
    redb_store::{records::RevisionRecord, vault::Place},
};

/// A revision record of releases that had an owner and no origin.
#[derive(Clone, PartialEq, prost::Message)]
struct EarlierRecord {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(message, optional, tag = "2")]
    time: Option<prost_types::Timestamp>,
    #[prost(string, tag = "3")]
    author: String,
    #[prost(string, tag = "4")]
    message: String,
    #[prost(bool, tag = "5")]
    deleted: bool,
    #[prost(message, repeated, tag = "6")]
    types: Vec<EarlierType>,
    #[prost(bytes = "vec", tag = "7")]
    replaced: Vec<u8>,
    #[prost(string, tag = "8")]
    owner: String,
    #[prost(bool, tag = "9")]
    passing: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EarlierType {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "3")]
    resources: u64,
}

/// Stores a deletion in the earlier form, in its own group.
fn store_earlier(store: &RedbStore, revision: u64, author: &str, owner: &str, passing: bool) {
    let record = EarlierRecord {
        group: format!("g{revision}"),
        author: author.to_owned(),
        deleted: true,
        owner: owner.to_owned(),
        passing,
        ..EarlierRecord::default()
    };
    let written = store.store.write(|txn, vault| {
        let sealed = vault.seal(Place::Revision(&record.group, revision), &record);
        let mut revisions = txn.open_table(REVISIONS)?;
        revisions.insert((record.group.as_str(), revision), sealed.as_slice())?;
        txn.open_table(META)?.insert(META_LAST, revision)?;
        Ok(())
    });
    written.unwrap();
}

#[test]
fn records_of_earlier_releases_have_the_origin_that_they_imply() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    let earlier = [
        (1, "ann", "", false, Origin::AdminApi),
        (2, "files", "files", false, Origin::Files),
        (3, "registry", "", true, Origin::Registry),
        // Anybody may use this author: the name proves nothing.
        (4, "registry", "", false, Origin::AdminApi),
        (5, "ann", "", true, Origin::Registry),
    ];
    for (revision, author, owner, passing, _) in earlier {
        store_earlier(&store, revision, author, owner, passing);
    }
    let loaded = store.load().unwrap();
    let origins: Vec<Origin> = loaded.groups.iter().map(|group| group.head.origin).collect();
    assert_eq!(origins, earlier.map(|(.., origin)| origin));
    for (revision, author, _, passing, origin) in earlier {
        let group = NodeGroup::from(format!("g{revision}").as_str());
        let listed = store.list(&group, 1).unwrap();
        assert_eq!((listed[0].author.as_str(), listed[0].origin), (author, origin));
        let stored = store.get(&group, Revision(revision)).unwrap().unwrap();
        assert_eq!((stored.origin, stored.trace().passing), (origin, passing));
    }
}

#[test]
fn an_origin_that_no_release_knows_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    store_earlier(&store, 1, "ann", "elsewhere", false);
    let error = store.load().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn earlier_releases_read_what_is_stored_now() {
    for (origin, owner, passing) in [
        (Origin::AdminApi, "", false),
        (Origin::Files, "files", false),
        (Origin::Registry, "", true),
    ] {
        let revision = StoredRevision {
            origin,
            ..deleted("g", 1)
        };
        let record = RevisionRecord::new(&revision, Vec::new());
        let bytes = prost::Message::encode_to_vec(&record);
        let earlier: EarlierRecord = prost::Message::decode(bytes.as_slice()).unwrap();
        assert_eq!((earlier.owner.as_str(), earlier.passing), (owner, passing));
        assert_eq!(record.origin(), Some(origin));
    }
}
