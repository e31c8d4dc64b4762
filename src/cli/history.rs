//! `chancery history`: a group's kept revisions, newest first.

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    output::{Format, Output, Table, proto_json, time},
    publish::Group,
};
use crate::proto::admin::{ListRevisionsRequest, SnapshotSummary};

#[derive(Args, Debug)]
pub(super) struct History {
    #[command(flatten)]
    group: Group,
    /// At most this many; 0 for all that are kept
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    limit: u32,
}

impl History {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let request = ListRevisionsRequest {
            group: self.group.group,
            limit: self.limit,
        };
        let listed = clients.snapshots().await?.list_revisions(request).await?.into_inner();
        match output.format {
            Format::Table => {
                let mut table = Table::new(["REVISION", "TIME", "AUTHOR", "MESSAGE", "RESOURCES"]);
                for revision in &listed.revisions {
                    table.row(&[
                        revision.revision.to_string(),
                        time(revision.time.as_ref()),
                        revision.author.clone(),
                        revision.message.clone(),
                        if revision.deleted {
                            "deleted".to_owned()
                        } else {
                            counts(revision)
                        },
                    ]);
                }
                output.text(&table.render())?;
            }
            Format::Json | Format::Yaml => output.value(&proto_json(&listed, "ListRevisionsResponse"))?,
        }
        Ok(Exit::Ok)
    }
}

/// `2 cluster, 1 listener`.
pub(super) fn counts(summary: &SnapshotSummary) -> String {
    let one = |row: &crate::proto::admin::TypeSummary| format!("{} {}", row.resources, short_type(&row.type_url));
    summary.types.iter().map(one).collect::<Vec<_>>().join(", ")
}
