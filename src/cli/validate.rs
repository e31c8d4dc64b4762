//! `chancery validate`: what a publish of these files would be told, without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    envoy::AskEnvoy,
    exit::{Exit, Failure},
    findings, input,
    output::{Format, Output, count, note, proto_json},
};
use crate::{
    admin,
    admission::{self, Candidate, Document, Limits, Severity},
    proto::admin as api,
    settings::RulesMode,
};

#[derive(Args, Debug)]
pub(super) struct Validate {
    /// A file, a directory of files, or `-` for stdin; may be given more than once
    #[arg(short, long = "file", required = true, value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// Refuse warnings as well
    #[arg(long)]
    deny_warnings: bool,
    /// What a violation of the rules in Envoy's protos is
    #[arg(long, value_enum, default_value_t = RulesMode::Error, value_name = "MODE")]
    rules: RulesMode,
    #[command(flatten)]
    envoy: AskEnvoy,
}

impl Validate {
    pub(super) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let candidate = Candidate {
            documents: input::read(&self.files)?.into_iter().map(Document::from).collect(),
            resources: Vec::new(),
        };
        let limits = Limits {
            rules: self.rules.into(),
            ..Limits::default()
        };
        let mut said = Vec::new();
        let (resources, found) = match admission::admit(&candidate, &limits) {
            Ok(admitted) => {
                let references = admission::check_references(&admitted.resources, None);
                said = self.envoy.findings(&admitted)?;
                let count: usize = admitted.resources.values().map(Vec::len).sum();
                (count, [admitted.findings, references].concat())
            }
            Err(rejection) => (0, rejection.findings),
        };
        let errors = found
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count();
        let errors = errors + said.len();
        said.extend(found.iter().map(admin::finding));
        let findings: Vec<api::Finding> = said;
        let refused = errors > 0 || (self.deny_warnings && !findings.is_empty());
        print(output, &findings, resources, refused)?;
        Ok(if refused { Exit::Refused } else { Exit::Ok })
    }
}

fn print(output: &mut Output, findings: &[api::Finding], resources: usize, refused: bool) -> Result<(), Failure> {
    match output.format {
        Format::Table => {
            findings::warn(findings)?;
            if refused {
                note(&format!("error: refused: {}", count(findings.len(), "finding")));
            } else {
                let (resources, warnings) = (count(resources, "resource"), count(findings.len(), "warning"));
                output.text(&format!("ok: {resources}, {warnings}\n"))?;
            }
        }
        Format::Json | Format::Yaml => {
            let findings: Vec<_> = findings.iter().map(|finding| proto_json(finding, "Finding")).collect();
            output.value(&json!({ "valid": !refused, "resources": resources, "findings": findings }))?;
        }
    }
    Ok(())
}
