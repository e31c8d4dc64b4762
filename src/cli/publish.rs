//! The common part of all publishing commands: flags, output, and `--wait`.

use std::time::Duration;

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::warn,
    output::{Format, Output, proto_json},
    plan, wait,
};
use crate::{
    admission::codes,
    proto::admin::{Finding, PublishOptions, PublishResponse, TypeChange},
    settings::Span,
};

/// Options of a publish.
#[derive(Args, Debug)]
pub(super) struct Publish {
    /// Check everything and show the changes, their receivers and their order; publish nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Accept warnings even if the server is set to refuse them
    #[arg(long)]
    allow_warnings: bool,
    /// Refuse warnings
    #[arg(long, conflicts_with = "allow_warnings")]
    deny_warnings: bool,
    /// Confirm that a type may become empty, and that a large share of the group may be removed at once
    #[arg(long)]
    allow_removals: bool,
    /// Refuse unless the group is at this revision (0: not published yet)
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<u64>,
    /// A key for this publish within its group: repeated with the same key and content, it is done once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The reason, for the history
    #[arg(short, long, default_value = "")]
    message: String,
    /// The author, for the history
    #[arg(long, env = "CHANCERY_AUTHOR", value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Options of waiting for the nodes.
#[derive(Args, Debug)]
pub(super) struct Wait {
    /// Wait until every connected node of the group ACKed; exit 1 when one refuses
    #[arg(long)]
    wait: bool,
    /// Time limit of the wait
    #[arg(long, default_value = "60s", value_name = "DURATION", requires = "wait")]
    timeout: Span,
}

// === impl Publish ===

impl Publish {
    pub(super) fn options(&self) -> PublishOptions {
        PublishOptions {
            dry_run: self.dry_run,
            expected_revision: self.expected_revision,
            version_info: String::new(),
            message: self.message.clone(),
            author: self
                .author
                .clone()
                .or_else(|| std::env::var("USER").ok())
                .unwrap_or_default(),
            allow_warnings: self.allow_warnings,
            allow_removals: self.allow_removals,
            deny_warnings: self.deny_warnings,
            idempotency_key: self.idempotency_key.clone().unwrap_or_default(),
        }
    }

    /// Prints the result of a publish, and waits for the nodes if requested.
    pub(super) async fn finish(
        &self,
        published: &PublishResponse,
        clients: &Clients,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        warn(&published.findings)?;
        match output.format {
            Format::Table => output.text(&summary(published))?,
            Format::Json | Format::Yaml => output.value(&proto_json(published, "PublishResponse"))?,
        }
        if unconfirmed(published).next().is_some() {
            let message = "this would be refused: confirm what it removes with --allow-removals";
            return Err(Failure::refused(message));
        }
        self.wait.run(&published.group, published.revision, clients).await
    }
}

// === impl Wait ===

impl Wait {
    /// Waits if requested.
    async fn run(&self, group: &str, revision: u64, clients: &Clients) -> Result<Exit, Failure> {
        if !self.wait {
            return Ok(Exit::Ok);
        }
        let timeout: Duration = self.timeout.0;
        wait::for_nodes(clients, group, revision, timeout).await
    }
}

/// Removals that need a confirmation: in a dry run only.
pub(super) fn unconfirmed(published: &PublishResponse) -> impl Iterator<Item = &Finding> {
    let asked = |finding: &&Finding| [codes::EMPTIES_TYPE, codes::REMOVES_MANY].contains(&finding.code.as_str());
    published.findings.iter().filter(asked)
}

/// A line for the publish, and one for each change.
fn summary(published: &PublishResponse) -> String {
    let PublishResponse { group, revision, .. } = published;
    let count = |list: fn(&TypeChange) -> &Vec<String>| {
        published.changes.iter().map(|change| list(change).len()).sum::<usize>()
    };
    let counts = format!(
        "{} added, {} changed, {} removed",
        count(|change| &change.added),
        count(|change| &change.changed),
        count(|change| &change.removed)
    );
    if published.repeated {
        let came_to = if published.changed {
            "published"
        } else {
            "nothing changed at"
        };
        let head = format!("{group}: done before under this key: {came_to} revision {revision}: {counts}\n");
        return format!("{head}{}", plan::changes(&published.changes, published.plan.as_ref()));
    }
    let head = match (published.changed, published.dry_run) {
        (false, false) => format!("{group}: nothing changed, still revision {revision}\n"),
        (false, true) => format!("{group}: nothing would change from revision {revision} (dry run)\n"),
        (true, true) => format!("{group}: would publish over revision {revision}: {counts} (dry run)\n"),
        (true, false) => format!("{group}: published revision {revision}: {counts}\n"),
    };
    let plan = published.plan.as_ref();
    let delivery = plan
        .filter(|_| published.changed)
        .map(|plan| plan::delivery(plan, group));
    format!(
        "{head}{}{}",
        plan::changes(&published.changes, plan),
        delivery.unwrap_or_default()
    )
}
