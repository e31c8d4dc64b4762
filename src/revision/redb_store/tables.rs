//! The tables of the file, and the keys of the table of numbers.

use redb::{ReadableTable, TableDefinition};

use super::failure::Failure;
use crate::snapshot::Revision;

/// The format that this release writes; a change of the meaning of records raises it.
pub(super) const FORMAT: u64 = 2;
/// The format of a sealed store.
pub(super) const SEALED_FORMAT: u64 = 3;
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
pub(super) const META_FORMAT: &str = "format";
pub(super) const META_LAST: &str = "last_revision";
/// Counts the test writes of probes.
pub(super) const META_PROBES: &str = "probes";
/// (Group, revision) → its sealed record.
pub(super) const REVISIONS: TableDefinition<'static, (&str, u64), &[u8]> = TableDefinition::new("revisions");

/// The largest revision ever made.
pub(super) fn read_last(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, Failure> {
    Ok(Revision(meta.get(META_LAST)?.map_or(0, |last| last.value())))
}
