//! Updates the rendered files on disk: only files that differ, each written under another name and renamed, since Envoy
//! watches for renames.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::layout::{CLUSTERS, FOLDERS, LISTENERS, Layout, SCOPES, Stage, document};
use crate::{
    cli::{exit::Failure, private},
    input,
};

/// Limit on the file of clusters that is read back: more than is ever rendered.
const MOST: u64 = 1 << 30;

/// The number of changed files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) files: usize,
    pub(super) removed: usize,
}

/// Updates the directory to the layout, in the order of make before break: resources that clusters need, old and new clusters
/// together, resources that name clusters, and then the removals, each step a `pause` after the one before.
pub(super) async fn bring_up_to_date(
    out: &Path,
    layout: &Layout,
    mode: u32,
    pause: Duration,
) -> Result<Written, Failure> {
    let failed = |error: io::Error| Failure::usage(format!("{}: {error}", out.display()));
    let mut writer = Writer {
        out,
        mode,
        written: Written::default(),
    };
    for folder in FOLDERS {
        fs::create_dir_all(out.join(folder)).map_err(failed)?;
    }
    let leaving = writer.leaving_clusters(layout);
    let alive = leaving.is_some();
    writer.children(layout, Stage::BeforeClusters).map_err(failed)?;
    let all = layout
        .clusters
        .values()
        .chain(leaving.iter().flat_map(BTreeMap::values));
    let wrote = writer
        .put(Path::new(CLUSTERS), &document(&layout.clusters_version, all))
        .map_err(failed)?;
    if wrote && alive {
        tokio::time::sleep(pause).await;
    }
    let before = writer.written.files;
    writer.children(layout, Stage::BehindClusters).map_err(failed)?;
    writer.put(Path::new(LISTENERS), &layout.listeners).map_err(failed)?;
    let wrote = writer.written.files > before;
    let gone = leaving.is_some_and(|leaving| !leaving.is_empty());
    let surplus = writer.surplus(layout).map_err(failed)?;
    if wrote && (gone || !surplus.is_empty()) {
        tokio::time::sleep(pause).await;
    }
    let last = document(&layout.clusters_version, layout.clusters.values());
    if writer.put(Path::new(CLUSTERS), &last).map_err(failed)? && !surplus.is_empty() {
        tokio::time::sleep(pause).await;
    }
    for path in surplus {
        fs::remove_file(&path).map_err(failed)?;
        writer.written.removed += 1;
    }
    Ok(writer.written)
}

struct Writer<'a> {
    out: &'a Path,
    /// The permissions of every file: clusters and listeners may hold keys and passwords, as secrets do.
    mode: u32,
    written: Written,
}

// === impl Writer ===

impl Writer<'_> {
    /// Clusters in the directory that the layout lacks; `None` if there are no clusters yet, and so no Envoy.
    fn leaving_clusters(&self, layout: &Layout) -> Option<BTreeMap<String, Value>> {
        let file = input::open(&self.out.join(CLUSTERS)).ok()?;
        let text = String::from_utf8(input::read_bounded(file, MOST).ok()?).ok()?;
        let document: Value = serde_saphyr::from_str(&text).ok()?;
        let clusters = document["resources"].as_array()?.iter().filter_map(|cluster| {
            let name = cluster["name"].as_str()?;
            (!layout.clusters.contains_key(name)).then(|| (name.to_owned(), cluster.clone()))
        });
        Some(clusters.collect())
    }

    fn children(&mut self, layout: &Layout, stage: Stage) -> io::Result<()> {
        let of_stage = layout.children.iter().filter(|((when, _), _)| *when == stage);
        for ((_, path), text) in of_stage {
            self.put(path, text)?;
        }
        Ok(())
    }

    /// Writes a file if its content or permissions differ; returns true if it did.
    fn put(&mut self, below: &Path, text: &str) -> io::Result<bool> {
        let path = self.out.join(below);
        let same = input::open(&path).is_ok_and(|file| {
            private::has_mode(&file, self.mode)
                && input::read_bounded(file, text.len() as u64).is_ok_and(|there| there == text.as_bytes())
        });
        if same {
            return Ok(false);
        }
        private::replace(&path, text.as_bytes(), self.mode)?;
        self.written.files += 1;
        Ok(true)
    }

    /// Files of resources that are gone.
    fn surplus(&self, layout: &Layout) -> io::Result<Vec<PathBuf>> {
        let wanted: BTreeSet<PathBuf> = layout.children.keys().map(|(_, path)| self.out.join(path)).collect();
        let mut surplus = Vec::new();
        let scopes = self.out.join(SCOPES);
        if !wanted.contains(&scopes) && scopes.exists() {
            surplus.push(scopes);
        }
        for folder in FOLDERS {
            for entry in fs::read_dir(self.out.join(folder))? {
                let path = entry?.path();
                if path.extension() == Some(OsStr::new("yaml")) && !wanted.contains(&path) {
                    surplus.push(path);
                }
            }
        }
        surplus.sort();
        Ok(surplus)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::layout::Stage, *};

    fn layout() -> Layout {
        let cluster = serde_json::json!({ "name": "a", "transport_socket": { "private_key": "secret" } });
        Layout {
            clusters: BTreeMap::from([("a".to_owned(), cluster)]),
            clusters_version: "1".to_owned(),
            listeners: "resources: []\n".to_owned(),
            children: BTreeMap::from([((Stage::BeforeClusters, PathBuf::from("sds/s.yaml")), "s".to_owned())]),
        }
    }

    fn modes(dir: &Path) -> Vec<u32> {
        let mode = |below: &str| fs::metadata(dir.join(below)).unwrap().permissions().mode() & 0o777;
        ["cds.yaml", "lds.yaml", "sds/s.yaml"].map(mode).to_vec()
    }

    #[tokio::test]
    async fn every_file_is_for_its_owner_alone_unless_more_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        // A file that others may read.
        let clusters = dir.path().join(CLUSTERS);
        fs::write(&clusters, document("1", layout().clusters.values())).unwrap();
        fs::set_permissions(&clusters, fs::Permissions::from_mode(0o644)).unwrap();
        let render = async |mode| {
            bring_up_to_date(dir.path(), &layout(), mode, Duration::ZERO)
                .await
                .unwrap()
        };
        assert_eq!(render(0o600).await.files, 3);
        assert_eq!(modes(dir.path()), [0o600; 3]);
        assert_eq!(render(0o600).await.files, 0);
        assert_eq!(render(0o640).await.files, 3);
        assert_eq!(modes(dir.path()), [0o640; 3]);
    }

    #[tokio::test]
    async fn a_pipe_in_the_place_of_a_file_is_replaced_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join(CLUSTERS);
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let rendered = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Handle::current();
            let written = runtime.block_on(bring_up_to_date(dir.path(), &layout(), 0o600, Duration::ZERO));
            (written.unwrap().files, modes(dir.path()))
        });
        let rendered = tokio::time::timeout(Duration::from_secs(60), rendered).await;
        assert_eq!(rendered.expect("it waits").unwrap(), (3, vec![0o600; 3]));
    }
}
