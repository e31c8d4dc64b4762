//! Reasons why a store cannot be opened, read, written or restored.

use std::{io, path::PathBuf};

use crate::snapshot::Revision;

/// The reason why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is locked by another process: only one server may use a data directory", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// An earlier release wrote the file in a format that is no longer read.
    #[error(
        "{} has the older format {found}, this release reads format {expected}: with the release that wrote it, save each group with \
         `chancery get -g GROUP -o yaml --show-secrets`; then start this release with an empty data directory and publish them again",
        .path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The format of this release.
        expected: u64,
    },
    /// A later release wrote the file.
    #[error("{} has the newer format {found}, this release reads format {expected}: use a newer release", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The format of this release.
        expected: u64,
    },
    /// The file, or a record in it, differs from what was written.
    #[error(
        "{} is damaged: {detail}; restore a backup with `chancery restore BACKUP --data-dir DIR --force`, or move the file away and \
         publish again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mismatch.
        detail: String,
    },
    /// The path no longer has the opened file, so a restart would not find new revisions in it.
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
        "{} is sealed with the key {}, which the key file {} does not have (it has {}): put that key back, as a line after the \
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
    /// The file is not sealed, although there is a key file.
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
        /// The error of the system.
        source: io::Error,
    },
    /// The disk is full, or a limit is reached.
    #[error("{}: no room for it: {detail}; make room and publish again", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        detail: String,
    },
    /// The database cannot read or write.
    #[error("{}: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The error of the database.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The revision does not follow the last one: two writers share a store.
    #[error("revision {revision} does not follow the last one, {last}: another writer uses this store")]
    NotNewer {
        /// The revision to add.
        revision: Revision,
        /// The last revision.
        last: Revision,
    },
    /// The store keeps nothing on disk.
    #[error(
        "this server keeps what is published in memory only (--ephemeral): `chancery export` saves what is current"
    )]
    NoBackup,
    /// Writing a backup failed: its reader has gone.
    #[error("the backup was interrupted: {0}")]
    Interrupted(io::Error),
    /// The file is not a complete backup.
    #[error("{} is not a complete backup: {detail}", .path.display())]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// The mismatch.
        detail: String,
    },
    /// The directory to restore to is not empty.
    #[error("{} is not empty: {} is in it; --force restores over a store and keeps the old one under another name", .path.display(), .found)]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// A name in the directory.
        found: String,
    },
}
