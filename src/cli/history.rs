//! `chancery history`: a group's kept revisions, newest first, with their outcome on the nodes; or one revision, node by node.

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    group::Group,
    output::{Format, Output, Table, proto_json, time},
};
use crate::proto::admin::{
    GetRevisionRequest, ListRevisionsRequest, NodeOutcome, RevisionOutcomes, SnapshotSummary, TypeSummary,
    node_outcome::State,
};

#[derive(Args, Debug)]
pub(super) struct History {
    #[command(flatten)]
    group: Group,
    /// The largest number of revisions; 0 for all that are kept
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    limit: u32,
    /// Only this revision: its types, and its outcome on each node, in the node's own words
    #[arg(long, value_name = "REVISION", conflicts_with = "limit")]
    revision: Option<u64>,
}

impl History {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let group = self.group.group;
        let mut client = clients.snapshots().await?;
        if let Some(revision) = self.revision {
            let found = client.get_revision(GetRevisionRequest { group, revision }).await?;
            let found = found.into_inner();
            match output.format {
                Format::Table => output.text(&detail(&found))?,
                Format::Json | Format::Yaml => output.value(&proto_json(&found, "SnapshotSummary"))?,
            }
            return Ok(Exit::Ok);
        }
        let request = ListRevisionsRequest {
            group,
            limit: self.limit,
        };
        let listed = client.list_revisions(request).await?.into_inner();
        match output.format {
            Format::Table => output.text(&table(&listed.revisions))?,
            Format::Json | Format::Yaml => output.value(&proto_json(&listed, "ListRevisionsResponse"))?,
        }
        Ok(Exit::Ok)
    }
}

fn table(revisions: &[SnapshotSummary]) -> String {
    let mut table = Table::new([
        "REVISION",
        "TIME",
        "AUTHOR",
        "MESSAGE",
        "CONTENT",
        "ACKED",
        "NACKED",
        "PENDING",
        "ORIGIN",
        "RESOURCES",
    ]);
    for revision in revisions {
        let outcomes = |count: fn(&RevisionOutcomes) -> u32| {
            let outcomes = revision.outcomes.as_ref();
            outcomes.map_or_else(String::new, |outcomes| count(outcomes).to_string())
        };
        table.row(&[
            revision.revision.to_string(),
            time(revision.time.as_ref()),
            revision.author.clone(),
            revision.message.clone(),
            revision.content_hash.clone(),
            outcomes(|outcomes| outcomes.acked),
            outcomes(|outcomes| outcomes.nacked),
            outcomes(|outcomes| outcomes.pending),
            revision.origin.clone(),
            resources(revision),
        ]);
    }
    table.render()
}

/// The revision, its types, and its nodes.
fn detail(revision: &SnapshotSummary) -> String {
    let mut heading = Table::new([
        "REVISION",
        "TIME",
        "AUTHOR",
        "MESSAGE",
        "CONTENT",
        "ORIGIN",
        "RESOURCES",
    ]);
    heading.row(&[
        revision.revision.to_string(),
        time(revision.time.as_ref()),
        revision.author.clone(),
        revision.message.clone(),
        revision.content_hash.clone(),
        revision.origin.clone(),
        resources(revision),
    ]);
    let mut types = Table::new(["TYPE", "RESOURCES", "VERSION", "CONTENT"]);
    for row in &revision.types {
        types.row(&[
            short_type(&row.type_url),
            row.resources.to_string(),
            row.version.clone(),
            row.content_hash.clone(),
        ]);
    }
    let mut text = format!("{}\n{}", heading.render(), types.render());
    let nodes = revision.outcomes.as_ref().map(|outcomes| outcomes.nodes.as_slice());
    if let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) {
        text = format!("{text}\n{}", node_table(nodes));
    }
    text
}

/// A row for each node; below a node with a NACK, its message.
fn node_table(nodes: &[NodeOutcome]) -> String {
    let mut table = Table::new(["NODE", "OUTCOME", "CONNECTED", "TIME"]);
    for node in nodes {
        let state = match node.state() {
            State::Acked => "ACKED",
            State::Nacked => "NACKED",
            State::Pending => "PENDING",
            State::Unspecified => "",
        };
        table.row(&[
            node.node.clone(),
            state.to_owned(),
            if node.connected { "yes" } else { "no" }.to_owned(),
            time(node.time.as_ref()),
        ]);
        for refused in &node.nacks {
            let nack = refused.nack.clone().unwrap_or_default();
            let kind = short_type(&refused.type_url);
            table.note(&format!("NACK of {kind} version {}: {}", nack.version, nack.message));
        }
    }
    table.render()
}

fn resources(revision: &SnapshotSummary) -> String {
    if revision.deleted {
        return "deleted".to_owned();
    }
    counts(revision)
}

/// `2 cluster, 1 listener`.
pub(super) fn counts(summary: &SnapshotSummary) -> String {
    let one = |row: &TypeSummary| format!("{} {}", row.resources, short_type(&row.type_url));
    summary.types.iter().map(one).collect::<Vec<_>>().join(", ")
}
