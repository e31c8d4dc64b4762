//! Node → group: the first matching rule names it, else a non-empty `node.cluster`, else `node.id`.

use serde::{Deserialize, Serialize};

use super::{Node, NodeGroup, Pattern};

/// The rules, in order.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Grouping {
    rules: Vec<GroupRule>,
}

/// One rule: all of its conditions must hold.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GroupRule {
    /// Matched against `node.id`.
    #[serde(default)]
    pub id: Option<Pattern>,
    /// Matched against `node.cluster`.
    #[serde(default)]
    pub cluster: Option<Pattern>,
    /// Matched against `node.locality`.
    #[serde(default)]
    pub locality: Option<LocalityMatch>,
    /// Matched against `node.metadata`: dotted path → pattern of a text, number or boolean.
    #[serde(default)]
    pub metadata: std::collections::BTreeMap<String, Pattern>,
    /// The name of the group. The node's fields replace `{id}`, `{cluster}`, `{region}`, `{zone}`, `{sub_zone}` and
    /// `{metadata.some.path}`.
    pub group: String,
}

/// Conditions on a node's locality.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LocalityMatch {
    /// Matched against `locality.region`.
    #[serde(default)]
    pub region: Option<Pattern>,
    /// Matched against `locality.zone`.
    #[serde(default)]
    pub zone: Option<Pattern>,
    /// Matched against `locality.sub_zone`.
    #[serde(default)]
    pub sub_zone: Option<Pattern>,
}

/// A rule that can never name a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The group is an empty text.
    #[error("groups[{0}].group is empty")]
    EmptyGroup(usize),
    /// The group is the shared group, into which no node is put.
    #[error("groups[{0}].group is \"*\", the shared group, which every node sees already")]
    SharedGroup(usize),
    /// A placeholder that does not exist.
    #[error(
        "groups[{index}].group: unknown placeholder {{{}}}: expected id, cluster, region, zone, sub_zone or metadata.PATH",
        .name.escape_debug()
    )]
    UnknownPlaceholder {
        /// The index of the rule.
        index: usize,
        /// The placeholder.
        name: String,
    },
    /// An opening brace without its closing one.
    #[error("groups[{0}].group has a \"{{\" without \"}}\"")]
    UnclosedBrace(usize),
}

// === impl Grouping ===

impl Grouping {
    /// Checks the rules and makes the grouping.
    ///
    /// # Errors
    ///
    /// [`RuleError`] for the first rule that can never name a group.
    pub fn new(rules: Vec<GroupRule>) -> Result<Self, RuleError> {
        for (index, rule) in rules.iter().enumerate() {
            match rule.group.as_str() {
                "" => return Err(RuleError::EmptyGroup(index)),
                NodeGroup::SHARED => return Err(RuleError::SharedGroup(index)),
                template => check_template(index, template)?,
            }
        }
        Ok(Self { rules })
    }

    /// The group of a node; `None` if the node has no field to name one (L-2).
    #[must_use]
    pub fn group_of(&self, node: &Node) -> Option<NodeGroup> {
        let name = self.rules.iter().find(|rule| rule.matches(node)).map_or_else(
            || {
                let by = if node.cluster.is_empty() {
                    node.id.as_str()
                } else {
                    &node.cluster
                };
                by.to_owned()
            },
            |rule| expand(&rule.group, node),
        );
        (!name.is_empty() && name != NodeGroup::SHARED).then(|| NodeGroup::from(name.as_str()))
    }
}

// === impl GroupRule ===

impl GroupRule {
    fn matches(&self, node: &Node) -> bool {
        let holds = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|p| p.matches(text));
        let locality = self.locality.as_ref().is_none_or(|wanted| {
            holds(&wanted.region, &node.locality.region)
                && holds(&wanted.zone, &node.locality.zone)
                && holds(&wanted.sub_zone, &node.locality.sub_zone)
        });
        holds(&self.id, node.id.as_str())
            && holds(&self.cluster, &node.cluster)
            && locality
            && self
                .metadata
                .iter()
                .all(|(path, pattern)| metadata_text(node, path).is_some_and(|text| pattern.matches(&text)))
    }
}

/// The text, number or boolean at a dotted path of the node's metadata.
fn metadata_text(node: &Node, path: &str) -> Option<String> {
    use prost_types::value::Kind;

    let mut fields = &node.metadata.fields;
    let mut steps = path.split('.').peekable();
    loop {
        let kind = fields.get(steps.next()?)?.kind.as_ref()?;
        match (kind, steps.peek()) {
            (Kind::StructValue(inner), Some(_)) => fields = &inner.fields,
            (Kind::StringValue(text), None) => return Some(text.clone()),
            (Kind::NumberValue(number), None) => return Some(number.to_string()),
            (Kind::BoolValue(flag), None) => return Some(flag.to_string()),
            _ => return None,
        }
    }
}

/// The text of a placeholder; `None` if there is no such placeholder.
fn placeholder(name: &str, node: &Node) -> Option<String> {
    match name {
        "id" => Some(node.id.to_string()),
        "cluster" => Some(node.cluster.clone()),
        "region" => Some(node.locality.region.clone()),
        "zone" => Some(node.locality.zone.clone()),
        "sub_zone" => Some(node.locality.sub_zone.clone()),
        _ => {
            let path = name.strip_prefix("metadata.")?;
            Some(metadata_text(node, path).unwrap_or_default())
        }
    }
}

fn expand(template: &str, node: &Node) -> String {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        expanded.push_str(&placeholder(name, node).unwrap_or_default());
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

fn check_template(index: usize, template: &str) -> Result<(), RuleError> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or(RuleError::UnclosedBrace(index))?;
        let known = ["id", "cluster", "region", "zone", "sub_zone"].contains(&name)
            || name.strip_prefix("metadata.").is_some_and(|path| !path.is_empty());
        if !known {
            let name = name.to_owned();
            return Err(RuleError::UnknownPlaceholder { index, name });
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
