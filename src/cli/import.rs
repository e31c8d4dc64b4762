//! `chancery import`: publishes a directory with a folder for each group, as `export` writes it. All folders are checked
//! before the first is published.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    export::{REDACTED, SHARED_FOLDER, mentions_redacted},
    findings, input as files,
    output::{Output, count, escape, note},
    publish::{Publish, unconfirmed},
};
use crate::{
    input,
    node::NodeGroup,
    proto::admin::{Document, PublishOptions, ReplaceSnapshotRequest},
};

#[derive(Args, Debug)]
pub(super) struct Import {
    /// A directory with a folder for each group; `_shared` is the group `*`
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    dir: PathBuf,
    /// Only this group; may be given more than once
    #[arg(short, long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    publish: Publish,
}

impl Import {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        let folders = self.folders()?;
        let options = self.publish.options();
        let mut client = clients.snapshots().await?;
        let mut refused = 0;
        for (group, documents) in &folders {
            let checked = PublishOptions {
                dry_run: true,
                idempotency_key: String::new(),
                ..options.clone()
            };
            let why = match client.replace_snapshot(request(group, documents, checked)).await {
                Ok(tried) => unconfirmed(tried.get_ref())
                    .map(findings::line)
                    .collect::<Vec<_>>()
                    .join("\n"),
                Err(status) => {
                    let failure = Failure::from(status);
                    if failure.exit == Exit::Unavailable {
                        return Err(failure);
                    }
                    failure.to_string()
                }
            };
            if !why.is_empty() {
                note(&format!("group {group}:"));
                note_lines(&why);
                refused += 1;
            }
        }
        if refused > 0 {
            let groups = count(refused, "group");
            return Err(Failure::refused(format!("{groups} refused: nothing was published")));
        }
        // The shared group first: other groups refer to its resources.
        let (shared, own): (Vec<_>, Vec<_>) = folders.iter().partition(|(group, _)| *group == NodeGroup::SHARED);
        let mut exit = Exit::Ok;
        for (group, documents) in shared.into_iter().chain(own) {
            let published = client
                .replace_snapshot(request(group, documents, options.clone()))
                .await;
            let published = published?.into_inner();
            let ended = self.publish.finish(&published, clients, output).await?;
            if ended != Exit::Ok {
                exit = ended;
            }
        }
        Ok(exit)
    }

    /// The groups of all folders, with their files.
    fn folders(&self) -> Result<BTreeMap<String, Vec<Document>>, Failure> {
        let failed = |error: io::Error| Failure::usage(format!("{}: {error}", self.dir.display()));
        let mut folders = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if input::is_hidden(&path) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_str();
            let name = name.ok_or_else(|| Failure::usage(format!("{}: its name is not text", path.display())))?;
            if !path.is_dir() {
                if input::is_configuration(&path) {
                    return Err(Failure::usage(format!(
                        "{}: files lie in a folder that has the name of their group; publish one by itself with `chancery replace`",
                        path.display()
                    )));
                }
                continue;
            }
            let group = if name == SHARED_FOLDER { NodeGroup::SHARED } else { name };
            if self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group) {
                folders.insert(group.to_owned(), documents(&path)?);
            }
        }
        if let Some(missing) = self.groups.iter().find(|group| !folders.contains_key(*group)) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("{}: no folder of group \"{}\"", self.dir.display(), escape(missing)),
            ));
        }
        if folders.is_empty() {
            return Err(Failure::refused(format!("{}: no folder in it", self.dir.display())));
        }
        Ok(folders)
    }
}

/// The files of a folder. Refuses files with redacted secrets, since publishing them would replace the secrets.
fn documents(folder: &Path) -> Result<Vec<Document>, Failure> {
    let documents = files::read(&[folder.to_owned()])?;
    match documents.iter().find(|document| mentions_redacted(&document.content)) {
        Some(document) => Err(Failure::refused(format!(
            "{}: it reads {REDACTED} where a secret was left out; export again with --show-secrets",
            document.name
        ))),
        None => Ok(documents),
    }
}

fn request(group: &str, documents: &[Document], options: PublishOptions) -> ReplaceSnapshotRequest {
    ReplaceSnapshotRequest {
        group: group.to_owned(),
        documents: documents.to_vec(),
        resources: Vec::new(),
        options: Some(options),
    }
}

fn note_lines(text: &str) {
    text.lines().for_each(note);
}
