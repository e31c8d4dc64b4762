//! Opens files that people name. A path may lead to a pipe, a device or out of its directory, and may change after a
//! check: so the opened file itself is checked, and opening never waits.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::fs::{CWD, Mode, OFlags, openat};
use zeroize::Zeroizing;

/// Opening a pipe does not wait for its writer, and children do not inherit the file.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// A directory on the way must be searchable, not readable.
#[cfg(target_os = "linux")]
const ON_THE_WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const ON_THE_WAY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a regular file for reading; follows links.
///
/// # Errors
///
/// If the file cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Checked before opening as well: opening a device may already have an effect.
    expect_regular(&fs::metadata(path)?)?;
    opened(openat(CWD, path, FILE, Mode::empty())?)
}

/// Opens a regular file below a directory for reading. Links below the directory are not followed, so the file lies
/// within the directory even if parts of the path are exchanged meanwhile.
///
/// # Errors
///
/// If the file cannot be opened or is not a regular file, or if a part of `below` is a link or not a plain name.
pub fn open_below(dir: &Path, below: &Path) -> io::Result<File> {
    let mut at = openat(CWD, dir, ON_THE_WAY, Mode::empty())?;
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            break;
        };
        if parts.peek().is_none() {
            return opened(openat(&at, name, FILE | OFlags::NOFOLLOW, Mode::empty())?);
        }
        at = openat(&at, name, ON_THE_WAY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "is not a path below a directory",
    ))
}

/// Reads the rest of a file, at most `most` bytes.
///
/// # Errors
///
/// If the file cannot be read, or has more bytes: [`io::ErrorKind::FileTooLarge`].
pub fn read_bounded(file: impl io::Read, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    read_bounded_into(file, most, &mut content)?;
    Ok(content)
}

fn read_bounded_into(file: impl io::Read, most: u64, content: &mut Vec<u8>) -> io::Result<()> {
    file.take(most.saturating_add(1)).read_to_end(content)?;
    if content.len() as u64 > most {
        let reason = format!("is larger than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(())
}

/// Reads a whole file that holds a secret, at most `most` bytes. The buffer is zeroed on drop, and is allocated at full
/// size, since a growing buffer leaves copies behind.
///
/// # Errors
///
/// As for [`read_bounded`].
pub fn read_secret(file: &File, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len().min(most);
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    let capacity = content.capacity();
    read_bounded_into(file.take(capacity as u64), most, &mut content)?;
    if content.len() < capacity {
        return Ok(content);
    }
    // The file grew meanwhile: its writer is not done.
    Err(io::Error::other("changed while it was read"))
}

fn opened(descriptor: OwnedFd) -> io::Result<File> {
    let file = File::from(descriptor);
    expect_regular(&file.metadata()?)?;
    Ok(file)
}

/// Checks that this is a regular file, which can be read to its end.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a directory, a pipe, a socket or a device.
pub fn expect_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command, sync::mpsc, thread, time::Duration};

    use super::*;

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// Runs a call that could block for ever, and fails the test if it does.
    fn comes_back<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(call()).ok());
        result.recv_timeout(Duration::from_secs(60)).expect("the call waits")
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe.yaml");
        pipe(&path);
        let root = dir.path().to_owned();
        let [looked, raced] = comes_back(move || {
            [
                open(&path).unwrap_err(),
                open_below(&root, Path::new("pipe.yaml")).unwrap_err(),
            ]
        });
        for error in [looked, raced] {
            assert_eq!(error.to_string(), "is not a regular file");
        }
    }

    #[test]
    fn no_link_on_the_way_leads_out_of_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("folder")).unwrap();
        fs::write(outside.path().join("folder/secret.yaml"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        symlink(outside.path().join("folder"), dir.path().join("folder")).unwrap();
        symlink(outside.path().join("folder/secret.yaml"), dir.path().join("file.yaml")).unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/cds.yaml"), "mine").unwrap();
        for below in ["folder/secret.yaml", "file.yaml", "../x", "/etc/passwd", "", "real"] {
            assert!(open_below(dir.path(), Path::new(below)).is_err(), "{below}");
        }
        let file = open_below(dir.path(), Path::new("real/cds.yaml")).unwrap();
        assert_eq!(read_bounded(file, 4).unwrap(), b"mine");
    }

    #[test]
    fn secret_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for length in [0, 1, 31, 32, 33, 4096, 10_000] {
            let text = "x".repeat(length);
            fs::write(&path, &text).unwrap();
            let read = read_secret(&open(&path).unwrap(), 10_000).unwrap();
            assert_eq!(read.as_slice(), text.as_bytes());
            assert_eq!(read.capacity(), length + 1, "it never grew");
        }
        fs::write(&path, "x".repeat(10_001)).unwrap();
        let error = read_secret(&open(&path).unwrap(), 10_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn more_than_the_bound_is_an_error() {
        let error = read_bounded(io::repeat(0), 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "is larger than 10 bytes");
    }
}
