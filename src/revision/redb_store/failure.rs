//! Failures of the store's file, and the errors reported for them.

use std::{io, path::Path};

use crate::{revision::StoreError, snapshot::Revision};

/// A failure inside a transaction, which does not know its file.
#[derive(Debug)]
pub(super) enum Failure {
    Redb(redb::Error),
    Damaged(String),
    NotNewer { revision: Revision, last: Revision },
    Interrupted(io::Error),
}

/// Adds the path of the file to a failure.
pub(super) fn named(path: &Path, failure: Failure) -> StoreError {
    let path = path.to_owned();
    match failure {
        Failure::Redb(redb::Error::Corrupted(detail)) | Failure::Damaged(detail) => {
            StoreError::Damaged { path, detail }
        }
        Failure::Redb(redb::Error::Io(source)) => io_error(&path, source),
        Failure::Redb(source) => StoreError::Database {
            path,
            source: Box::new(source),
        },
        Failure::NotNewer { revision, last } => StoreError::NotNewer { revision, last },
        Failure::Interrupted(error) => StoreError::Interrupted(error),
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> StoreError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => StoreError::Full {
            path,
            detail: source.to_string(),
        },
        _ => StoreError::Io { path, source },
    }
}

// === impl Failure ===

impl Failure {
    /// Returns true if the database answers nothing until it is opened again.
    pub(super) const fn closes_the_database(&self) -> bool {
        matches!(
            self,
            Self::Redb(redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed)
        )
    }
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}
