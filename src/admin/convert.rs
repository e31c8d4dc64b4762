//! Between the messages of the admin API and the types of the product. Nothing here decides anything.

use std::time::{Duration, SystemTime};

use prost::Message as _;
use prost_types::{Any, Timestamp};

use crate::{
    admission::{self, Candidate, Finding, Format, RawResource, Severity},
    fleet::{self, DeliveryStatus, NackStatus},
    node::NodeId,
    proto::admin as api,
    protocol::{Awaited, Awaiting, Hold, Standing, Variant, Wait},
    publisher::{PublishOptions, Published, TypeChange},
    resource::{ContentHash, Resource, ResourceName, ResourceType},
    revision::{Owner, RevisionInfo, Summary},
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

/// A resource of a request. `None` where it has no content, or a TTL that is no length of time.
fn raw_resource(resource: api::Resource) -> Option<RawResource> {
    let ttl = resource.ttl.map(Duration::try_from).transpose().ok()?;
    Some(RawResource {
        name: (!resource.name.is_empty()).then(|| ResourceName::from(resource.name)),
        aliases: resource.aliases.into_iter().map(ResourceName::from).collect(),
        ttl,
        any: resource.resource?,
    })
}

/// What a request offers, or the index of a resource that is none.
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
            owner: Owner::AdminApi,
        }
    }
}

/// 0 stands for "not given".
pub(super) fn revision(number: u64) -> Option<Revision> {
    (number != 0).then_some(Revision(number))
}

// === replies: snapshots ===

/// A finding as the API says it.
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
        owner: info.owner.as_str().to_owned(),
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

/// A resource with its content; sensitive fields are blanked unless `with_secrets`.
pub(super) fn resource(resource: &Resource, with_secrets: bool) -> Result<api::Resource, prost::DecodeError> {
    let any = Any::decode(resource.body.clone())?;
    Ok(api::Resource {
        name: resource.name.to_string(),
        aliases: resource.aliases.iter().map(ToString::to_string).collect(),
        // A TTL came in as a protobuf duration, so it fits one.
        ttl: resource.ttl.and_then(|ttl| ttl.try_into().ok()),
        resource: Some(if with_secrets { any } else { admission::redact(&any) }),
        version: resource.version.to_string(),
    })
}

// === replies: nodes ===

pub(super) fn node_status(node: &fleet::NodeStatus) -> api::NodeStatus {
    api::NodeStatus {
        id: node.id.to_string(),
        cluster: node.cluster.clone(),
        group: node.group.to_string(),
        user_agent: node.user_agent.clone(),
        connected: node.connected(),
        last_seen: timestamp(node.last_seen),
        streams: node.streams.iter().map(stream_status).collect(),
        types: node.types.iter().map(type_status).collect(),
        load: node.load.as_deref().map(load_report),
    }
}

fn load_report(report: &fleet::LoadReport) -> api::LoadReport {
    api::LoadReport {
        time: timestamp(report.time),
        clusters: report.clusters.iter().map(cluster_load).collect(),
        omitted_clusters: count(report.omitted),
        reports_total: report.total,
    }
}

fn cluster_load(load: &fleet::ClusterLoad) -> api::ClusterLoad {
    api::ClusterLoad {
        cluster: load.cluster.clone(),
        service: load.service.clone(),
        interval: prost_types::Duration::try_from(load.interval).ok(),
        issued_requests: load.issued,
        successful_requests: load.successful,
        failed_requests: load.failed,
        requests_in_progress: load.in_progress,
        dropped_requests: load.dropped,
    }
}

pub(super) fn node_event(change: &fleet::FleetChange) -> api::WatchNodesResponse {
    use api::watch_nodes_response::Event;

    let event = match change {
        fleet::FleetChange::Node(node) => Event::Node(node_status(node)),
        fleet::FleetChange::Forgotten(id) => Event::Forgotten(NodeId::to_string(id)),
    };
    api::WatchNodesResponse { event: Some(event) }
}

fn order_status(standing: &Standing) -> Option<api::OrderStatus> {
    (*standing != Standing::default()).then(|| api::OrderStatus {
        waits: standing.waits.iter().map(wait).collect(),
        holds: standing.holds.iter().map(hold).collect(),
        held: standing.held as u64,
        waiting: standing.waiting as u64,
    })
}

fn wait(wait: &Wait) -> api::order_status::Wait {
    let mut types: Vec<&ResourceType> = wait.on.iter().map(|on| &on.resource_type).collect();
    types.sort_unstable();
    types.dedup();
    api::order_status::Wait {
        type_url: type_url(&wait.resource_type),
        on_type_urls: types.into_iter().map(type_url).collect(),
        name: wait.name.to_string(),
        on: wait.on.iter().map(awaited).collect(),
    }
}

