//! `chancery render`: a group's snapshot as the files that Envoy's `path_config_source` reads, for nodes without a stream.
//!
//! Envoy needs only its own file watch: every file is written under another name and renamed, in an order that makes
//! before it breaks.

mod inline;
mod layout;
mod served;
mod sources;
mod write;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tonic::Code;

use self::{layout::Layout, write::Written};
use super::{
    connect::Clients,
    exit::{Exit, Failure},
    output::{Output, count, note},
    private,
};
use crate::{
    node::NodeGroup,
    proto::admin::{
        GetNodeRequest, GetSnapshotRequest, Snapshot, WatchSnapshotsRequest, watch_snapshots_response::Event,
    },
    settings::Span,
};

/// Time before `--watch` connects again.
const RECONNECT: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("whose").required(true)))]
pub(super) struct Render {
    /// The group whose snapshot is rendered
    #[arg(short, long, value_name = "GROUP", group = "whose")]
    group: Option<String>,
    /// The node whose group is rendered; it must have connected once
    #[arg(long, value_name = "NODE", group = "whose")]
    node: Option<String>,
    /// The directory to render to; it is created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Render again after every publish, until interrupted
    #[arg(long)]
    watch: bool,
    /// Time that Envoys get to load new files before old ones are removed
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    pause: Span,
    /// Permissions of the files in octal: any file may hold keys and passwords, so by default only the owner may read them;
    /// use 640 for an Envoy of another user
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = private::parse_mode)]
    mode: u32,
}

// === impl Render ===

impl Render {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let group = match (&self.group, &self.node) {
            (Some(group), _) => group.clone(),
            (None, Some(id)) => group_of(clients, id).await?,
            (None, None) => return Err(Failure::usage("--group or --node must be given")),
        };
        let out = prepare(&self.out)?;
        if !self.watch {
            let written = self.render(clients, &group, &out).await?;
            output.text(&said(&group, &out, &written))?;
            return Ok(Exit::Ok);
        }
        loop {
            // The server may be down, or the snapshot may not be expressible as files: the rendered files stay.
            let ended = self.follow(clients, &group, &out, output).await;
            if let Err(failure) = ended {
                note(failure.to_string().trim_end());
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Renders after every publish, until the watch ends.
    async fn follow(&self, clients: &Clients, group: &str, out: &Path, output: &mut Output) -> Result<(), Failure> {
        let request = WatchSnapshotsRequest { group: String::new() };
        let mut events = clients.snapshots().await?.watch_snapshots(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            let concerns = match &event.event {
                Some(Event::Published(summary)) => summary.group == group || summary.group == NodeGroup::SHARED,
                // The nodes of a deleted group keep what they have.
                Some(Event::DeletedGroup(_)) | None => false,
            };
            if !concerns {
                continue;
            }
            match self.render(clients, group, out).await {
                Ok(written) if written.files == 0 => {}
                Ok(written) => output.text(&said(group, out, &written))?,
                Err(failure) if failure.exit == Exit::Unavailable => return Err(failure),
                Err(failure) => note(failure.to_string().trim_end()),
            }
        }
        Ok(())
    }

    async fn render(&self, clients: &Clients, group: &str, out: &Path) -> Result<Written, Failure> {
        let own = snapshot(clients, group).await?;
        let own = own.ok_or_else(|| Failure::new(Exit::NotFound, format!("group {group} was never published")))?;
        let shared = snapshot(clients, NodeGroup::SHARED).await?.unwrap_or_default();
        let layout = Layout::of(&own, &shared, out).map_err(|reasons| Failure::refused(reasons.join("\n")))?;
        write::bring_up_to_date(out, &layout, self.mode, self.pause.0).await
    }
}

async fn group_of(clients: &Clients, id: &str) -> Result<String, Failure> {
    let node = clients
        .nodes()
        .await?
        .get_node(GetNodeRequest { id: id.to_owned() })
        .await?;
    Ok(node.into_inner().group)
}

/// A group's own resources; `None` if it was never published.
pub(super) async fn snapshot(clients: &Clients, group: &str) -> Result<Option<Snapshot>, Failure> {
    let request = GetSnapshotRequest {
        group: group.to_owned(),
        include_secrets: true,
        ..GetSnapshotRequest::default()
    };
    match clients.snapshots().await?.get_snapshot(request).await {
        Ok(snapshot) => Ok(Some(snapshot.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Creates the directory; returns its path for Envoys.
fn prepare(out: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(out)
        .and_then(|()| out.canonicalize())
        .map_err(|error| Failure::usage(format!("{}: {error}", out.display())))
}

fn said(group: &str, out: &Path, written: &Written) -> String {
    let files = count(written.files, "file");
    format!(
        "{group}: rendered to {}: {files} written, {} removed\n",
        out.display(),
        written.removed
    )
}
