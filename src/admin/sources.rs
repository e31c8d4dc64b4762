//! `SourceService`: the state of each folder of the file source.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{convert, shared::Shared};
use crate::{
    proto::admin as api,
    proto::admin::source_service_server::SourceService,
    source::{FolderState, FolderStatus},
};

/// The number of findings shown per folder, enough for a person.
const FINDINGS: usize = 100;

pub(super) struct Sources {
    shared: Arc<Shared>,
}

// === impl Sources ===

impl Sources {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl SourceService for Sources {
    async fn list_sources(
        &self,
        _: Request<api::ListSourcesRequest>,
    ) -> Result<Response<api::ListSourcesResponse>, Status> {
        let statuses = self.shared.files.as_ref().map(|files| files.statuses());
        let sources = statuses.iter().flat_map(|all| all.iter()).map(source_status).collect();
        Ok(Response::new(api::ListSourcesResponse { sources }))
    }
}

fn source_status(status: &FolderStatus) -> api::SourceStatus {
    use api::source_status::State;

    let state = match status.state {
        FolderState::Published => State::Published,
        FolderState::Refused => State::Refused,
        FolderState::Failed => State::Failed,
        FolderState::Held => State::Held,
        FolderState::Conflict => State::Conflict,
    };
    api::SourceStatus {
        group: status.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        path: status.path.display().to_string(),
        state: state.into(),
        revision: status.revision.map_or(0, |revision| revision.0),
        since: convert::timestamp(status.since),
        message: status.message.clone(),
        findings: status.findings.iter().take(FINDINGS).map(convert::finding).collect(),
    }
}
