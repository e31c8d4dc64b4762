//! The layout of the rendered files: one each for CDS, LDS and SRDS, and one for each resource that Envoy reads by name.
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    inline,
    served::Served,
    sources::{self, Places},
};
use crate::{
    admission::{self, Secrets},
    cli::output::{escape, to_yaml},
    proto::admin::Snapshot,
    resource::ResourceType,
};

/// Bytes of a file's name that come from the resource's name; longer names are cut and get a hash.
const NAME_BYTES: usize = 180;

/// All files of the directory.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Clusters by name; they share one file.
    pub(super) clusters: BTreeMap<String, Value>,
    pub(super) clusters_version: String,
    /// The text of the listeners' file.
    pub(super) listeners: String,
    /// Path below the directory → text, in the order of writing.
    pub(super) children: BTreeMap<(Stage, PathBuf), String>,
}

/// The time at which a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Before the clusters, which need it.
    BeforeClusters,
    /// After the clusters, which it names.
    BehindClusters,
}

/// The targets of sources, and the findings while they are rewritten.
struct Found<'a> {
    out: &'a Path,
    served: &'a Served,
    /// EDS clusters without endpoints: Envoy does not accept a cluster whose file is missing (O-7).
    empty: BTreeSet<String>,
    /// A listener reads the file of all scopes, so the file must exist.
    scopes: bool,
    /// The resource that is being rewritten, for the reasons.
    resource: String,
    reasons: Vec<String>,
}

/// The file of all clusters, below the directory.
pub(super) const CLUSTERS: &str = "cds.yaml";
/// The file of all listeners, below the directory.
pub(super) const LISTENERS: &str = "lds.yaml";
/// The file of all scopes, below the directory; written only if something reads it.
pub(super) const SCOPES: &str = "srds.yaml";
/// The folders of resources that are read by name.
pub(super) const FOLDERS: [&str; 5] = ["eds", "sds", "rds", "ecds", "rtds"];

// === impl Layout ===

impl Layout {
    /// The files of a snapshot over the shared one; or every reason why files cannot express it.
    pub(super) fn of(own: &Snapshot, shared: &Snapshot, out: &Path) -> Result<Self, Vec<String>> {
        let mut served = served(own, shared);
        inline::inline(&mut served);
        let mut found = Found {
            out,
            served: &served.clone(),
            empty: BTreeSet::new(),
            scopes: false,
            resource: String::new(),
            reasons: Vec::new(),
        };
        for (kind, resources) in &mut served {
            for (name, resource) in resources {
                found.resource = format!("{kind} \"{}\"", escape(name));
                if folder(kind).is_none() && !is_whole(kind) {
                    found.refuse("files cannot carry it".to_owned());
                }
                if *kind == ResourceType::ScopedRoute && resource.get("route_configuration").is_none() {
                    let route = sources::text(resource, "route_configuration_name");
                    found.refuse(format!("it needs route \"{route}\", which is not published"));
                }
                sources::rewrite(resource, &mut found);
            }
        }
        let Found {
            empty, scopes, reasons, ..
        } = found;
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let endpoints = served.entry(ResourceType::Endpoint).or_default();
        for name in empty {
            let none = json!({ "@type": ResourceType::Endpoint.type_url(), "cluster_name": name });
            endpoints.insert(name, none);
        }
        if scopes {
            served.entry(ResourceType::ScopedRoute).or_default();
        }
        Ok(Self::files(served, own))
    }

    fn files(mut served: Served, own: &Snapshot) -> Self {
        let version = |kind: &ResourceType| {
            let types = own.summary.iter().flat_map(|summary| &summary.types);
            let mut versions = types
                .filter(|row| row.type_url == kind.type_url())
                .map(|row| row.version.clone());
            versions.next().unwrap_or_default()
        };
        let clusters = served.remove(&ResourceType::Cluster).unwrap_or_default();
        let listeners = served.remove(&ResourceType::Listener).unwrap_or_default();
        let mut children = BTreeMap::new();
        if let Some(scopes) = served.remove(&ResourceType::ScopedRoute) {
            let text = document(&version(&ResourceType::ScopedRoute), scopes.values());
            children.insert((Stage::BehindClusters, PathBuf::from(SCOPES)), text);
        }
        for (kind, resources) in &served {
            let Some((folder, stage)) = folder(kind) else {
                continue;
            };
            for (name, resource) in resources {
                let path = Path::new(folder).join(file_name(name));
                children.insert((stage, path), document(&version(kind), [resource]));
            }
        }
        Self {
            clusters,
            clusters_version: version(&ResourceType::Cluster),
            listeners: document(&version(&ResourceType::Listener), listeners.values()),
            children,
        }
    }
}

/// The text of a file, in the format that Envoy reads.
pub(super) fn document<'a>(version: &str, resources: impl IntoIterator<Item = &'a Value>) -> String {
    let resources: Vec<&Value> = resources.into_iter().collect();
    to_yaml(&json!({ "version_info": version, "resources": resources }))
}

/// Own resources over shared ones.
fn served(own: &Snapshot, shared: &Snapshot) -> Served {
    let mut served = Served::new();
    for resource in shared.resources.iter().chain(&own.resources) {
        let Some(any) = &resource.resource else {
            continue;
        };
        if let Some(kind) = ResourceType::from_type_url(&any.type_url) {
            let json = admission::to_json(any, Secrets::Show);
            served.entry(kind).or_default().insert(resource.name.clone(), json);
        }
    }
    served
}

const fn is_whole(kind: &ResourceType) -> bool {
    matches!(
        kind,
        ResourceType::Cluster | ResourceType::Listener | ResourceType::ScopedRoute
    )
}

/// The folder for the resources of a type, and the stage at which they are written.
const fn folder(kind: &ResourceType) -> Option<(&'static str, Stage)> {
    match kind {
        ResourceType::Endpoint => Some(("eds", Stage::BeforeClusters)),
        ResourceType::Secret => Some(("sds", Stage::BeforeClusters)),
        ResourceType::Route => Some(("rds", Stage::BehindClusters)),
        ResourceType::ExtensionConfig => Some(("ecds", Stage::BehindClusters)),
        ResourceType::Runtime => Some(("rtds", Stage::BehindClusters)),
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::LbEndpoint
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Other(_) => None,
    }
}

/// A name as the name of a file: unsafe characters are percent-encoded, `/` as `%2F`.
fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => safe.push(char::from(byte)),
            b'.' if !safe.is_empty() => safe.push('.'),
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    if safe.len() > NAME_BYTES {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        safe.truncate(NAME_BYTES);
        safe.push('~');
        safe.push_str(&hash[..16]);
    }
    format!("{safe}.yaml")
}

// === impl Found ===

impl Places for Found<'_> {
    fn path(&mut self, kind: &ResourceType, name: &str) -> Option<String> {
        let (folder, _) = folder(kind)?;
        let published = self.served.get(kind).is_some_and(|names| names.contains_key(name));
        if !published {
            if *kind != ResourceType::Endpoint {
                return None;
            }
            self.empty.insert(name.to_owned());
        }
        let path = self.out.join(folder).join(file_name(name));
        Some(path.display().to_string())
    }

    fn scopes(&mut self) -> (String, bool) {
        self.scopes = true;
        let path = self.out.join(SCOPES).display().to_string();
        (path, self.served.contains_key(&ResourceType::ScopedRoute))
    }

    fn refuse(&mut self, reason: String) {
        self.reasons.push(format!("{}: {}", self.resource, escape(&reason)));
    }
}

#[cfg(test)]
mod tests;
