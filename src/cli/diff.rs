//! `chancery diff`: the changes between two revisions, or between a revision and files. Exit 1 on a difference.

use std::{path::PathBuf, str::FromStr};

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::warn,
    group::Group,
    input,
    output::{Format, Output, proto_json},
    plan,
};
use crate::proto::admin::{Candidate, DiffSnapshotRequest, diff_snapshot_request::To};

#[derive(Args, Debug)]
pub(super) struct Diff {
    #[command(flatten)]
    group: Group,
    /// Two revisions; by default one is the current one
    #[arg(long, value_name = "A..B", conflicts_with_all = ["from", "to"])]
    revision: Option<Range>,
    /// The revision to compare from; by default the current one
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "REVISION")]
    from: u64,
    /// The revision to compare to
    #[arg(long, value_name = "REVISION", conflicts_with = "files")]
    to: Option<u64>,
    /// The files to compare to, as `replace` would publish them
    #[arg(
        short,
        long = "file",
        value_name = "FILE|DIR|-",
        required_unless_present_any = ["to", "revision"]
    )]
    files: Vec<PathBuf>,
}

/// `A..B`, `A..` or `..B`, or `A` for `A..`; 0 for the current revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u64,
    to: u64,
}

impl Diff {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let (from, to) = match self.revision {
            Some(Range { from, to }) => (from, Some(to)),
            None => (self.from, self.to),
        };
        let to = match to {
            Some(to) if self.files.is_empty() => To::ToRevision(to),
            Some(0) | None => To::ToCandidate(Candidate {
                documents: input::read(&self.files)?,
                resources: Vec::new(),
            }),
            Some(to) => {
                let message = format!("revision {to} and files cannot both be compared to: write {from}..");
                return Err(Failure::usage(message));
            }
        };
        let group = self.group.group;
        let request = DiffSnapshotRequest {
            group: group.clone(),
            from_revision: from,
            to: Some(to),
        };
        let diff = clients.snapshots().await?.diff_snapshot(request).await?.into_inner();
        warn(&diff.findings)?;
        match output.format {
            Format::Table if diff.changes.is_empty() => {}
            Format::Table => {
                let delivery = diff.plan.as_ref().map(|plan| plan::delivery(plan, &group));
                output.text(&plan::changes(&diff.changes, diff.plan.as_ref()))?;
                output.text(&delivery.unwrap_or_default())?;
            }
            Format::Json | Format::Yaml => output.value(&proto_json(&diff, "DiffSnapshotResponse"))?,
        }
        Ok(if diff.changes.is_empty() {
            Exit::Ok
        } else {
            Exit::Difference
        })
    }
}

// === impl Range ===

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once("..").unwrap_or((text, ""));
        let revision = |text: &str| match text.parse::<u64>() {
            Ok(revision) if revision > 0 => Ok(revision),
            Ok(_) | Err(_) => Err(format!("\"{text}\" is no revision: write it as in 3..5, 3.. or ..5")),
        };
        match (from, to) {
            ("", "") => Err("no revision is given: write it as in 3..5, 3.. or ..5".to_owned()),
            (from, "") => Ok(Self {
                from: revision(from)?,
                to: 0,
            }),
            ("", to) => Ok(Self {
                from: 0,
                to: revision(to)?,
            }),
            (from, to) => Ok(Self {
                from: revision(from)?,
                to: revision(to)?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_leave_out_the_current_revision() {
        let range = |from, to| Ok(Range { from, to });
        for (text, expected) in [
            ("3..5", range(3, 5)),
            ("3..", range(3, 0)),
            ("..5", range(0, 5)),
            ("3", range(3, 0)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "..", "0..1", "1..0", "a..b", "1...2", "-1..2"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
