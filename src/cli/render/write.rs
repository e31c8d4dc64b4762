//! Files on disk, brought to what they should be: written aside and renamed into place, since that is what Envoy watches for;
//! and only those that differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::layout::{CLUSTERS, FOLDERS, LISTENERS, Layout, SCOPES, Stage, document};
use crate::cli::exit::Failure;

/// Secrets are for the owner alone; an Envoy that reads them runs as the same user.
const SECRET_MODE: u32 = 0o600;
const MODE: u32 = 0o644;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) files: usize,
    pub(super) removed: usize,
}

/// Brings the directory to the layout: what clusters need, clusters old and new, what names them, and only then, each a
/// `pause` later, what goes.
pub(super) async fn bring_up_to_date(out: &Path, layout: &Layout, pause: Duration) -> Result<Written, Failure> {
    let told = |error: io::Error| Failure::usage(format!("{}: {error}", out.display()));
    let mut writer = Writer {
        out,
        written: Written::default(),
    };
    for folder in FOLDERS {
        fs::create_dir_all(out.join(folder)).map_err(told)?;
    }
    let leaving = writer.leaving_clusters(layout);
    let alive = leaving.is_some();
    writer.children(layout, Stage::BeforeClusters).map_err(told)?;
    let all = layout
        .clusters
        .values()
        .chain(leaving.iter().flat_map(BTreeMap::values));
    let wrote = writer
        .put(Path::new(CLUSTERS), &document(&layout.clusters_version, all))
        .map_err(told)?;
    if wrote && alive {
        tokio::time::sleep(pause).await;
    }
    let before = writer.written.files;
    writer.children(layout, Stage::BehindClusters).map_err(told)?;
    writer.put(Path::new(LISTENERS), &layout.listeners).map_err(told)?;
    let wrote = writer.written.files > before;
    let gone = leaving.is_some_and(|leaving| !leaving.is_empty());
    let surplus = writer.surplus(layout).map_err(told)?;
    if wrote && (gone || !surplus.is_empty()) {
        tokio::time::sleep(pause).await;
    }
    let last = document(&layout.clusters_version, layout.clusters.values());
    if writer.put(Path::new(CLUSTERS), &last).map_err(told)? && !surplus.is_empty() {
        tokio::time::sleep(pause).await;
    }
    for path in surplus {
        fs::remove_file(&path).map_err(told)?;
        writer.written.removed += 1;
    }
    Ok(writer.written)
}

struct Writer<'a> {
    out: &'a Path,
    written: Written,
}

// === impl Writer ===

impl Writer<'_> {
    /// Clusters that are in the directory and go with this layout; `None` where there are no clusters yet, and so no Envoy.
    fn leaving_clusters(&self, layout: &Layout) -> Option<BTreeMap<String, Value>> {
        let text = fs::read_to_string(self.out.join(CLUSTERS)).ok()?;
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

    /// Writes a file where it differs, and says whether it did.
    fn put(&mut self, below: &Path, text: &str) -> io::Result<bool> {
        let path = self.out.join(below);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mode = if below.starts_with("sds") { SECRET_MODE } else { MODE };
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&aside)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&aside, &path));
        if written.is_err() {
            fs::remove_file(&aside).ok();
        }
        written?;
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
