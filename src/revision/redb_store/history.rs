//! The revisions of groups, inside one transaction: append, drop, read.

use std::{sync::Arc, time::SystemTime};

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::{
    failure::Failure,
    objects::{OBJECTS, Objects, Reader},
    records::{PassingRecord, RevisionRecord, TypeRecord},
    tables::{META, META_LAST, REVISIONS, read_last},
    vault::{Place, Vault},
};
use crate::{
    node::NodeGroup,
    resource::{ResourceType, Version},
    revision::{Content, Loaded, LoadedGroup, RevisionInfo, StoredRevision, Summary, Trace},
    snapshot::{Revision, TypeResources, Types},
};

pub(super) fn read_all(txn: &ReadTransaction, vault: &Vault) -> Result<Loaded, Failure> {
    let last = read_last(&txn.open_table(META)?)?;
    let mut groups: Vec<LoadedGroup> = Vec::new();
    let mut newest: Option<(Vec<Trace>, Revision, RevisionRecord)> = None;
    for row in txn.open_table(REVISIONS)?.iter()? {
        let (key, sealed) = row?;
        let (revision, record) = (
            Revision(key.value().1),
            open_revision(vault, key.value(), sealed.value())?,
        );
        let trace = trace(revision, &record)?;
        // Rows are sorted by group, then revision: the last of a group is its head.
        newest = Some(match newest.take() {
            Some((mut traces, _, before)) if before.group == record.group => {
                traces.push(trace);
                (traces, revision, record)
            }
            done => {
                groups.extend(done.map(|group| loaded_group(txn, vault, group)).transpose()?);
                (vec![trace], revision, record)
            }
        });
    }
    groups.extend(newest.map(|group| loaded_group(txn, vault, group)).transpose()?);
    Ok(Loaded { last, groups })
}

pub(super) fn append(txn: &WriteTransaction, vault: &Vault, revision: &StoredRevision) -> Result<(), Failure> {
    let mut meta = txn.open_table(META)?;
    let last = read_last(&meta)?;
    if revision.revision <= last {
        return Err(Failure::NotNewer {
            revision: revision.revision,
            last,
        });
    }
    meta.insert(META_LAST, revision.revision.0)?;
    let mut objects = Objects::open(txn, vault)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = revision.group.as_str();
    let mut newest = Vec::new();
    for row in revisions.range((group, 0)..=(group, u64::MAX))?.rev().take(2) {
        let (key, sealed) = row?;
        newest.push((key.value().1, open_revision(vault, key.value(), sealed.value())?));
    }
    let mut newest = newest.into_iter();
    let mut before = newest.next();
    // A passing revision replaces a passing one, and follows the one before that.
    let replaced = match before {
        Some((_, RevisionRecord { passing: true, .. })) if revision.origin.is_passing() => {
            std::mem::replace(&mut before, newest.next())
        }
        _ => None,
    };
    let before = before.map(|(_, record)| record);
    let mut types = Vec::new();
    for (resource_type, resources) in revision.types().into_iter().flatten() {
        let type_url = resource_type.type_url();
        let before = before.as_ref().and_then(|before| before.list(type_url));
        types.push(TypeRecord {
            type_url: type_url.to_owned(),
            version: resources.version().to_string(),
            resources: resources.len() as u64,
            list: objects.hold(resources, before)?.to_vec(),
            content: resources.contents_hash().to_bytes().to_vec(),
        });
    }
    if let Some((number, record)) = replaced {
        // Release after holding, so that shared objects are not written again.
        revisions.remove((group, number))?;
        for found in &record.types {
            let list = found.list().ok_or_else(|| damaged_revision((group, number)))?;
            objects.release(list, before.as_ref().and_then(|before| before.list(&found.type_url)))?;
        }
    }
    let record = RevisionRecord::new(revision, types);
    let sealed = vault.seal(Place::Revision(group, revision.revision.0), &record);
    revisions.insert((group, revision.revision.0), sealed.as_slice())?;
    Ok(())
}

/// Removes a group's oldest revisions, and every object that only they had. Passing revisions do not count.
pub(super) fn keep_newest(
    txn: &WriteTransaction,
    vault: &Vault,
    group: &NodeGroup,
    count: usize,
) -> Result<(), Failure> {
    let mut objects = Objects::open(txn, vault)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = group.as_str();
    let mut kept: Vec<u64> = Vec::new();
    for row in revisions.range((group, 0)..=(group, u64::MAX))? {
        kept.push(row?.0.value().1);
    }
    let surplus = match kept.len().saturating_sub(count) {
        0 => 0,
        _ if count == 0 => kept.len(),
        _ => surplus(&revisions, vault, group, &kept, count)?,
    };
    for (index, old) in kept[..surplus].iter().enumerate() {
        let key = (group, *old);
        let next = match kept.get(index + 1) {
            Some(next) => read_revision(&revisions, vault, (group, *next))?,
            None => None,
        };
        let record = read_revision(&revisions, vault, key)?.ok_or_else(|| damaged_revision(key))?;
        revisions.remove(key)?;
        for found in &record.types {
            let list = found.list().ok_or_else(|| damaged_revision(key))?;
            let after = next.as_ref().and_then(|next| next.list(&found.type_url));
            objects.release(list, after)?;
        }
    }
    Ok(())
}

