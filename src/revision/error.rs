//! Why a store could not be opened, read, written or restored.

use std::{io, path::PathBuf};

use crate::snapshot::Revision;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is locked by another process: only one server may use a data directory", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by an earlier release, in a format that is no longer read.
    #[error(
        "{} has the older format {found}, this release reads format {expected}: with the release that wrote it, save each group with \
         `chancery get -g GROUP -o yaml --show-secrets`; then start this release with an empty data directory and publish them again",
        .path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this release.
        expected: u64,
    },
    /// The file was written by a later release.
    #[error("{} has the newer format {found}, this release reads format {expected}: use a newer release", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this release.
        expected: u64,
    },
    /// The file, or a record in it, is not what was written.
    #[error(
        "{} is damaged: {detail}; restore a backup with `chancery restore BACKUP --data-dir DIR --force`, or move the file away and \
         publish again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The file is not the one that was opened: what is written to that is found by nobody after a restart.
    #[error(
        "{} was removed or replaced while the server runs: nothing is published until the file that was opened is back in its place, or \
         the server is started again with what is there; `chancery export` saves what is current",
        .path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file is sealed, and no key file was given.
    #[error(
        "{} is sealed with the key {}: name the file that has it with --key-file, or --store-key-file (store.key_file) of the \
         server; nothing can be read or served without it",
        .path.display(), .missing
    )]
    KeyNeeded {
        /// The file.
        path: PathBuf,
        /// The ids of the keys.
        missing: String,
    },
    /// The file is sealed with a key that the key file lacks.
    #[error(
        "{} is sealed with the key {}, which the key file {} does not have (it has {}): put that key back, as a line behind the \
         others; nothing can be read or served without it",
        .path.display(), .missing, .key_file.display(), .held
    )]
    KeyMissing {
        /// The file.
        path: PathBuf,
        /// The ids of the keys.
        missing: String,
        /// The key file.
        key_file: PathBuf,
        /// The ids of its keys.
        held: String,
    },
    /// The file is not sealed, though there is a key file.
    #[error(
        "{} is not sealed, though there is the key file {}: `chancery rekey --data-dir DIR --key-file FILE` seals a data \
         directory; a backup is restored without the key file first",
        .path.display(), .key_file.display()
    )]
    NotSealed {
        /// The file.
        path: PathBuf,
        /// The key file.
        key_file: PathBuf,
    },
    /// A directory or file could not be made or opened.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no room on the disk, or none within a limit.
    #[error("{}: no room for it: {detail}; make room and publish again", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The database could not read or write.
    #[error("{}: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A revision that does not follow the last one: two writers share a store.
    #[error("revision {revision} does not follow the last one, {last}: another writer uses this store")]
    NotNewer {
        /// The revision to add.
        revision: Revision,
        /// The last one.
        last: Revision,
    },
    /// The store keeps nothing on disk.
    #[error(
        "this server keeps what is published in memory only (--ephemeral): `chancery export` saves what is current"
    )]
    NoBackup,
    /// Whoever reads a backup has gone.
    #[error("the backup was interrupted: {0}")]
    Interrupted(io::Error),
    /// A backup that is none, or not whole.
    #[error("{} is no whole backup: {detail}", .path.display())]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The directory to restore to holds something.
    #[error("{} is not empty: {} is in it; --force restores over a store and keeps it beside under another name", .path.display(), .found)]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
}
