//! Random publishes, patches, rollbacks, deletions and restarts against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Name → content, for one group.
type State = BTreeMap<String, String>;

const GROUPS: [&str; 3] = ["g", "h", NodeGroup::SHARED];

#[derive(Clone, Debug)]
enum Operation {
    Replace(usize, State),
    Patch(usize, State, Vec<String>),
    /// A rollback to the revision that many before the last.
    Rollback(usize, u64),
    Delete(usize),
    Restart,
}

fn state() -> impl Strategy<Value = State> {
    proptest::collection::btree_map("[abc]", "[12]", 0..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    let group = 0..GROUPS.len();
    prop_oneof![
        4 => (group.clone(), state()).prop_map(|(group, state)| Operation::Replace(group, state)),
        3 => (group.clone(), state(), proptest::collection::vec("[abc]", 0..2))
            .prop_map(|(group, state, gone)| Operation::Patch(group, state, gone)),
        2 => (group.clone(), 0..6_u64).prop_map(|(group, back)| Operation::Rollback(group, back)),
        1 => group.prop_map(Operation::Delete),
        1 => Just(Operation::Restart),
    ]
}

/// The expected state of all groups.
struct Model {
    /// The number of revisions kept for a group.
    retention: usize,
    heads: BTreeMap<&'static str, State>,
    /// Group, revision → content of the group at that revision.
    history: BTreeMap<(&'static str, u64), Option<State>>,
    last: u64,
}

impl Model {
    const fn new(retention: NonZeroUsize) -> Self {
        Self {
            retention: retention.get(),
            heads: BTreeMap::new(),
            history: BTreeMap::new(),
            last: 0,
        }
    }

    /// The content of a kept revision.
    fn kept(&self, group: &'static str, revision: u64) -> Option<State> {
        let newest = self.history.range((group, 0)..=(group, u64::MAX)).rev();
        let mut kept = newest.take(self.retention);
        kept.find(|((_, number), _)| *number == revision)?.1.clone()
    }

    fn become_(&mut self, group: &'static str, next: State) {
        if self.heads.get(group) != Some(&next) {
            self.last += 1;
            self.history.insert((group, self.last), Some(next.clone()));
            self.heads.insert(group, next);
        }
    }

    fn delete(&mut self, group: &'static str) -> bool {
        let there = self.heads.remove(group).is_some();
        if there {
            self.last += 1;
            self.history.insert((group, self.last), None);
        }
        there
    }

    /// The content that the nodes of a group are served; `None` for silence.
    fn served(&self, group: &str) -> Option<State> {
        let shared = self.heads.get(NodeGroup::SHARED);
        let own = self.heads.get(group);
        own.or(shared)?;
        let mut served = shared.cloned().unwrap_or_default();
        served.extend(own.cloned().unwrap_or_default());
        Some(served)
    }
}

fn candidate(state: &State) -> Candidate {
    Candidate {
        documents: Vec::new(),
        resources: state.iter().map(|(name, content)| cluster(name, content)).collect(),
    }
}

fn apply(fixture: &Fixture, model: &mut Model, operation: &Operation) {
    let options = confirmed();
    match operation.clone() {
        Operation::Replace(group, state) => {
            let request = ReplaceRequest {
                group: GROUPS[group].into(),
                candidate: candidate(&state),
                options,
            };
            fixture.publisher.replace(request).unwrap();
            model.become_(GROUPS[group], state);
        }
        Operation::Patch(group, upserts, deletions) => {
            let request = PatchRequest {
                group: GROUPS[group].into(),
                candidate: candidate(&upserts),
                deletions: deletions.iter().map(|name| (CLUSTER, name.as_str().into())).collect(),
                options,
            };
            let mut next = model.heads.get(GROUPS[group]).cloned().unwrap_or_default();
            let all_there = deletions.iter().all(|name| next.contains_key(name));
            assert_eq!(fixture.publisher.patch(request).is_ok(), all_there);
            if all_there {
                deletions.iter().for_each(|name| drop(next.remove(name)));
                next.extend(upserts);
                model.become_(GROUPS[group], next);
            }
        }
        Operation::Rollback(group, back) => {
            let to = model.last.saturating_sub(back);
            let target = model.kept(GROUPS[group], to);
            let done = fixture
                .publisher
                .rollback(&GROUPS[group].into(), Revision(to), &options);
            assert_eq!(done.is_ok(), target.is_some(), "{done:?}");
            if let Some(target) = target {
                model.become_(GROUPS[group], target);
            }
        }
        Operation::Delete(group) => {
            let done = fixture.publisher.delete(&GROUPS[group].into(), None);
            assert_eq!(done.is_ok(), model.delete(GROUPS[group]), "{done:?}");
        }
        Operation::Restart => {}
    }
}

/// Compares the cache with the model.
fn check_served(fixture: &Fixture, model: &Model) {
    for group in ["g", "h", "unpublished"] {
        let served = fixture.cache.get(&group.into()).map(|snapshot| {
            let clusters = snapshot
                .get(&CLUSTER)
                .map(|set| set.iter().cloned().collect::<Vec<_>>())
                .unwrap_or_default();
            let pair = |resource: &Arc<Resource>| {
                let text = text(resource);
                let (name, content) = text.split_once('=').unwrap();
                (name.to_owned(), content.to_owned())
            };
            clusters.iter().map(pair).collect::<State>()
        });
        assert_eq!(served, model.served(group), "{group}");
    }
    let listed: Vec<String> = fixture
        .publisher
        .list()
        .iter()
        .map(|info| info.group.to_string())
        .collect();
    let mut groups: Vec<&str> = model.heads.keys().copied().collect();
    groups.sort_unstable();
    assert_eq!(listed, groups);
}

/// Checks that neighbouring revisions of a group have equal versions exactly where they have equal content, and that no
/// version ever means two contents.
fn check_versions(fixture: &Fixture) {
    for group in GROUPS.map(NodeGroup::from) {
        let mut meanings: BTreeMap<(String, Version), String> = BTreeMap::new();
        let mut type_meanings: BTreeMap<Version, Vec<String>> = BTreeMap::new();
        let mut before: Option<(Version, Vec<Arc<Resource>>)> = None;
        let mut history = fixture.publisher.history(&group, usize::MAX).unwrap_or_default();
        history.reverse();
        for info in history {
            let Ok((_, snapshot)) = fixture.publisher.get(&group, Some(info.revision)) else {
                before = None;
                continue;
            };
            let set = snapshot.get(&CLUSTER).unwrap();
            let (version, after): (_, Vec<_>) = (set.version().clone(), set.iter().cloned().collect());
            for resource in &after {
                let key = (resource.name.to_string(), resource.version.clone());
                assert_eq!(*meanings.entry(key).or_insert_with(|| text(resource)), text(resource));
            }
            let texts: Vec<String> = after.iter().map(|resource| text(resource)).collect();
            assert_eq!(
                *type_meanings.entry(version.clone()).or_insert_with(|| texts.clone()),
                texts
            );
            if let Some((version_before, resources)) = before {
                let texts_before: Vec<String> = resources.iter().map(|resource| text(resource)).collect();
                assert_eq!(version_before == version, texts_before == texts);
                for old in &resources {
                    if let Some(new) = after.iter().find(|new| new.name == old.name) {
                        assert_eq!(old.version == new.version, text(old) == text(new));
                    }
                }
            }
            before = Some((version, after));
        }
    }
}

/// Takes the operations against the store that `open` returns; a restart closes it and calls `open` again.
fn run(operations: &[Operation], open: impl Fn() -> Arc<dyn RevisionStore>) {
    let first = Fixture::over(open());
    let mut model = Model::new(first.publisher.store.retention());
    let mut fixture = Some(first);
    for operation in operations {
        if matches!(operation, Operation::Restart) {
            drop(fixture.take());
        }
        let fixture = fixture.get_or_insert_with(|| Fixture::over(open()));
        apply(fixture, &mut model, operation);
        check_served(fixture, &model);
        assert_eq!(fixture.publisher.store.load().unwrap().last, Revision(model.last));
        check_versions(fixture);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn publisher_does_what_the_model_says(operations in proptest::collection::vec(operation(), 1..30)) {
        let store: Arc<dyn RevisionStore> = Arc::new(MemoryStore::default());
        run(&operations, || Arc::clone(&store));
    }
}

proptest! {
    // Every operation waits for the disk.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn publisher_does_what_the_model_says_on_disk(operations in proptest::collection::vec(operation(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        run(&operations, || Arc::new(RedbStore::open(dir.path(), NonZeroUsize::new(3).unwrap(), None).unwrap()));
    }
}
