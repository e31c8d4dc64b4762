//! Reads folders: all files of each, within limits, and nothing outside of the directory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::watcher::Identity;
use crate::{
    admission::{Document, Format},
    input,
    node::NodeGroup,
};

/// The folder of the shared group: `*` cannot name a folder.
const SHARED_FOLDER: &str = "_shared";

/// Bytes of all files of a folder: more than admission accepts in any format.
const FOLDER_BYTES: u64 = 1 << 30;

/// The hash of all contents of a folder, or of the reason why it cannot be read.
pub(super) type Fingerprint = blake3::Hash;

/// Reads the folders of a directory.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    root: PathBuf,
    document_bytes: u64,
    /// Stands for a file system that does not answer.
    #[cfg(test)]
    pub(super) held: Option<std::sync::Arc<std::sync::Mutex<()>>>,
}

/// The contents of all folders at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// The folders; `None` where the directory cannot be read, which differs from an empty one.
    pub(super) folders: Option<BTreeMap<NodeGroup, Folder>>,
    /// The problem with the directory itself.
    pub(super) trouble: Option<String>,
    /// Identifies the directory that was read.
    pub(super) root: Option<Identity>,
}

/// The contents of one folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) content: Content,
    /// Differs between different contents.
    pub(super) fingerprint: Fingerprint,
}

/// The files of a folder.
#[derive(Debug)]
pub(super) enum Content {
    Files(Vec<Document>),
    /// The folder has no files.
    Empty,
    /// The reason why the files cannot be read.
    Unreadable(String),
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(root: PathBuf, document_bytes: usize) -> Self {
        Self {
            root,
            document_bytes: document_bytes as u64,
            #[cfg(test)]
            held: None,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a group's folder, even if it is gone.
    pub(super) fn folder_of(&self, group: &NodeGroup) -> PathBuf {
        let name = if group.is_shared() {
            SHARED_FOLDER
        } else {
            group.as_str()
        };
        self.root.join(name)
    }

    /// Reads all folders. Blocks.
    pub(super) fn read(&self) -> Reading {
        #[cfg(test)]
        let _held = self.held.as_ref().map(|held| held.lock());
        self.folders().unwrap_or_else(|error| Reading {
            folders: None,
            trouble: Some(format!("cannot be read: {error}; what was published stays")),
            root: None,
        })
    }

    fn folders(&self) -> io::Result<Reading> {
        let root = Identity::of(&self.root)?;
        let within = fs::canonicalize(&self.root)?;
        let mut folders = BTreeMap::new();
        let mut stray = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            if input::is_hidden(&path) {
                continue;
            }
            match group_of(&path) {
                Some(group) if path.is_dir() => {
                    folders.insert(group, self.folder(path, &within));
                }
                Some(_) if !input::is_configuration(&path) => {}
                Some(_) | None => stray.push(path),
            }
        }
        stray.sort();
        let trouble = stray.first().map(|first| {
            let name = first.file_name().unwrap_or_default().display();
            format!("{name} is not read: files lie in a folder that has the name of their group")
        });
        Ok(Reading {
            folders: Some(folders),
            trouble,
            root: Some(root),
        })
    }

    fn folder(&self, path: PathBuf, within: &Path) -> Folder {
        let content = match self.documents(&path, within) {
            Ok(documents) if documents.is_empty() => Content::Empty,
            Ok(documents) => Content::Files(documents),
            Err(message) => Content::Unreadable(message),
        };
        Folder {
            fingerprint: content.fingerprint(),
            path,
            content,
        }
    }

    fn documents(&self, dir: &Path, within: &Path) -> Result<Vec<Document>, String> {
        let files = input::files_of(dir).map_err(|error| error.to_string())?;
        let mut room = FOLDER_BYTES;
        let mut documents = Vec::with_capacity(files.len());
        for path in files {
            let content = self.content(&path, within, &mut room);
            let content = content.map_err(|reason| format!("{}: {reason}", path.display()))?;
            let name = path.display().to_string();
            documents.push(Document {
                format: Format::of_name(&name),
                name,
                content,
            });
        }
        Ok(documents)
    }

    /// Reads a regular file within the directory. A pipe would block, and a link could publish any file of the machine.
    fn content(&self, path: &Path, within: &Path, room: &mut u64) -> Result<Bytes, String> {
        let text_of = |error: io::Error| error.to_string();
        let real = fs::canonicalize(path).map_err(text_of)?;
        let Ok(below) = real.strip_prefix(within) else {
            return Err(format!("leads out of {}", self.root.display()));
        };
        input::expect_regular(&fs::metadata(&real).map_err(text_of)?).map_err(text_of)?;
        // Somebody with write access could exchange the file after the check.
        let file = input::open_below(within, below).map_err(text_of)?;
        let content = input::read_bounded(file, self.document_bytes.min(*room)).map_err(text_of)?;
        *room -= content.len() as u64;
        Ok(content.into())
    }
}

/// The group of a folder; `None` where its name is not text, or is `*`, whose folder has another name.
fn group_of(path: &Path) -> Option<NodeGroup> {
    match path.file_name()?.to_str()? {
        NodeGroup::SHARED => None,
        SHARED_FOLDER => Some(NodeGroup::from(NodeGroup::SHARED)),
        name => Some(NodeGroup::from(name)),
    }
}

// === impl Content ===

impl Content {
    fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        // The lengths keep different sequences apart.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        match self {
            Self::Files(documents) => documents.iter().for_each(|document| {
                part(document.name.as_bytes());
                part(&document.content);
            }),
            Self::Empty => part(b"empty"),
            Self::Unreadable(reason) => {
                part(b"unreadable");
                part(reason.as_bytes());
            }
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::admission::Limits;

    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_file_that_is_exchanged_for_a_pipe_while_it_is_looked_at_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("demo");
        fs::create_dir(&group).unwrap();
        let [file, pipe, there] = ["file", "pipe", "cds.yaml"].map(|name| group.join(name));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        fs::write(&file, "resources: []").unwrap();
        fs::hard_link(&file, &there).unwrap();
        let reader = Reader::new(dir.path().to_owned(), Limits::default().document_bytes);
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            for _ in 0..2_000 {
                assert!(reader.read().folders.is_some());
            }
            done.send(()).ok();
        });
        // Two links take turns under one name.
        let exchange = group.join("exchange");
        let mut turns = [&pipe, &file].into_iter().cycle();
        let begun = Instant::now();
        while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
            assert!(begun.elapsed() < PATIENCE, "the reader waits");
            for from in turns.by_ref().take(100) {
                fs::hard_link(from, &exchange).unwrap();
                fs::rename(&exchange, &there).unwrap();
                // A rename between two names of one file does nothing.
                fs::remove_file(&exchange).ok();
            }
        }
    }
}
