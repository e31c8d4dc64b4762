//! Reads the files of `-f`: a file, a directory, or `-` for stdin.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::exit::Failure;
use crate::{input, proto::admin::Document};

/// More than a server accepts in one publish.
const MAX_BYTES: u64 = 256 << 20;
const STDIN: &str = "<stdin>";

/// Reads all given files, in order.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Failure::usage("-f -: stdin can be read once"));
    }
    let mut documents = Vec::new();
    for path in paths {
        if is_stdin(path) {
            documents.push(document(STDIN.to_owned(), io::stdin().lock())?);
        } else if path.is_dir() {
            for file in files_of(path)? {
                documents.push(opened(&file, input::open)?);
            }
        } else {
            // A pipe may be given by itself, as a shell's `<(...)` is.
            documents.push(opened(path, |path| fs::File::open(path))?);
        }
    }
    Ok(documents)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn opened(path: &Path, open: impl FnOnce(&Path) -> io::Result<fs::File>) -> Result<Document, Failure> {
    let name = path.display().to_string();
    let file = open(path).map_err(|error| unreadable(&name, &error))?;
    document(name, file)
}

fn document(name: String, from: impl Read) -> Result<Document, Failure> {
    let content = input::read_bounded(from, MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Failure::refused(format!("{name}: larger than {} MiB", MAX_BYTES >> 20)),
        _ => unreadable(&name, &error),
    })?;
    Ok(Document {
        name,
        content,
        ..Document::default()
    })
}

/// The configuration files of a directory; it must have some.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let files = input::files_of(dir).map_err(|error| unreadable(&dir.display().to_string(), &error))?;
    // Pipes and devices in a directory are skipped.
    let files: Vec<PathBuf> = files.into_iter().filter(|path| path.is_file()).collect();
    if files.is_empty() {
        let endings = input::ENDINGS.map(|ending| format!("*.{ending}")).join(", ");
        return Err(Failure::refused(format!("{}: no {endings} in it", dir.display())));
    }
    Ok(files)
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("{name}: {error}"))
}