/// The number of oldest revisions to remove, so that `count` lasting ones are left.
fn surplus(
    revisions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    vault: &Vault,
    group: &str,
    kept: &[u64],
    count: usize,
) -> Result<usize, Failure> {
    let mut lasting = 0;
    for (index, number) in kept.iter().enumerate().rev() {
        let key = (group, *number);
        let sealed = revisions.get(key)?.ok_or_else(|| damaged_revision(key))?;
        let record = vault.open(Place::Revision(key.0, key.1), sealed.value());
        let record: PassingRecord = record.ok_or_else(|| damaged_revision(key))?;
        lasting += usize::from(!record.passing);
        if lasting == count {
            return Ok(index);
        }
    }
    Ok(0)
}

fn read_revision(
    revisions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    vault: &Vault,
    key: (&str, u64),
) -> Result<Option<RevisionRecord>, Failure> {
    let sealed = revisions.get(key)?;
    sealed
        .map(|sealed| open_revision(vault, key, sealed.value()))
        .transpose()
}

fn loaded_group(
    txn: &ReadTransaction,
    vault: &Vault,
    (traces, revision, record): (Vec<Trace>, Revision, RevisionRecord),
) -> Result<LoadedGroup, Failure> {
    let head = stored(txn, vault, revision, record)?;
    Ok(LoadedGroup { head, traces })
}

pub(super) fn stored(
    txn: &ReadTransaction,
    vault: &Vault,
    revision: Revision,
    record: RevisionRecord,
) -> Result<StoredRevision, Failure> {
    let objects = txn.open_table(OBJECTS)?;
    let reader = Reader::new(&objects, vault);
    let damaged = || damaged_revision((&record.group, revision.0));
    let mut types = Types::new();
    for found in &record.types {
        let (Some(summary), Some(list)) = (found.summary(), found.list()) else {
            return Err(damaged());
        };
        let resources = TypeResources::new(reader.read_list(list)?).map_err(|_| damaged())?;
        if resources.content_hash().to_bytes() != list {
            return Err(damaged());
        }
        types.insert(summary.resource_type, Arc::new(resources.with_version(summary.version)));
    }
    let replaced = record.replaced().ok_or_else(damaged)?;
    let origin = record.origin().ok_or_else(damaged)?;
    Ok(StoredRevision {
        revision,
        group: NodeGroup::from(record.group.as_str()),
        time: time_of(&record),
        author: record.author,
        message: record.message,
        origin,
        content: if record.deleted {
            Content::Deleted
        } else {
            Content::Published(types)
        },
        replaced,
    })
}

pub(super) fn info(revision: Revision, record: RevisionRecord) -> Result<RevisionInfo, Failure> {
    let types: Option<Vec<_>> = record.types.iter().map(TypeRecord::summary).collect();
    let (Some(types), Some(origin)) = (types, record.origin()) else {
        return Err(damaged_revision((&record.group, revision.0)));
    };
    Ok(RevisionInfo {
        revision,
        group: NodeGroup::from(record.group.as_str()),
        time: time_of(&record),
        author: record.author,
        message: record.message,
        origin,
        summary: if record.deleted {
            Summary::Deleted
        } else {
            Summary::Published(types)
        },
    })
}

fn trace(revision: Revision, record: &RevisionRecord) -> Result<Trace, Failure> {
    let version = |found: &TypeRecord| -> Option<(ResourceType, Version)> {
        let summary = found.summary()?;
        Some((summary.resource_type, summary.version))
    };
    let versions: Option<Vec<_>> = record.types.iter().map(version).collect();
    let (Some(versions), Some(replaced)) = (versions, record.replaced()) else {
        return Err(damaged_revision((&record.group, revision.0)));
    };
    Ok(Trace {
        revision,
        versions,
        replaced,
        passing: record.passing,
    })
}

fn time_of(record: &RevisionRecord) -> SystemTime {
    let time = record.time.and_then(|time| SystemTime::try_from(time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(super) fn open_revision(vault: &Vault, key: (&str, u64), sealed: &[u8]) -> Result<RevisionRecord, Failure> {
    vault
        .open(Place::Revision(key.0, key.1), sealed)
        .filter(|record: &RevisionRecord| record.group == key.0)
        .ok_or_else(|| damaged_revision(key))
}

pub(super) fn damaged_revision((group, revision): (&str, u64)) -> Failure {
    Failure::Damaged(format!(
        "revision {revision} of group \"{group}\" is not what was written"
    ))
}
