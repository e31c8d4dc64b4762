//! Warns of aggregate clusters that contain each other in a circle.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    layered::Layered,
    step::{Step, Told},
};
use crate::{
    admission::{Severity, checks, codes, inspect},
    resource::{Resource, ResourceName, ResourceType},
};

/// The aggregate clusters of a group, and their circles.
#[derive(Clone, Debug, Default)]
pub(super) struct Aggregates {
    made_of: Layered<ResourceName, Vec<ResourceName>>,
    circles: Arc<[Vec<ResourceName>]>,
}

const CLUSTER: ResourceType = ResourceType::Cluster;

// === impl Aggregates ===

impl Aggregates {
    pub(super) fn advance(&mut self, step: &Step<'_>, told: &mut Told<'_>) {
        let mut turned = false;
        for (name, served) in step.turned(&CLUSTER) {
            let made_of = served.map(|cluster| aggregated_by(cluster));
            let before = match made_of.filter(|made_of| !made_of.is_empty()) {
                Some(made_of) if self.made_of.get(name) == Some(&made_of) => continue,
                Some(made_of) => {
                    self.made_of.insert(name.clone(), made_of);
                    true
                }
                None => self.made_of.remove(name),
            };
            turned |= before;
        }
        // Aggregate clusters are few, and each can affect any circle, so all circles are searched anew.
        if turned {
            self.circles = circles(&self.made_of).into();
        }
        for circle in &*self.circles {
            tell(circle, step, told);
        }
    }

    pub(super) fn settle(&mut self) {
        self.made_of.settle();
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.made_of.is_settled()
    }
}

/// The clusters in an aggregate cluster. A cluster without references to clusters is not decoded.
fn aggregated_by(cluster: &Resource) -> Vec<ResourceName> {
    if cluster.references_to(&CLUSTER).next().is_none() {
        return Vec::new();
    }
    let any: Result<prost_types::Any, _> = prost::Message::decode(cluster.body.clone());
    let decoded = any
        .ok()
        .and_then(|any| inspect::decode(&any.type_url, any.value.into()).ok());
    let names = decoded
        .map(|cluster| checks::aggregated_by(&cluster))
        .unwrap_or_default();
    names.into_iter().map(ResourceName::from).collect()
}

/// All circles, each once and beginning with its first cluster by name.
fn circles(made_of: &Layered<ResourceName, Vec<ResourceName>>) -> Vec<Vec<ResourceName>> {
    let (mut found, mut done) = (Vec::new(), BTreeSet::new());
    for (start, _) in made_of.iter() {
        // The path of the depth-first search, each cluster with those left to visit. Not recursive: chains may be long.
        let mut path: Vec<(&ResourceName, std::slice::Iter<'_, ResourceName>)> = Vec::new();
        let mut enter = Some(start);
        loop {
            if let Some(name) = enter.take()
                && !done.contains(name)
            {
                if let Some(begin) = path.iter().position(|(on_path, _)| *on_path == name) {
                    found.push(path[begin..].iter().map(|(name, _)| (*name).clone()).collect());
                } else if let Some(next) = made_of.get(name) {
                    path.push((name, next.iter()));
                }
            }
            let Some((name, next)) = path.last_mut() else {
                break;
            };
            enter = next.next();
            if enter.is_none() {
                done.insert(*name);
                path.pop();
            }
        }
    }
    found
}

fn tell(circle: &[ResourceName], step: &Step<'_>, told: &mut Told<'_>) {
    let Some(name) = circle.iter().find(|name| step.is_own(&CLUSTER, name)) else {
        return;
    };
    let names = circle.iter().chain(circle.first()).map(|name| format!("\"{name}\""));
    let message = format!(
        "aggregate clusters are made of one another in a circle: {}",
        names.collect::<Vec<_>>().join(" of ")
    );
    let field = Some("cluster_type.typed_config.clusters");
    told.add(Severity::Warning, codes::CIRCLE, (&CLUSTER, Some(name)), field, message);
}
