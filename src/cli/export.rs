//! `chancery export`: published groups as files that can be published again: a folder for each group, a file for each type.
//!
//! The folders are those that `serve --files` and `chancery import` read.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    get,
    output::{Output, count, escape, note, to_yaml},
    pages, private,
};
use crate::{
    input,
    node::NodeGroup,
    proto::{
        admin::{GetSnapshotRequest, Resource, Snapshot},
        discovery::{self, DiscoveryResponse},
    },
};

/// The folder of the group `*`.
pub(super) const SHARED_FOLDER: &str = "_shared";
/// The text in place of a sensitive field.
pub(super) const REDACTED: &str = "[redacted]";
/// The same text in a field of bytes, as base64 without its last digit, which depends on the padding.
const REDACTED_BYTES: &str = "W3JlZGFjdGVkX";

#[derive(Args, Debug)]
pub(super) struct Export {
    /// Only this group; may be given more than once
    #[arg(short, long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A directory with a folder for each group; or for one group a file that ends in .yaml, .json or .pb, or `-` for stdout
    #[arg(long, value_name = "DIR|FILE|-")]
    out: PathBuf,
    /// An earlier revision of the one group
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    revision: u64,
    /// Format of the files
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// Write private keys and other sensitive fields too; resources without them cannot be published again
    #[arg(long)]
    show_secrets: bool,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// For people
    Yaml,
    /// For programs
    Json,
    /// Encoded, byte for byte; keeps fields that no descriptor knows
    Binary,
}

// === impl Export ===

impl Export {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let groups = self.groups(clients).await?;
        let is_stdout = self.out.as_os_str() == "-";
        let ending = FileFormat::of_ending(&self.out);
        let to_file = is_stdout || (ending.is_some() && !self.out.is_dir());
        let format = self.format.or(ending).unwrap_or(FileFormat::Yaml);
        if (to_file || self.revision != 0) && groups.len() != 1 {
            let what = if to_file { "one file" } else { "--revision" };
            return Err(Failure::usage(format!(
                "{what} is for one group, and there are {}: name one with --group",
                groups.len()
            )));
        }
        let mut client = clients.snapshots().await?;
        let mut redacted = 0;
        for group in &groups {
            let request = GetSnapshotRequest {
                group: group.clone(),
                revision: self.revision,
                include_secrets: self.show_secrets,
                ..GetSnapshotRequest::default()
            };
            let snapshot = client.get_snapshot(request).await?.into_inner();
            let all: Vec<&Resource> = snapshot.resources.iter().collect();
            let files = if to_file {
                vec![(self.out.clone(), format.document(&snapshot, &all))]
            } else {
                self.files(&snapshot, group, format)?
            };
            redacted += files.iter().filter(|(_, content)| mentions_redacted(content)).count();
            if is_stdout {
                files
                    .iter()
                    .try_for_each(|(_, content)| io::stdout().write_all(content))?;
                continue;
            }
            for (path, content) in &files {
                self.write(path, content)?;
            }
            output.text(&format!(
                "{}: exported revision {} to {}: {}\n",
                escape(group),
                snapshot.summary.as_ref().map_or(0, |summary| summary.revision),
                if to_file {
                    self.out.clone()
                } else {
                    self.out.join(folder_of(group))
                }
                .display(),
                count(snapshot.resources.len(), "resource"),
            ))?;
        }
        if redacted > 0 && !self.show_secrets {
            note(&format!(
                "{} with sensitive fields left out: it cannot be published again; --show-secrets exports them",
                count(redacted, "file")
            ));
        }
        Ok(Exit::Ok)
    }

    /// The given groups, or all published ones.
    async fn groups(&self, clients: &Clients) -> Result<Vec<String>, Failure> {
        if !self.groups.is_empty() {
            return Ok(self.groups.clone());
        }
        let snapshots = pages::snapshots(clients).await?;
        Ok(snapshots.into_iter().map(|snapshot| snapshot.group).collect())
    }

    /// A file for each type, in the folder of the group.
    fn files(&self, snapshot: &Snapshot, group: &str, format: FileFormat) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
        let name = folder_of(group);
        if !is_folder_name(group) {
            return Err(Failure::usage(format!(
                "group \"{}\" has no name for a folder: export it by itself, to a file",
                escape(group)
            )));
        }
        let folder = self.out.join(name);
        self.make_room(&folder)?;
        let mut types: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
        for resource in &snapshot.resources {
            types
                .entry(file_name(get::type_url(resource)))
                .or_default()
                .push(resource);
        }
        if types.is_empty() {
            // A group without resources still has a snapshot.
            types.insert("empty".to_owned(), Vec::new());
        }
        let file = |(name, resources): (String, Vec<&Resource>)| {
            let path = folder.join(format!("{name}.{}", format.ending()));
            (path, format.document(snapshot, &resources))
        };
        Ok(types.into_iter().map(file).collect())
    }

    /// Makes a folder; with `--force` removes configuration files in it, without it they are an error.
    fn make_room(&self, folder: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::usage(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        for path in input::files_of(folder).map_err(failed)? {
            if !self.force {
                return Err(Failure::usage(format!(
                    "{}: it is there already; --force replaces the files of the folder",
                    path.display()
                )));
            }
            fs::remove_file(&path).map_err(failed)?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                "; --force replaces it"
            } else {
                ""
            };
            Failure::usage(format!("{}: {error}{hint}", path.display()))
        };
        // Secrets are removed as far as descriptors name them; fields that no descriptor knows may be secrets too.
        let written = if self.force {
            private::replace(path, content, private::MODE)
        } else {
            private::create(path, private::MODE).and_then(|mut file| file.write_all(content))
        };
        written.map_err(failed)
    }
}

