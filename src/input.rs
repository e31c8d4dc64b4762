//! Which files of a directory are configuration, and how they are opened. The command line and the file source read the same
//! ones.

mod opened;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::opened::{expect_regular, open, open_below, read_bounded, read_secret};

/// What a file's name must end in.
pub const ENDINGS: [&str; 5] = ["yaml", "yml", "json", "pb", "binpb"];

/// The configuration files of a directory, sorted; not below it, and no hidden ones. Links are followed, so that a Kubernetes
/// ConfigMap is read by the names it is mounted under.
///
/// # Errors
///
/// Where the directory cannot be read.
pub fn files_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_configuration(&path) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of this name is configuration.
#[must_use]
pub fn is_configuration(path: &Path) -> bool {
    let ending = path.extension();
    !is_hidden(path) && ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Whether the name begins with a dot: an editor's, or Kubernetes' own.
#[must_use]
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
