//! `--envoy PATH`: runs a real Envoy on the resources that nodes would get; its errors are findings beside our own.

use std::path::PathBuf;

use clap::Args;
use prost::Message as _;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    output::{count, escape},
    render,
};
use crate::{
    admission::{self, Admitted, Candidate, Limits, Secrets, Severity, codes},
    envoy::{Binary, EnvoyError, Refusal, Served},
    node::NodeGroup,
    proto::admin::{Document, Finding, Snapshot, finding},
    resource::ResourceType,
    settings::Span,
};

/// Options of running an Envoy.
#[derive(Args, Debug)]
pub(super) struct AskEnvoy {
    /// Also check with this Envoy binary, by --mode validate, what a node would get; it opens no port
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Time limit of one run of that binary
    #[arg(long, default_value = "60s", value_name = "DURATION", requires = "envoy")]
    envoy_timeout: Span,
}

/// The effect on the group's own resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Replaced,
    Kept,
}

// === impl AskEnvoy ===

impl AskEnvoy {
    /// Envoy's errors in these resources alone; none without a binary.
    pub(super) fn findings(&self, admitted: &Admitted) -> Result<Vec<Finding>, Failure> {
        let Some(binary) = self.binary() else {
            return Ok(Vec::new());
        };
        let mut served = Served::default();
        add_admitted(&mut served, admitted);
        said_by(&binary, &served, "validate")
    }

    /// Checks with Envoy the candidate over the group's own resources and the shared ones. The server reports its own findings.
    pub(super) async fn before_publish(
        &self,
        clients: &Clients,
        group: &str,
        documents: &[Document],
        own: Own,
    ) -> Result<(), Failure> {
        let Some(binary) = self.binary() else {
            return Ok(());
        };
        let candidate = Candidate {
            documents: documents.iter().cloned().map(admission::Document::from).collect(),
            resources: Vec::new(),
        };
        // The server may be set to accept violations of the rules.
        let limits = Limits {
            rules: Severity::Warning,
            ..Limits::default()
        };
        let Ok(admitted) = admission::admit(&candidate, &limits) else {
            return Ok(());
        };
        let mut served = Served::default();
        if group != NodeGroup::SHARED {
            add_published(&mut served, render::snapshot(clients, NodeGroup::SHARED).await?);
        }
        if own == Own::Kept {
            add_published(&mut served, render::snapshot(clients, group).await?);
        }
        add_admitted(&mut served, &admitted);
        let findings = said_by(&binary, &served, group)?;
        if findings.is_empty() {
            return Ok(());
        }
        let refused = format!(
            "refused by envoy: {}; nothing was published",
            count(findings.len(), "finding")
        );
        Err(Failure::rejected(findings, refused))
    }

    fn binary(&self) -> Option<Binary> {
        self.envoy.clone().map(|path| Binary {
            path,
            limit: self.envoy_timeout.0,
        })
    }
}

fn add_admitted(served: &mut Served, admitted: &Admitted) {
    for (kind, resources) in &admitted.resources {
        for resource in resources {
            if let Ok(any) = prost_types::Any::decode(resource.body.clone()) {
                let json = admission::to_json(&any, Secrets::Show);
                served.insert(kind.clone(), resource.name.as_str(), json);
            }
        }
    }
}

fn add_published(served: &mut Served, snapshot: Option<Snapshot>) {
    for resource in snapshot.into_iter().flat_map(|snapshot| snapshot.resources) {
        let Some(any) = &resource.resource else {
            continue;
        };
        if let Some(kind) = ResourceType::from_type_url(&any.type_url) {
            served.insert(kind, resource.name.as_str(), admission::to_json(any, Secrets::Show));
        }
    }
}

fn said_by(binary: &Binary, served: &Served, group: &str) -> Result<Vec<Finding>, Failure> {
    match binary.examine(served, group) {
        Ok(refusals) => Ok(refusals.into_iter().map(finding_of).collect()),
        Err(error) => {
            let exit = match &error {
                EnvoyError::Start { .. } => Exit::Usage,
                EnvoyError::NoVerdict { .. } | EnvoyError::Slow { .. } | EnvoyError::Files(_) => Exit::Unavailable,
            };
            Err(Failure::new(exit, format!("--envoy: {}", escape(&error.to_string()))))
        }
    }
}

fn finding_of(refusal: Refusal) -> Finding {
    let (type_url, resource) = refusal
        .resource
        .map_or_else(Default::default, |(kind, name)| (kind.type_url().to_owned(), name));
    Finding {
        severity: finding::Severity::Error.into(),
        code: codes::ENVOY_REFUSES.to_owned(),
        message: format!("envoy refuses: {}", refusal.words),
        type_url,
        resource,
        ..Finding::default()
    }
}