// === impl FileFormat ===

impl FileFormat {
    fn of_ending(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "pb" | "binpb" => Some(Self::Binary),
            _ => None,
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Binary => "pb",
        }
    }

    fn document(self, snapshot: &Snapshot, resources: &[&Resource]) -> Vec<u8> {
        let items = || {
            resources
                .iter()
                .map(|resource| get::item(resource))
                .collect::<Vec<Value>>()
        };
        match self {
            Self::Yaml => {
                let (group, revision) = get::heading(snapshot);
                let heading = format!("# Group {}, revision {revision}.\n", escape(group));
                (heading + &to_yaml(&json!({ "resources": items() }))).into_bytes()
            }
            Self::Json => format!("{:#}\n", json!({ "resources": items() })).into_bytes(),
            Self::Binary => encoded(resources),
        }
    }
}

/// A DiscoveryResponse; each resource is in a wrapper with its name, aliases and TTL.
fn encoded(resources: &[&Resource]) -> Vec<u8> {
    let wrapped = resources.iter().map(|resource| {
        let wrapper = discovery::Resource {
            name: resource.name.clone(),
            aliases: resource.aliases.clone(),
            ttl: resource.ttl,
            resource: resource.resource.clone(),
            ..discovery::Resource::default()
        };
        prost_types::Any {
            type_url: get::WRAPPER.to_owned(),
            value: wrapper.encode_to_vec(),
        }
    });
    let response = DiscoveryResponse {
        resources: wrapped.collect(),
        ..DiscoveryResponse::default()
    };
    response.encode_to_vec()
}

/// `cluster`, `listener`, …; for a type without a short name, the last part of its type URL.
fn file_name(type_url: &str) -> String {
    let name = short_type(type_url);
    name.rsplit('/').next().unwrap_or(&name).to_owned()
}

/// The folder of a group.
pub(super) fn folder_of(group: &str) -> &str {
    if group == NodeGroup::SHARED {
        SHARED_FOLDER
    } else {
        group
    }
}

/// Returns true if a folder of the group's name would be read as this group.
fn is_folder_name(group: &str) -> bool {
    !(group.starts_with('.') || group.contains(['/', '\\', '\0']) || group == SHARED_FOLDER)
}

pub(super) fn mentions_redacted(content: &[u8]) -> bool {
    let mentions = |needle: &str| content.windows(needle.len()).any(|window| window == needle.as_bytes());
    mentions(REDACTED) || mentions(REDACTED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redactions_are_found_in_texts_and_in_bytes() {
        for content in ["inline_string: '[redacted]'", "inline_bytes: W3JlZGFjdGVkXQ=="] {
            assert!(mentions_redacted(content.as_bytes()), "{content}");
        }
        assert!(!mentions_redacted(b"inline_string: redacted"));
    }
}
