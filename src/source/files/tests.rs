//! Folders on a real file system, and their published groups.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;
use crate::{
    admission::{Candidate, RawResource, codes},
    node::NodeGroup,
    publisher::{PublishError, PublishOptions, ReplaceRequest},
    resource::ResourceType,
    revision::{Origin, Owner},
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Fixture {
    publisher: Arc<Publisher>,
    files: Files,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    root: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

/// A file with clusters of these names.
fn clusters(names: &[&str]) -> String {
    let item = |name: &&str| format!("- {{\"@type\": {}, name: {name}}}\n", ResourceType::Cluster.type_url());
    format!("resources:\n{}", names.iter().map(item).collect::<String>())
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn by_hand(group: &str) -> ReplaceRequest {
    ReplaceRequest {
        group: group.into(),
        candidate: Candidate {
            documents: Vec::new(),
            resources: Vec::<RawResource>::new(),
        },
        options: PublishOptions::default(),
    }
}

impl Fixture {
    /// A source over a directory with these files.
    async fn over(files: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            put(&dir.path().join(path), text);
        }
        let root = dir.path().to_owned();
        let mut fixture = Self::of(root, Publisher::in_memory()).await;
        fixture._dir = Some(dir);
        fixture
    }

    async fn of(root: PathBuf, publisher: Arc<Publisher>) -> Self {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let opened = Files::open(
            root.clone(),
            &Limits::default(),
            Arc::clone(&publisher),
            tracker.clone(),
            shutdown.clone(),
        );
        let (files, mut task) = opened.unwrap();
        task.begin().await;
        tracker.spawn(task.run());
        Self {
            publisher,
            files,
            tracker,
            shutdown,
            root,
            _dir: None,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn put(&self, below: &str, text: &str) {
        put(&self.path(below), text);
    }

    /// The published clusters of a group, joined; `None` where the group has no snapshot.
    fn published(&self, group: &str) -> Option<String> {
        let (_, snapshot) = self.publisher.get(&NodeGroup::from(group), None).ok()?;
        let clusters = snapshot.get(&ResourceType::Cluster)?;
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        Some(names.join(" "))
    }

    fn status(&self, group: &str) -> Option<FolderStatus> {
        let statuses = self.files.statuses();
        let wanted = Some(NodeGroup::from(group));
        statuses.iter().find(|status| status.group == wanted).cloned()
    }

    fn state(&self, group: &str) -> Option<FolderState> {
        self.status(group).map(|status| status.state)
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let poll = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, poll).await;
        assert!(held.is_ok(), "{what}: {:?}", self.files.statuses());
    }

    async fn expect(&self, group: &str, published: &str, state: FolderState) {
        let what = format!("{group} has {published:?} and is {state:?}");
        self.eventually(&what, |fixture| {
            fixture.published(group).as_deref() == Some(published) && fixture.state(group) == Some(state)
        })
        .await;
    }

    async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[tokio::test]
async fn folders_are_groups_and_are_published_before_the_start_is_over() {
    let fixture = Fixture::over(&[
        ("demo/cds.yaml", clusters(&["a"])),
        ("demo/more.json", "{\"resources\": []}".to_owned()),
        ("demo/notes.txt", "no configuration".to_owned()),
        ("demo/.hidden.yaml", "not: read".to_owned()),
        ("_shared/cds.yml", clusters(&["s"])),
        (".git/config.yaml", "not: read".to_owned()),
    ])
    .await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a"));
    assert_eq!(fixture.published("*").as_deref(), Some("s"));
    assert_eq!(fixture.publisher.list().len(), 2);
    assert!(fixture.publisher.list().iter().all(|info| info.origin == Origin::Files));
    assert_eq!(fixture.files.statuses().len(), 2);
    fixture.stop().await;
}

#[tokio::test]
async fn edits_renames_and_new_folders_are_followed() {
    let fixture = Fixture::over(&[("demo/cds.yaml", clusters(&["a"]))]).await;
    fixture.put("demo/cds.yaml", &clusters(&["a", "b"]));
    fixture.expect("demo", "a b", FolderState::Published).await;
    fixture.put("demo/.cds.yaml.new", &clusters(&["c"]));
    fs::rename(fixture.path("demo/.cds.yaml.new"), fixture.path("demo/cds.yaml")).unwrap();
    fixture.expect("demo", "c", FolderState::Published).await;
    fixture.put("late/cds.yaml", &clusters(&["d"]));
    fixture.expect("late", "d", FolderState::Published).await;
    let revision = fixture.publisher.list()[0].revision;
    fixture.put("demo/cds.yaml", &clusters(&["c"]));
    fixture.put("late/cds.yaml", &clusters(&["e"]));
    fixture.expect("late", "e", FolderState::Published).await;
    assert_eq!(
        fixture.publisher.list()[0].revision,
        revision,
        "the same again is no revision"
    );
}

#[tokio::test]
async fn a_config_map_is_followed_through_its_links() {
    let fixture = Fixture::over(&[]).await;
    // Kubelet keeps versions in a hidden folder, swaps one link to them, and never changes the other links.
    fixture.put("demo/..v1/cds.yaml", &clusters(&["a"]));
    symlink("..v1", fixture.path("demo/..data")).unwrap();
    symlink("..data/cds.yaml", fixture.path("demo/cds.yaml")).unwrap();
    fixture.expect("demo", "a", FolderState::Published).await;
    fixture.put("demo/..v2/cds.yaml", &clusters(&["b"]));
    symlink("..v2", fixture.path("demo/..data_tmp")).unwrap();
    fs::rename(fixture.path("demo/..data_tmp"), fixture.path("demo/..data")).unwrap();
    fs::remove_dir_all(fixture.path("demo/..v1")).unwrap();
    fixture.expect("demo", "b", FolderState::Published).await;
}

#[tokio::test]
async fn a_folder_that_turns_bad_leaves_the_last_good_revision() {
    let fixture = Fixture::over(&[("demo/cds.yaml", clusters(&["a"]))]).await;
    fixture.put(
        "demo/cds.yaml",
        "resources:\n- {\"@type\": type.googleapis.com/no.Such}\n",
    );
    fixture.expect("demo", "a", FolderState::Refused).await;
    let status = fixture.status("demo").unwrap();
    let place = status.findings[0].place.clone().unwrap();
    assert!(place.document.ends_with("demo/cds.yaml"), "{place:?}");
    assert_eq!((place.line, status.revision.is_some()), (2, true));
    // A file that a full disk truncated.
    fixture.put("demo/cds.yaml", "");
    fixture
        .eventually("the empty file is refused", |fixture| {
            fixture
                .status("demo")
                .is_some_and(|status| status.findings[0].message.contains("empty"))
        })
        .await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a"));
    fixture.put("demo/cds.yaml", &clusters(&["b"]));
    fixture.expect("demo", "b", FolderState::Published).await;
}

#[tokio::test]
async fn a_folder_that_is_gone_or_empty_empties_nothing() {
    let fixture = Fixture::over(&[("demo/cds.yaml", clusters(&["a"]))]).await;
    fs::remove_file(fixture.path("demo/cds.yaml")).unwrap();
    fixture.expect("demo", "a", FolderState::Held).await;
    fs::remove_dir(fixture.path("demo")).unwrap();
    fixture
        .eventually("the folder is gone", |fixture| {
            fixture
                .status("demo")
                .is_some_and(|status| status.message.contains("delete-snapshot"))
        })
        .await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a"));
    // Not even if the file says so: nobody is there to confirm the removal.
    fixture.put("demo/cds.yaml", "resources: []");
    fixture.expect("demo", "a", FolderState::Refused).await;
    let finding = &fixture.status("demo").unwrap().findings[0];
    assert_eq!(finding.code, "XDS0501");
    assert!(
        finding.message.contains("chancery delete-snapshot -g 'demo' --yes"),
        "{finding}"
    );
    fixture.publisher.delete(&"demo".into(), None).unwrap();
    fixture.expect("demo", "", FolderState::Published).await;
    fs::remove_dir_all(fixture.path("demo")).unwrap();
    fixture
        .eventually("held", |fixture| fixture.state("demo") == Some(FolderState::Held))
        .await;
    fixture.publisher.delete(&"demo".into(), None).unwrap();
    fixture
        .eventually("forgotten", |fixture| fixture.state("demo").is_none())
        .await;
}

#[tokio::test]
async fn a_directory_that_is_gone_empties_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("files");
    put(&root.join("demo/cds.yaml"), &clusters(&["a"]));
    let fixture = Fixture::of(root, Publisher::in_memory()).await;
    fs::rename(fixture.path(""), dir.path().join("elsewhere")).unwrap();
    fixture
        .eventually("the directory is reported", |fixture| {
            let statuses = fixture.files.statuses();
            statuses
                .iter()
                .any(|status| status.group.is_none() && status.state == FolderState::Failed)
        })
        .await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a"));
}

#[tokio::test]
async fn a_group_has_one_owner() {
    let publisher = Publisher::in_memory();
    publisher.replace(by_hand("hand")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("hand/cds.yaml"), &clusters(&["a"]));
    put(&dir.path().join("files/cds.yaml"), &clusters(&["b"]));
    let fixture = Fixture::of(dir.path().to_owned(), publisher).await;
    let status = fixture.status("hand").unwrap();
    assert_eq!(status.state, FolderState::Conflict);
    assert!(
        status.message.contains("published by the admin API"),
        "{}",
        status.message
    );
    let refused = fixture.publisher.replace(by_hand("files")).unwrap_err();
    assert!(
        matches!(
            &refused,
            PublishError::Owned {
                owner: Owner::Files,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("group \"files\" is published by files"),
        "{refused}"
    );
    assert_eq!(fixture.published("files").as_deref(), Some("b"));
    // Deleting the snapshot of a group hands the group over.
    fixture.publisher.delete(&"hand".into(), None).unwrap();
    fixture.expect("hand", "a", FolderState::Published).await;
    fixture.publisher.delete(&"files".into(), None).unwrap();
    fixture.expect("files", "b", FolderState::Published).await;
}

#[tokio::test]
async fn nothing_is_read_that_is_no_file_of_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    put(&outside.path().join("cds.yaml"), &clusters(&["secret"]));
    let fixture = Fixture::over(&[("stray.yaml", clusters(&["stray"]))]).await;
    fs::create_dir(fixture.path("link")).unwrap();
    symlink(outside.path().join("cds.yaml"), fixture.path("link/cds.yaml")).unwrap();
    fs::create_dir(fixture.path("device")).unwrap();
    symlink("/dev/zero", fixture.path("device/cds.yaml")).unwrap();
    for group in ["link", "device"] {
        fixture
            .eventually("refused", |fixture| fixture.state(group) == Some(FolderState::Failed))
            .await;
        let message = fixture.status(group).unwrap().message;
        assert!(message.contains("leads out of"), "{message}");
        assert_eq!(fixture.published(group), None);
    }
    let statuses = fixture.files.statuses();
    let root = statuses
        .iter()
        .find(|status| status.group.is_none())
        .expect("a status of the directory");
    assert!(root.message.contains("stray.yaml is not read"), "{}", root.message);
}

#[tokio::test]
async fn a_restart_publishes_nothing_again_and_knows_what_is_held() {
    let publisher = Publisher::in_memory();
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("kept/cds.yaml"), &clusters(&["a"]));
    put(&dir.path().join("gone/cds.yaml"), &clusters(&["b"]));
    Fixture::of(dir.path().to_owned(), Arc::clone(&publisher))
        .await
        .stop()
        .await;
    let before = publisher.list();
    fs::remove_dir_all(dir.path().join("gone")).unwrap();
    let fixture = Fixture::of(dir.path().to_owned(), publisher).await;
    assert_eq!(fixture.publisher.list(), before);
    assert_eq!(fixture.state("kept"), Some(FolderState::Published));
    assert_eq!(fixture.state("gone"), Some(FolderState::Held));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn files_open_for_writing_are_waited_for() {
    let fixture = Fixture::over(&[("demo/cds.yaml", clusters(&["a"]))]).await;
    let mut file = fs::File::create(fixture.path("demo/cds.yaml")).unwrap();
    // Well-formed, but not complete.
    file.write_all(clusters(&["b"]).as_bytes()).unwrap();
    fixture.put("other/cds.yaml", &clusters(&["o"]));
    fixture.expect("other", "o", FolderState::Published).await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a"));
    let rest = clusters(&["c"]).replace("resources:\n", "");
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    fixture.expect("demo", "b c", FolderState::Published).await;
    let revisions = fixture.publisher.history(&"demo".into(), 10).unwrap();
    assert_eq!(revisions.len(), 2, "nothing in between was published");
}

#[tokio::test]
async fn a_directory_that_is_made_anew_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("files");
    put(&root.join("demo/cds.yaml"), &clusters(&["a"]));
    let fixture = Fixture::of(root, Publisher::in_memory()).await;
    fs::remove_dir_all(fixture.path("")).unwrap();
    fixture.put("demo/cds.yaml", &clusters(&["b"]));
    fixture.expect("demo", "b", FolderState::Published).await;
    fixture.put("demo/cds.yaml", &clusters(&["c"]));
    fixture.expect("demo", "c", FolderState::Published).await;
}

#[tokio::test]
async fn a_bad_file_among_good_ones_holds_the_whole_folder() {
    let fixture = Fixture::over(&[("demo/a.yaml", clusters(&["a"])), ("demo/b.yaml", clusters(&["b"]))]).await;
    fixture.put("demo/a.yaml", &clusters(&["a", "c"]));
    fixture.put("demo/b.yaml", "resources: [");
    fixture.expect("demo", "a b", FolderState::Refused).await;
    // The same cluster in two files.
    fixture.put("demo/b.yaml", &clusters(&["b", "c"]));
    fixture
        .eventually("the duplicate is reported", |fixture| {
            let findings = fixture.status("demo").map(|status| status.findings).unwrap_or_default();
            findings.iter().any(|finding| finding.code == codes::DUPLICATE)
        })
        .await;
    assert_eq!(fixture.published("demo").as_deref(), Some("a b"));
    fixture.put("demo/b.yaml", &clusters(&["b"]));
    fixture.expect("demo", "a b c", FolderState::Published).await;
}

#[tokio::test]
async fn files_that_are_not_regular_or_have_bad_names_are_reported() {
    let fixture = Fixture::over(&[("good/cds.yaml", clusters(&["a"]))]).await;
    fs::create_dir(fixture.path("pipe")).unwrap();
    let pipe = fixture.path("pipe/cds.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fs::create_dir(fixture.path("huge")).unwrap();
    let huge = fs::File::create(fixture.path("huge/cds.yaml")).unwrap();
    huge.set_len(Limits::default().document_bytes as u64 + 1).unwrap();
    drop(huge);
    for (group, said) in [("pipe", "is not a regular file"), ("huge", "is larger than")] {
        fixture
            .eventually(group, |fixture| {
                let status = fixture.status(group);
                status.is_some_and(|status| status.state == FolderState::Failed && status.message.contains(said))
            })
            .await;
        assert_eq!(fixture.published(group), None);
    }
    for stray in [OsStr::from_bytes(b"\xff"), OsStr::new("*")] {
        let folder = fixture.root.join(stray);
        put(&folder.join("cds.yaml"), &clusters(&["stray"]));
        fixture
            .eventually("the stray folder is reported", |fixture| {
                let statuses = fixture.files.statuses();
                let root = statuses.iter().find(|status| status.group.is_none());
                root.is_some_and(|root| root.message.contains("is not read"))
            })
            .await;
        fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(fixture.publisher.list().len(), 1);
    assert_eq!(fixture.published("good").as_deref(), Some("a"));
}

#[test]
fn a_directory_that_is_not_there_is_reported_at_the_start() {
    let missing = PathBuf::from("/no/such/directory");
    let opened = Files::open(
        missing,
        &Limits::default(),
        Publisher::in_memory(),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    assert!(opened.unwrap_err().to_string().contains("/no/such/directory"));
}

#[tokio::test]
async fn a_directory_that_does_not_answer_is_reported_and_ends_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("demo/cds.yaml"), &clusters(&["a"]));
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let publisher = Publisher::in_memory();
    let (limits, root) = (Limits::default(), dir.path().to_owned());
    let opened = Files::open(root, &limits, publisher, tracker.clone(), shutdown.clone());
    let held = Arc::new(std::sync::Mutex::new(()));
    let (files, task) = opened.unwrap();
    let mut task = task.held_by(Arc::clone(&held));
    task.begin().await;
    let (answer, silence) = std::sync::mpsc::channel::<()>();
    let silent = std::thread::spawn(move || {
        let _held = held.lock();
        silence.recv().ok();
    });
    let running = tracker.spawn(task.run());
    let is_reported = || {
        let statuses = files.statuses();
        let root = statuses.iter().find(|status| status.group.is_none());
        root.is_some_and(|root| root.state == FolderState::Failed && root.message.contains("is being read"))
    };
    let poll = async {
        while !is_reported() {
            put(&dir.path().join("demo/cds.yaml"), &clusters(&["b"]));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.expect("it is reported");
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it ends").unwrap();
    answer.send(()).unwrap();
    silent.join().unwrap();
}