fn awaited(on: &Awaited) -> api::order_status::Awaited {
    use api::order_status::awaited::Reason;

    api::order_status::Awaited {
        type_url: type_url(&on.resource_type),
        name: on.name.to_string(),
        reason: match on.reason {
            Awaiting::Unsent => Reason::Unsent.into(),
            Awaiting::Unanswered => Reason::Unanswered.into(),
            Awaiting::Refused => Reason::Refused.into(),
        },
    }
}

fn hold(hold: &Hold) -> api::order_status::Hold {
    let (kind, name) = hold
        .needed_by
        .as_ref()
        .map_or_else(Default::default, |(kind, name)| (type_url(kind), name.to_string()));
    let is_route = kind == ResourceType::Route.type_url();
    api::order_status::Hold {
        type_url: type_url(&hold.resource_type),
        name: hold.name.to_string(),
        needed_by_route: if is_route { name.clone() } else { String::new() },
        needed_by_type_url: kind,
        needed_by_name: name,
    }
}

fn type_url(kind: &ResourceType) -> String {
    kind.type_url().to_owned()
}

fn stream_status(stream: &fleet::StreamStatus) -> api::StreamStatus {
    use api::stream_status::Protocol;

    api::StreamStatus {
        id: stream.id,
        protocol: match stream.info.protocol {
            fleet::Protocol::Grpc(Variant::Sotw) => Protocol::Sotw.into(),
            fleet::Protocol::Grpc(Variant::Delta) => Protocol::Delta.into(),
            fleet::Protocol::Rest => Protocol::Rest.into(),
        },
        aggregated: stream.info.aggregated,
        peer: stream.info.peer.clone(),
        opened: timestamp(stream.opened),
        types: stream.types.iter().map(type_status).collect(),
        synced_revision: stream.synced.map_or(0, |revision| revision.0),
        order: order_status(&stream.standing),
        blocked_revision: stream.blocked.map_or(0, |revision| revision.0),
    }
}

fn type_status(row: &fleet::TypeStatus) -> api::TypeStatus {
    use api::type_status::State;

    api::TypeStatus {
        type_url: row.resource_type.type_url().to_owned(),
        state: match row.state() {
            fleet::TypeState::NotSent => State::NotSent.into(),
            fleet::TypeState::Stale => State::Stale.into(),
            fleet::TypeState::Synced => State::Synced.into(),
            fleet::TypeState::Unconfirmed => State::Unconfirmed.into(),
            fleet::TypeState::Error => State::Error.into(),
        },
        wildcard: row.wildcard,
        names: count(row.names),
        sample_names: row.sample.iter().map(ToString::to_string).collect(),
        sent: row.sent.as_ref().map(delivery),
        acked: row.acked.as_ref().map(delivery),
        nack: row.nack.as_ref().map(nack),
        unanswered: row.unanswered.as_ref().map(unanswered),
        missing: count(row.missing),
        missing_names: row.missing_sample.iter().map(ToString::to_string).collect(),
        large_response_bytes: row.large.map_or(0, |bytes| bytes as u64),
        sent_total: row.sent_total,
        nack_total: row.nack_total,
        refused: count(row.refused),
        refused_names: row.refused_sample.iter().map(ToString::to_string).collect(),
    }
}

fn delivery(delivery: &DeliveryStatus) -> api::Delivery {
    api::Delivery {
        version: delivery.version.to_string(),
        nonce: delivery.nonce.to_string(),
        time: timestamp(delivery.time),
        revision: delivery.revision.0,
    }
}

fn unanswered(late: &fleet::Unanswered) -> api::Unanswered {
    api::Unanswered {
        version: late.delivery.version.to_string(),
        nonce: late.delivery.nonce.to_string(),
        time: timestamp(late.delivery.time),
        age: prost_types::Duration::try_from(late.age).ok(),
        revision: late.delivery.revision.0,
    }
}

pub(super) fn nack(nack: &NackStatus) -> api::Nack {
    api::Nack {
        version: nack.delivery.version.to_string(),
        nonce: nack.delivery.nonce.to_string(),
        time: timestamp(nack.delivery.time),
        revision: nack.delivery.revision.0,
        code: nack.code,
        message: nack.message.clone(),
    }
}

#[allow(clippy::unnecessary_wraps)] // the field it fills is optional
pub(super) fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Some(time.into())
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
