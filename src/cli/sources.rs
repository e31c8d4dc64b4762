//! The folders that `serve --files` publishes, for `chancery status`.

use serde_json::Value;
use tonic::Code;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings,
    output::{Format, Output, Table, proto_json, time},
};
use crate::proto::admin::{ListSourcesRequest, SourceStatus, source_status::State};

/// Findings shown of one folder; the rest is counted.
const SHOWN: usize = 10;

/// Prints every folder.
pub(super) async fn run(clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
    let sources = list(clients).await?;
    match output.format {
        Format::Table => output.text(&table(&sources))?,
        Format::Json | Format::Yaml => {
            let all = sources.iter().map(|source| proto_json(source, "SourceStatus"));
            output.value(&Value::Array(all.collect()))?;
        }
    }
    Ok(Exit::Ok)
}

/// A table of the folders whose state is not `published`; empty without any.
pub(super) async fn troubled(clients: &Clients) -> Result<String, Failure> {
    let mut sources = list(clients).await?;
    sources.retain(|source| source.state() != State::Published);
    if sources.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("\n{}", table(&sources)))
}

async fn list(clients: &Clients) -> Result<Vec<SourceStatus>, Failure> {
    match clients.sources().await?.list_sources(ListSourcesRequest {}).await {
        Ok(listed) => Ok(listed.into_inner().sources),
        // An older server has no sources.
        Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
        Err(status) => Err(status.into()),
    }
}

fn table(sources: &[SourceStatus]) -> String {
    let mut table = Table::new(["FILES", "GROUP", "STATE", "REVISION", "SINCE"]);
    for source in sources {
        let revision = Some(source.revision).filter(|revision| *revision > 0);
        table.row(&[
            source.path.clone(),
            source.group.clone(),
            state(source).to_owned(),
            revision.map_or_else(String::new, |revision| revision.to_string()),
            time(source.since.as_ref()),
        ]);
        if !source.message.is_empty() {
            table.note(&source.message);
        }
        for finding in source.findings.iter().take(SHOWN) {
            table.note(&findings::line(finding));
        }
        if source.findings.len() > SHOWN {
            table.note(&format!("{} more findings", source.findings.len() - SHOWN));
        }
    }
    table.render()
}

fn state(source: &SourceStatus) -> &'static str {
    match source.state() {
        State::Unspecified => "UNKNOWN",
        State::Published => "PUBLISHED",
        State::Refused => "REFUSED",
        State::Failed => "FAILED",
        State::Held => "HELD",
        State::Conflict => "CONFLICT",
    }
}
