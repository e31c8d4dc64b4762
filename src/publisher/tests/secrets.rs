//! Versions of secrets: they confirm no guess, and do not show that two groups have the same secret.

use super::*;
use crate::{
    admission::admit,
    resource::ContentHash,
    revision::{Receipt, RevisionInfo},
    snapshot::TypeResources,
};

const SECRET: ResourceType = ResourceType::Secret;

/// The fields of a generic `Secret` that the tests need.
#[derive(Clone, PartialEq, prost::Message)]
struct Secret {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "5")]
    generic_secret: Option<GenericSecret>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GenericSecret {
    #[prost(message, optional, tag = "1")]
    secret: Option<DataSource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DataSource {
    #[prost(string, tag = "3")]
    inline_string: String,
}

/// A secret `s` with this content, and a cluster.
fn candidate(content: &str) -> Candidate {
    let secret = Secret {
        name: "s".to_owned(),
        generic_secret: Some(GenericSecret {
            secret: Some(DataSource {
                inline_string: content.to_owned(),
            }),
        }),
    };
    let mut candidate = clusters("a=1");
    candidate.resources.push(raw(&SECRET, "s", secret.encode_to_vec()));
    candidate
}

fn request(group: &str, content: &str) -> ReplaceRequest {
    ReplaceRequest {
        group: group.into(),
        candidate: candidate(content),
        options: PublishOptions {
            idempotency_key: Some(format!("{group} {content}")),
            ..confirmed()
        },
    }
}

fn served(publisher: &Publisher, group: &str, kind: &ResourceType) -> Arc<TypeResources> {
    let (_, snapshot) = publisher.get(&group.into(), None).unwrap();
    Arc::clone(snapshot.get(kind).unwrap())
}

/// Every hash over the secret that is visible outside of the process.
fn hashes(publisher: &Publisher, store: &dyn RevisionStore, group: &str, content: &str) -> Vec<String> {
    let secrets = served(publisher, group, &SECRET);
    let secret = secrets.named("s").unwrap();
    let history: Vec<RevisionInfo> = publisher.history(&group.into(), 1).unwrap();
    let receipt: Receipt = store
        .receipt(&group.into(), &format!("{group} {content}"))
        .unwrap()
        .unwrap();
    vec![
        secret.version.to_string(),
        secret.content.to_string(),
        secrets.version().to_string(),
        secrets.content_hash().to_string(),
        secrets.contents_hash().to_string(),
        history[0].content_hash().unwrap().to_string(),
        receipt.request.to_string(),
    ]
}

/// The same hashes, made by somebody who guesses the secret without the key.
fn guessed(content: &str) -> Vec<String> {
    let admitted = admit(&candidate(content), &Limits::default()).unwrap();
    let secrets = TypeResources::new(admitted.resources[&SECRET].clone()).unwrap();
    let secret = secrets.named("s").unwrap();
    let hash: ContentHash = secrets.content_hash();
    vec![
        secret.version.to_string(),
        secrets.version().to_string(),
        hash.to_string(),
        secrets.contents_hash().to_string(),
    ]
}

#[test]
fn version_of_a_secret_confirms_no_guess_and_links_no_groups() {
    let store = Arc::new(MemoryStore::default());
    let fixture = Fixture::over(store.clone());
    for group in ["a", "b"] {
        fixture.publisher.replace(request(group, "hunter2")).unwrap();
    }
    let [a, b] = ["a", "b"].map(|group| hashes(&fixture.publisher, &*store, group, "hunter2"));
    for hash in &a {
        assert!(!b.contains(hash), "{hash} is that of both groups");
        assert!(!guessed("hunter2").contains(hash), "{hash} can be made without the key");
    }
    let versions = ["a", "b"].map(|group| served(&fixture.publisher, group, &CLUSTER).version().to_string());
    assert_eq!(versions[0], versions[1], "clusters are no secrets");
}

#[test]
fn two_stores_have_other_versions_of_the_same_secret() {
    let versions = [(); 2].map(|()| {
        let fixture = Fixture::new();
        fixture.publisher.replace(request("a", "hunter2")).unwrap();
        served(&fixture.publisher, "a", &SECRET).version().to_string()
    });
    assert_ne!(versions[0], versions[1]);
}

#[test]
fn version_of_a_secret_changes_with_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let opened = RedbStore::open(dir.path(), NonZeroUsize::new(5).unwrap(), None);
        Arc::new(opened.unwrap())
    };
    let before = {
        let store = open();
        let fixture = Fixture::over(store.clone());
        fixture.publisher.replace(request("a", "hunter2")).unwrap();
        hashes(&fixture.publisher, &*store, "a", "hunter2")
    };
    let store = open();
    let fixture = Fixture::over(store.clone());
    assert_eq!(hashes(&fixture.publisher, &*store, "a", "hunter2"), before);

    let mut again = request("a", "hunter2");
    assert!(
        fixture.publisher.replace(again.clone()).unwrap().repeated,
        "the receipt is known again"
    );
    again.options.idempotency_key = None;
    assert!(!fixture.publisher.replace(again).unwrap().changed);
    let same = DiffTarget::Candidate(candidate("hunter2"));
    assert!(
        fixture
            .publisher
            .diff(&"a".into(), None, &same)
            .unwrap()
            .changes
            .is_empty()
    );
    let patch = PatchRequest {
        group: "a".into(),
        candidate: candidate("hunter2"),
        deletions: Vec::new(),
        options: confirmed(),
    };
    assert!(!fixture.publisher.patch(patch).unwrap().changed);

    fixture.publisher.replace(request("a", "hunter3")).unwrap();
    let changed = served(&fixture.publisher, "a", &SECRET)
        .named("s")
        .unwrap()
        .version
        .to_string();
    assert_ne!(changed, before[0]);
    let options = PublishOptions::default();
    fixture.publisher.rollback(&"a".into(), Revision(1), &options).unwrap();
    let returned = served(&fixture.publisher, "a", &SECRET)
        .named("s")
        .unwrap()
        .version
        .to_string();
    assert_eq!(returned, format!("{}-r3", before[0]));
}
