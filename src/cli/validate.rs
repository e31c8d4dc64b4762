//! `chancery validate`: the findings of a publish of these files, without a server.

use std::{path::PathBuf, time::SystemTime};

use clap::Args;
use serde_json::json;

use super::{
    envoy::AskEnvoy,
    exit::{Exit, Failure},
    findings, input,
    output::{Format, Output, count, note, proto_json},
    sarif,
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
    /// Refuse warnings too
    #[arg(long)]
    deny_warnings: bool,
    /// Severity of a violation of the rules in Envoy's protos
    #[arg(long, value_enum, default_value_t = RulesMode::Error, value_name = "MODE")]
    rules: RulesMode,
    #[command(flatten)]
    envoy: AskEnvoy,
}

impl Validate {
    /// With `sarif`, prints findings as a SARIF log, whatever the format of `output`.
    pub(super) fn run(&self, output: &mut Output, sarif: bool) -> Result<Exit, Failure> {
        let candidate = Candidate {
            documents: input::read(&self.files)?.into_iter().map(Document::from).collect(),
            resources: Vec::new(),
        };
        let limits = Limits {
            rules: self.rules.into(),
            ..Limits::default()
        };
        let mut said = Vec::new();
        let now = Some(SystemTime::now());
        let (resources, mut found) = match admission::admit_over(&candidate, &limits, None, now) {
            Ok(admitted) => {
                let together = admission::check_group(&admitted.resources, None, &admitted.places);
                said = self.envoy.findings(&admitted)?;
                let count: usize = admitted.resources.values().map(Vec::len).sum();
                (count, [admitted.findings, together].concat())
            }
            Err(rejection) => (0, rejection.findings),
        };
        found.sort_by_key(|finding| finding.severity);
        let errors = found
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count();
        let errors = errors + said.len();
        said.extend(found.iter().map(admin::finding));
        let findings: Vec<api::Finding> = said;
        let refused = errors > 0 || (self.deny_warnings && !findings.is_empty());
        if sarif {
            output.value(&sarif::log(&findings))?;
        } else {
            print(output, &findings, resources, refused)?;
        }
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
