//! `SnapshotService`: publishes snapshots, and shows published ones.

use std::{collections::BTreeMap, str::FromStr as _, sync::Arc};

use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{
    access::Caller,
    convert, outcomes,
    page::Page,
    plan,
    shared::{Shared, WATCH_BUFFER},
    status,
};
use crate::{
    access::Role,
    admission::Candidate,
    node::NodeGroup,
    proto::admin as api,
    proto::admin::{snapshot_service_server::SnapshotService, watch_snapshots_response::Event},
    publisher::{
        DiffTarget, PatchRequest, PublishError, PublishOptions, Published, Publisher, ReplaceRequest, SnapshotEvent,
    },
    resource::{Resource, ResourceName, ResourceType},
    revision::RevisionInfo,
    snapshot::{Revision, Snapshot},
};

pub(super) struct Snapshots {
    shared: Arc<Shared>,
}

/// The sender of a watch, with the last revision reported of each group.
struct Feed {
    shared: Arc<Shared>,
    group: Option<NodeGroup>,
    reported: BTreeMap<NodeGroup, Revision>,
    events: mpsc::Sender<Result<api::WatchSnapshotsResponse, Status>>,
}

/// The reader of a watch is gone.
struct Gone;

// === impl Snapshots ===

impl Snapshots {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs a call of the publisher on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Publisher) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let publisher = Arc::clone(&self.shared.publisher);
        let task = self.shared.process.tracker.spawn_blocking(move || call(&publisher));
        task.await.map_err(|broken| self.shared.process.broken(&broken))?
    }

    /// Runs a publish; logs and audits it once.
    async fn publish(
        &self,
        caller: Caller,
        group: String,
        given_author: String,
        call: impl FnOnce(&Publisher) -> Result<Published, PublishError> + Send + 'static,
    ) -> Result<Response<api::PublishResponse>, Status> {
        let shared = Arc::clone(&self.shared);
        let author = caller.author(&given_author);
        let (auditor, name) = (caller, group.clone());
        let outcome = self
            .blocking(move |publisher| {
                let published = call(publisher).inspect(|published| log(published, &author));
                // Audited on the blocking thread, so that the audit log has the publish even if the caller hangs up.
                match &published {
                    Ok(published) => {
                        let audit_reason = audit_reason(published);
                        auditor.audit_given(&name, Some(published.revision.0), audit_reason, &given_author);
                    }
                    Err(failure) => auditor.audit_given(&name, None, &format!("refused: {failure}"), &given_author),
                }
                Ok(published.map(|published| api::PublishResponse {
                    plan: published.outlook.as_ref().map(|outlook| plan::plan(&shared, outlook)),
                    ..convert::published(&published)
                }))
            })
            .await?;
        match outcome {
            Ok(published) => Ok(Response::new(published)),
            Err(failure) => {
                let status = status::of_publish(&failure);
                info!(group = ?group, code = ?status.code(), reason = ?status.message(), "publish refused");
                Err(status)
            }
        }
    }
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    type WatchSnapshotsStream = ReceiverStream<Result<api::WatchSnapshotsResponse, Status>>;

    async fn replace_snapshot(
        &self,
        request: Request<api::ReplaceSnapshotRequest>,
    ) -> Result<Response<api::PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        caller.check(Role::Publish, &request.get_ref().group)?;
        let api::ReplaceSnapshotRequest {
            group,
            documents,
            resources,
            options,
        } = request.into_inner();
        let (options, given) = options_of(options, &caller);
        let request = ReplaceRequest {
            group: NodeGroup::from(group.as_str()),
            candidate: candidate(documents, resources)?,
            options,
        };
        self.publish(caller, group, given, move |publisher| publisher.replace(request))
            .await
    }

    async fn patch_snapshot(
        &self,
        request: Request<api::PatchSnapshotRequest>,
    ) -> Result<Response<api::PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        caller.check(Role::Publish, &request.get_ref().group)?;
        let api::PatchSnapshotRequest {
            group,
            documents,
            resources,
            delete,
            options,
        } = request.into_inner();
        let key = |key: api::ResourceKey| Ok::<_, Status>((resource_type(&key.r#type)?, ResourceName::from(key.name)));
        let (options, given) = options_of(options, &caller);
        let request = PatchRequest {
            group: NodeGroup::from(group.as_str()),
            candidate: candidate(documents, resources)?,
            deletions: delete.into_iter().map(key).collect::<Result<_, _>>()?,
            options,
        };
        self.publish(caller, group, given, move |publisher| publisher.patch(request))
            .await
    }

    async fn rollback_snapshot(
        &self,
        request: Request<api::RollbackSnapshotRequest>,
    ) -> Result<Response<api::PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        caller.check(Role::Publish, &request.get_ref().group)?;
        let api::RollbackSnapshotRequest {
            group,
            to_revision,
            options,
        } = request.into_inner();
        let (options, given) = options_of(options, &caller);
        let name = NodeGroup::from(group.as_str());
        self.publish(caller, group, given, move |publisher| {
            publisher.rollback(&name, Revision(to_revision), &options)
        })
        .await
    }

    async fn delete_snapshot(
        &self,
        request: Request<api::DeleteSnapshotRequest>,
    ) -> Result<Response<api::DeleteSnapshotResponse>, Status> {
        let caller = Caller::of(&request)?;
        caller.check(Role::Publish, &request.get_ref().group)?;
        let api::DeleteSnapshotRequest {
            group,
            expected_revision,
        } = request.into_inner();
        let revision = self
            .blocking(move |publisher| {
                let deleted = publisher.delete(&NodeGroup::from(group.as_str()), expected_revision);
                let revision = deleted.map_err(|failure| {
                    caller.audit(&group, None, &format!("refused: {failure}"));
                    status::of_publish(&failure)
                })?;
                caller.audit(&group, Some(revision.0), "deleted");
                info!(group = ?group, %revision, "snapshot deleted");
                Ok(revision)
            })
            .await?;
        Ok(Response::new(api::DeleteSnapshotResponse { revision: revision.0 }))
    }

    async fn get_snapshot(&self, request: Request<api::GetSnapshotRequest>) -> Result<Response<api::Snapshot>, Status> {
        let caller = Caller::of(&request)?;
        if request.get_ref().include_secrets {
            caller.check(Role::ReadSecrets, &request.get_ref().group)?;
            caller.audit(&request.get_ref().group, None, "with secrets");
        }
        let request = request.into_inner();
        let types: Vec<ResourceType> = request
            .types
            .iter()
            .map(|name| resource_type(name))
            .collect::<Result<_, _>>()?;
        let snapshot = self
            .blocking(move |publisher| {
                let group = NodeGroup::from(request.group.as_str());
                let found = publisher.get(&group, convert::revision(request.revision));
                let (info, snapshot) = found.map_err(|failure| status::of_publish(&failure))?;
                selected(&info, &snapshot, &types, &request)
            })
            .await?;
        Ok(Response::new(snapshot))
    }

    async fn list_snapshots(
        &self,
        request: Request<api::ListSnapshotsRequest>,
    ) -> Result<Response<api::ListSnapshotsResponse>, Status> {
        let api::ListSnapshotsRequest { page_size, page_token } = request.into_inner();
        let page = Page::of(page_size, &page_token)?;
        let publisher = Arc::clone(&self.shared.publisher);
        let listed = self.shared.survey(move || {
            let (listed, more) = publisher.page(page.after.as_deref(), page.size);
            let last = listed.last().map(|info| info.group.as_str());
            api::ListSnapshotsResponse {
                next_page_token: Page::next(last, more),
                snapshots: listed.iter().map(convert::summary).collect(),
            }
        });
        listed.await.map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<api::ListRevisionsRequest>,
    ) -> Result<Response<api::ListRevisionsResponse>, Status> {
        let api::ListRevisionsRequest { group, limit } = request.into_inner();
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let shared = Arc::clone(&self.shared);
        let revisions = self
            .blocking(move |_| {
                let listed = outcomes::list(&shared, &NodeGroup::from(group.as_str()), limit);
                listed.map_err(|failure| status::of_publish(&failure))
            })
            .await?;
        Ok(Response::new(api::ListRevisionsResponse { revisions }))
    }

    async fn get_revision(
        &self,
        request: Request<api::GetRevisionRequest>,
    ) -> Result<Response<api::SnapshotSummary>, Status> {
        let api::GetRevisionRequest { group, revision } = request.into_inner();
        let shared = Arc::clone(&self.shared);
        let found = self
            .blocking(move |_| {
                let found = outcomes::get(&shared, &NodeGroup::from(group.as_str()), Revision(revision));
                found.map_err(|failure| status::of_publish(&failure))
            })
            .await?;
        Ok(Response::new(found))
    }

    async fn diff_snapshot(
        &self,
        request: Request<api::DiffSnapshotRequest>,
    ) -> Result<Response<api::DiffSnapshotResponse>, Status> {
        use api::diff_snapshot_request::To;

        let api::DiffSnapshotRequest {
            group,
            from_revision,
            to,
        } = request.into_inner();
        let target = match to {
            Some(To::ToRevision(revision)) => DiffTarget::Revision(convert::revision(revision)),
            Some(To::ToCandidate(given)) => DiffTarget::Candidate(candidate(given.documents, given.resources)?),
            None => return Err(Status::invalid_argument("to_revision or to_candidate must be given")),
        };
        let shared = Arc::clone(&self.shared);
        let response = self
            .blocking(move |publisher| {
                let group = NodeGroup::from(group.as_str());
                let compared = publisher.diff(&group, convert::revision(from_revision), &target);
                let comparison = compared.map_err(|failure| status::of_publish(&failure))?;
                Ok(api::DiffSnapshotResponse {
                    changes: comparison.changes.iter().map(convert::type_change).collect(),
                    findings: comparison.findings.iter().map(convert::finding).collect(),
                    plan: Some(plan::plan(&shared, &comparison.outlook)),
                })
            })
            .await?;
        Ok(Response::new(response))
    }

    async fn watch_snapshots(
        &self,
        request: Request<api::WatchSnapshotsRequest>,
    ) -> Result<Response<Self::WatchSnapshotsStream>, Status> {
        let group = request.into_inner().group;
        let (events, stream) = mpsc::channel(WATCH_BUFFER);
        let feed = Feed {
            shared: Arc::clone(&self.shared),
            group: (!group.is_empty()).then(|| NodeGroup::from(group.as_str())),
            reported: BTreeMap::new(),
            events: events.clone(),
        };
        self.shared.process.feed(events, async move {
            let Gone = feed.run().await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

// === impl Feed ===

impl Feed {
    /// Reports all current snapshots, then every change, until the reader is gone.
    async fn run(mut self) -> Gone {
        loop {
            // Subscribed before the list is read: a change in between comes twice, and is reported once.
            let changes = self.shared.publisher.subscribe();
            if let Err(gone) = self.report_all().await {
                return gone;
            }
            if let Err(gone) = self.follow(changes).await {
                return gone;
            }
        }
    }

    /// Reports changes; returns once it has missed some.
    async fn follow(&mut self, mut changes: broadcast::Receiver<SnapshotEvent>) -> Result<(), Gone> {
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = self.events.closed() => return Err(Gone),
            };
            match change {
                Ok(SnapshotEvent::Published(info)) => self.report(&info).await?,
                Ok(SnapshotEvent::Deleted { group, revision }) => {
                    if self.reported.get(&group).is_some_and(|last| *last < revision) {
                        self.report_deleted(group).await?;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
                Err(broadcast::error::RecvError::Closed) => return Err(Gone),
            }
        }
    }

    async fn report_all(&mut self) -> Result<(), Gone> {
        let all = self.shared.publisher.list();
        let gone: Vec<NodeGroup> = self
            .reported
            .keys()
            .filter(|group| all.iter().all(|info| info.group != **group))
            .cloned()
            .collect();
        for group in gone {
            self.report_deleted(group).await?;
        }
        for info in &all {
            self.report(info).await?;
        }
        Ok(())
    }

    async fn report(&mut self, info: &RevisionInfo) -> Result<(), Gone> {
        let wanted = self.group.as_ref().is_none_or(|group| *group == info.group);
        let known = self
            .reported
            .get(&info.group)
            .is_some_and(|last| *last >= info.revision);
        if !wanted || known {
            return Ok(());
        }
        self.reported.insert(info.group.clone(), info.revision);
        self.send(Event::Published(convert::summary(info))).await
    }

    async fn report_deleted(&mut self, group: NodeGroup) -> Result<(), Gone> {
        self.reported.remove(&group);
        self.send(Event::DeletedGroup(group.to_string())).await
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        let event = api::WatchSnapshotsResponse { event: Some(event) };
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }
}

/// The options of a publish with the verified author, and the author that the caller gave.
fn options_of(options: Option<api::PublishOptions>, caller: &Caller) -> (PublishOptions, String) {
    let options: PublishOptions = options.unwrap_or_default().into();
    let given = options.author;
    let author = caller.author(&given);
    (PublishOptions { author, ..options }, given)
}

/// The outcome of a publish, for the audit log.
const fn audit_reason(published: &Published) -> &'static str {
    match (published.dry_run, published.repeated, published.changed) {
        (true, _, _) => "tried only",
        (false, true, _) => "done before",
        (false, false, true) => "published",
        (false, false, false) => "nothing changed",
    }
}

/// Logs a publish that made a revision.
fn log(published: &Published, author: &str) {
    if !published.changed || published.dry_run || published.repeated {
        return;
    }
    let (mut added, mut changed, mut removed) = (0, 0, 0);
    for change in &published.changes {
        added += change.added.len();
        changed += change.changed.len();
        removed += change.removed.len();
    }
    info!(group = ?published.group, revision = %published.revision, ?author, added, changed, removed, "published");
}

/// The requested resources of a snapshot.
fn selected(
    info: &RevisionInfo,
    snapshot: &Snapshot,
    types: &[ResourceType],
    request: &api::GetSnapshotRequest,
) -> Result<api::Snapshot, Status> {
    let named =
        |resource: &Resource| request.names.is_empty() || request.names.iter().any(|name| resource.answers_to(name));
    let resources = snapshot
        .types()
        .filter(|(known, _)| types.is_empty() || types.contains(known))
        .flat_map(|(_, resources)| resources.iter())
        .filter(|resource| named(resource))
        .map(|resource| convert::resource(resource, request.include_secrets));
    Ok(api::Snapshot {
        summary: Some(convert::summary(info)),
        resources: resources
            .collect::<Result<_, _>>()
            .map_err(|error| Status::data_loss(format!("a stored resource does not decode: {error}")))?,
    })
}

fn resource_type(name: &str) -> Result<ResourceType, Status> {
    ResourceType::from_str(name).map_err(|failure| status::of_type(&failure))
}

fn candidate(documents: Vec<api::Document>, resources: Vec<api::Resource>) -> Result<Candidate, Status> {
    convert::candidate(documents, resources)
        .map_err(|index| Status::invalid_argument(format!("resources[{index}]: it has no content, or an invalid TTL")))
}
