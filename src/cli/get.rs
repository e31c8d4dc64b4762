//! `chancery get`: a group's own resources; without a group, every published group.
//!
//! `-o yaml` prints a document that can be published again; `-o json` prints resources with their versions.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    history::counts,
    output::{Format, Output, Table, escape, proto_json, time, to_yaml},
    pages,
};
use crate::{
    admission::{self, Secrets},
    proto::admin::{GetSnapshotRequest, ListSnapshotsResponse, Resource, Snapshot},
    resource::ResourceType,
};

pub(super) const WRAPPER: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

#[derive(Args, Debug)]
pub(super) struct Get {
    /// The group of nodes; without it, every published group is listed
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
    /// Only this type: cluster, listener, route, … (or cds, lds, …), or a type URL
    #[arg(value_name = "TYPE", requires = "group")]
    resource_type: Option<ResourceType>,
    /// Only these names; a missing one is an error
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// An earlier revision
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "REVISION",
        requires = "group"
    )]
    revision: u64,
    /// Show private keys and other sensitive fields
    #[arg(long)]
    show_secrets: bool,
}

impl Get {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let Some(group) = self.group else {
            return groups(clients, output).await;
        };
        let request = GetSnapshotRequest {
            group,
            types: self
                .resource_type
                .iter()
                .map(|known| known.type_url().to_owned())
                .collect(),
            names: self.names.clone(),
            revision: self.revision,
            include_secrets: self.show_secrets,
        };
        let snapshot = clients.snapshots().await?.get_snapshot(request).await?.into_inner();
        let present: BTreeSet<&str> = snapshot
            .resources
            .iter()
            .flat_map(|resource| resource.aliases.iter().chain([&resource.name]))
            .map(String::as_str)
            .collect();
        if let Some(missing) = self.names.iter().find(|name| !present.contains(name.as_str())) {
            let kind = self.resource_type.as_ref().map_or("resource", ResourceType::short_name);
            return Err(Failure::new(
                Exit::NotFound,
                format!("no {kind} \"{}\"", escape(missing)),
            ));
        }
        match output.format {
            Format::Table => output.text(&table(&snapshot))?,
            Format::Json => output.value(&listing(&snapshot))?,
            Format::Yaml => output.text(&document(&snapshot, self.show_secrets))?,
        }
        Ok(Exit::Ok)
    }
}

async fn groups(clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
    let listed = ListSnapshotsResponse {
        snapshots: pages::snapshots(clients).await?,
        next_page_token: String::new(),
    };
    match output.format {
        Format::Table => {
            let mut table = Table::new(["GROUP", "REVISION", "TIME", "AUTHOR", "ORIGIN", "RESOURCES"]);
            for snapshot in &listed.snapshots {
                table.row(&[
                    snapshot.group.clone(),
                    snapshot.revision.to_string(),
                    time(snapshot.time.as_ref()),
                    snapshot.author.clone(),
                    snapshot.origin.clone(),
                    counts(snapshot),
                ]);
            }
            output.text(&table.render())?;
        }
        Format::Json | Format::Yaml => output.value(&proto_json(&listed, "ListSnapshotsResponse"))?,
    }
    Ok(Exit::Ok)
}

fn table(snapshot: &Snapshot) -> String {
    let mut table = Table::new(["TYPE", "NAME", "VERSION", "SIZE"]);
    for resource in &snapshot.resources {
        table.row(&[
            short_type(type_url(resource)),
            resource.name.clone(),
            resource.version.clone(),
            resource.resource.as_ref().map_or(0, |any| any.value.len()).to_string(),
        ]);
    }
    table.render()
}

fn listing(snapshot: &Snapshot) -> Value {
    let (group, revision) = heading(snapshot);
    let one = |resource: &Resource| {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), json!(resource.name));
        fields.insert("type".to_owned(), json!(short_type(type_url(resource))));
        fields.insert("version".to_owned(), json!(resource.version));
        fields.extend(extras(resource));
        fields.insert("resource".to_owned(), body(resource));
        Value::Object(fields)
    };
    let resources: Vec<Value> = snapshot.resources.iter().map(one).collect();
    json!({ "group": group, "revision": revision, "resources": resources })
}

/// A document that `replace` accepts.
fn document(snapshot: &Snapshot, with_secrets: bool) -> String {
    let (group, revision) = heading(snapshot);
    let mut text = format!("# Group {}, revision {revision}.\n", escape(group));
    if !with_secrets {
        text.push_str("# Sensitive fields read [redacted]; --show-secrets prints them.\n");
    }
    let resources: Vec<Value> = snapshot.resources.iter().map(item).collect();
    text.push_str(&to_yaml(&json!({ "resources": resources })));
    text
}

/// A resource as an item of `resources:`, in a wrapper if it has facts that its body cannot express.
pub(super) fn item(resource: &Resource) -> Value {
    let body = body(resource);
    let extras = extras(resource);
    let says = |field: &str| body.get(field).and_then(Value::as_str) == Some(resource.name.as_str());
    let own_name = match ResourceType::from_type_url(type_url(resource)) {
        // Clients do not request these types by the field `name`.
        Some(ResourceType::VirtualHost | ResourceType::LbEndpoint) => false,
        _ => says("name") || says("cluster_name"),
    };
    if own_name && extras.is_empty() {
        return body;
    }
    let mut wrapper = Map::new();
    wrapper.insert("@type".to_owned(), json!(WRAPPER));
    wrapper.insert("name".to_owned(), json!(resource.name));
    wrapper.extend(extras);
    wrapper.insert("resource".to_owned(), body);
    Value::Object(wrapper)
}

/// The fields that only a wrapper has.
fn extras(resource: &Resource) -> Map<String, Value> {
    let mut extras = Map::new();
    if !resource.aliases.is_empty() {
        extras.insert("aliases".to_owned(), json!(resource.aliases));
    }
    if let Some(ttl) = resource.ttl {
        let nanos = if ttl.nanos == 0 {
            String::new()
        } else {
            format!(".{:09}", ttl.nanos)
        };
        extras.insert("ttl".to_owned(), json!(format!("{}{nanos}s", ttl.seconds)));
    }
    extras
}

fn body(resource: &Resource) -> Value {
    // The server has redacted sensitive fields already.
    resource
        .resource
        .as_ref()
        .map_or(Value::Null, |any| admission::to_json(any, Secrets::Show))
}

pub(super) fn type_url(resource: &Resource) -> &str {
    resource.resource.as_ref().map_or("", |any| any.type_url.as_str())
}

pub(super) fn heading(snapshot: &Snapshot) -> (&str, u64) {
    snapshot
        .summary
        .as_ref()
        .map_or(("", 0), |summary| (summary.group.as_str(), summary.revision))
}
