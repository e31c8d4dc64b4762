//! Finding and opening configuration files of a directory, the same for the command line and the file source.

mod opened;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::opened::{expect_regular, open, open_below, read_bounded, read_secret};

/// The endings of configuration files.
pub const ENDINGS: [&str; 5] = ["yaml", "yml", "json", "pb", "binpb"];

/// The configuration files directly in a directory, sorted, without hidden ones. Links are followed, so that a
/// Kubernetes ConfigMap is read under its mounted names.
///
/// # Errors
///
/// If the directory cannot be read.
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

/// Returns true if the file's ending is one of [`ENDINGS`].
#[must_use]
pub fn is_configuration(path: &Path) -> bool {
    let ending = path.extension();
    !is_hidden(path) && ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Returns true if the name begins with a dot, as the files of editors and Kubernetes' own do.
#[must_use]
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
