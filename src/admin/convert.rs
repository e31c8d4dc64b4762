//! Converts between the messages of the admin API and the types of the product. No decisions are made here.

mod nodes;

use std::time::{Duration, SystemTime};

use prost::Message as _;
use prost_types::{Any, Timestamp};

pub(super) use self::nodes::{nack, node_event, node_status};
use crate::{
    admission::{self, Candidate, Finding, Format, RawResource, Severity},
    proto::admin as api,
    publisher::{PublishOptions, Published, TypeChange},
    resource::{ContentHash, Resource, ResourceName},
    revision::{Origin, RevisionInfo, Summary},
    snapshot::Revision,
};

// === requests ===

impl From<api::Document> for admission::Document {
    fn from(document: api::Document) -> Self {
        use api::document::Format as Given;

        let format = match document.format() {
            Given::Unspecified => Format::of_name(&document.name),
            Given::Yaml => Format::Yaml,
            Given::Json => Format::Json,
            Given::Binary => Format::Binary,
        };
        Self {
            name: document.name,
            content: document.content.into(),
            format,
        }
    }
}

/// A resource of a request; `None` without content, or with an invalid TTL.
fn raw_resource(resource: api::Resource) -> Option<RawResource> {
    let ttl = resource.ttl.map(Duration::try_from).transpose().ok()?;
    Some(RawResource {
        name: (!resource.name.is_empty()).then(|| ResourceName::from(resource.name)),
        aliases: resource.aliases.into_iter().map(ResourceName::from).collect(),
        ttl,
        any: resource.resource?,
    })
}

/// The candidate of a request; the error is the index of an invalid resource.
pub(super) fn candidate(documents: Vec<api::Document>, resources: Vec<api::Resource>) -> Result<Candidate, usize> {
    let resources = resources
        .into_iter()
        .enumerate()
        .map(|(index, resource)| raw_resource(resource).ok_or(index));
    Ok(Candidate {
        documents: documents.into_iter().map(Into::into).collect(),
        resources: resources.collect::<Result<_, _>>()?,
    })
}

impl From<api::PublishOptions> for PublishOptions {
    fn from(options: api::PublishOptions) -> Self {
        Self {
            dry_run: options.dry_run,
            expected_revision: options.expected_revision,
            version_info: Some(options.version_info).filter(|version| !version.is_empty()),
            message: options.message,
            author: options.author,
            allow_warnings: options.allow_warnings,
            allow_removals: options.allow_removals,
            deny_warnings: options.deny_warnings,
            idempotency_key: Some(options.idempotency_key).filter(|key| !key.is_empty()),
            origin: Origin::AdminApi,
        }
    }
}

/// The revision of this number; 0 means absent.
pub(super) fn revision(number: u64) -> Option<Revision> {
    (number != 0).then_some(Revision(number))
}

// === replies: snapshots ===

/// A finding as a message of the API.
#[must_use]
pub fn finding(finding: &Finding) -> api::Finding {
    let place = finding.place.clone();
    let (document, line, column) =
        place.map_or_else(Default::default, |place| (place.document, place.line, place.column));
    api::Finding {
        severity: match finding.severity {
            Severity::Error => api::finding::Severity::Error.into(),
            Severity::Warning => api::finding::Severity::Warning.into(),
        },
        code: finding.code.to_owned(),
        message: finding.message.clone(),
        document,
        line,
        column,
        type_url: finding.type_url.clone().unwrap_or_default(),
        resource: finding.resource.clone().unwrap_or_default(),
        field: finding.field.clone().unwrap_or_default(),
    }
}

pub(super) fn type_change(change: &TypeChange) -> api::TypeChange {
    let names = |names: &[ResourceName]| names.iter().map(ToString::to_string).collect();
    api::TypeChange {
        type_url: change.resource_type.type_url().to_owned(),
        added: names(&change.added),
        changed: names(&change.changed),
        removed: names(&change.removed),
        version: change.version.to_string(),
    }
}

pub(super) fn published(published: &Published) -> api::PublishResponse {
    api::PublishResponse {
        group: published.group.to_string(),
        revision: published.revision.0,
        changed: published.changed,
        dry_run: published.dry_run,
        changes: published.changes.iter().map(type_change).collect(),
        findings: published
            .unconfirmed
            .iter()
            .chain(&published.warnings)
            .map(finding)
            .collect(),
        plan: None,
        repeated: published.repeated,
    }
}

pub(super) fn summary(info: &RevisionInfo) -> api::SnapshotSummary {
    let (types, deleted) = match &info.summary {
        Summary::Published(types) => (types.as_slice(), false),
        Summary::Deleted => (&[][..], true),
    };
    api::SnapshotSummary {
        group: info.group.to_string(),
        revision: info.revision.0,
        time: timestamp(info.time),
        author: info.author.clone(),
        message: info.message.clone(),
        owner: info.origin.owner().as_str().to_owned(),
        origin: info.origin.as_str().to_owned(),
        types: types
            .iter()
            .map(|row| api::TypeSummary {
                type_url: row.resource_type.type_url().to_owned(),
                version: row.version.to_string(),
                resources: count(row.resources),
                content_hash: hash(row.content),
            })
            .collect(),
        deleted,
        content_hash: hash(info.content_hash()),
        outcomes: None,
    }
}

fn hash(hash: Option<ContentHash>) -> String {
    hash.map(|hash| hash.to_string()).unwrap_or_default()
}

/// A resource with its content; sensitive fields are redacted unless `with_secrets`.
pub(super) fn resource(resource: &Resource, with_secrets: bool) -> Result<api::Resource, prost::DecodeError> {
    let any = Any::decode(resource.body.clone())?;
    Ok(api::Resource {
        name: resource.name.to_string(),
        aliases: resource.aliases.iter().map(ToString::to_string).collect(),
        // The TTL came in as a protobuf duration, so it fits into one.
        ttl: resource.ttl.and_then(|ttl| ttl.try_into().ok()),
        resource: Some(if with_secrets { any } else { admission::redact(&any) }),
        version: resource.version.to_string(),
    })
}

#[allow(clippy::unnecessary_wraps)] // the field it fills is optional
pub(super) fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Some(time.into())
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
