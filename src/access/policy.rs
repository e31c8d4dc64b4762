//! Access rules, checked and compiled, and their decisions. The first rule whose identity matches decides alone, so a
//! narrow rule before a wide one takes rights away.

use std::sync::Arc;

use super::{
    config::{AccessConfig, AdminRule, NodeRule, OneOrMany},
    identity::Identity,
    pattern::{Captures, Glob, Kind, Pattern, PatternError, Template},
    role::{Right, Role},
};
use crate::node::{NodeGroup, NodeId};

/// The access rules, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    nodes: Option<Vec<NodeEntry>>,
    admin: Option<Vec<AdminEntry>>,
}

/// The part of its group's snapshot that a node may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReach {
    /// The secrets that the node is given.
    pub secrets: SecretReach,
}

/// The names of the secrets that a node is given. Clones share their content; nodes with equal values can share a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretReach(Arc<[Glob]>);

/// The roles of a caller of the admin API, and the groups in which they apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminReach {
    roles: Vec<Role>,
    groups: Vec<Glob>,
}

/// The reason why something is not allowed. The refused client sees the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The client showed no credentials.
    #[error("no client certificate or bearer token was shown")]
    Anonymous,
    /// The credentials have expired or were revoked.
    #[error("the client certificate or bearer token has expired or was revoked")]
    Expired,
    /// No rule matches this identity.
    #[error("no rule is for \"{0}\"")]
    Stranger(String),
    /// The rule that matches allows other node ids only.
    #[error("\"{identity}\" may not be node \"{node}\"")]
    Node {
        /// The identity.
        identity: String,
        /// The node id.
        node: String,
    },
    /// The rule that matches allows other groups only.
    #[error("\"{identity}\" may not be a node of group \"{group}\"")]
    Group {
        /// The identity.
        identity: String,
        /// The group.
        group: String,
    },
    /// The identity does not have the role.
    #[error("\"{identity}\" does not have the role {}", role.name())]
    Role {
        /// The identity.
        identity: String,
        /// The role that the call needs.
        role: Role,
    },
    /// The identity has the role, but not for this group.
    #[error("\"{identity}\" does not have the role {} for group \"{group}\"", role.name())]
    RoleInGroup {
        /// The identity.
        identity: String,
        /// The role that the call needs.
        role: Role,
        /// The group that the call names.
        group: String,
    },
}

// === impl Denial ===

impl Denial {
    /// Returns true if other credentials may help; otherwise the identity is known and lacks the permission.
    #[must_use]
    pub const fn is_of_credentials(&self) -> bool {
        match self {
            Self::Anonymous | Self::Expired => true,
            Self::Stranger(_)
            | Self::Node { .. }
            | Self::Group { .. }
            | Self::Role { .. }
            | Self::RoleInGroup { .. } => false,
        }
    }
}

/// A rule that cannot be used. The message begins with the rule's path in the config file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The rule selects no identities, or selects them twice.
    #[error("access.{section}[{index}]: exactly one of identity, dns, token and subject must say who is meant")]
    Selector {
        /// `nodes` or `admin`.
        section: &'static str,
        /// The index of the rule, from 0.
        index: usize,
    },
    /// A pattern or a template is invalid.
    #[error("access.{section}[{index}].{key}: {text:?}: {cause}")]
    Pattern {
        /// `nodes` or `admin`.
        section: &'static str,
        /// The index of the rule, from 0.
        index: usize,
        /// The key within the rule.
        key: &'static str,
        /// The text of the pattern or template.
        text: String,
        /// The reason.
        cause: PatternError,
    },
    /// A rule that grants nothing: no node id, no group or no role.
    #[error("access.{section}[{index}].{key} is empty: the rule would let nobody in")]
    Nothing {
        /// `nodes` or `admin`.
        section: &'static str,
        /// The index of the rule, from 0.
        index: usize,
        /// The key that is empty.
        key: &'static str,
    },
    /// The rule at this index has roles that need groups, and no groups.
    #[error("access.admin[{0}].groups is empty: publish and read-secrets are for groups, \"*\" is every group")]
    NoGroups(usize),
    /// The rule selects by token or subject, but no tokens file or no JWT keys are set.
    #[error("access.{section}[{index}].{selector} needs access.{needs}")]
    NoSource {
        /// `nodes` or `admin`.
        section: &'static str,
        /// The index of the rule, from 0.
        index: usize,
        /// `token` or `subject`.
        selector: &'static str,
        /// `tokens_file` or `jwt`.
        needs: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeEntry {
    who: Pattern,
    node_ids: Vec<Template>,
    groups: Vec<Template>,
    secrets: Vec<Template>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AdminEntry {
    who: Pattern,
    roles: Vec<Role>,
    groups: Vec<Template>,
}

/// The place of a rule in the config file, for error messages.
#[derive(Clone, Copy)]
struct Place {
    section: &'static str,
    index: usize,
}

// === impl Policy ===

impl Policy {
    /// Checks and compiles the rules.
    ///
    /// # Errors
    ///
    /// [`RuleError`] for the first rule that cannot be used.
    pub fn new(config: &AccessConfig) -> Result<Self, RuleError> {
        let place = |section| move |index| Place { section, index };
        let nodes = config.nodes.as_ref().map(|rules| {
            let compile = |(index, rule)| NodeEntry::new(rule, place("nodes")(index), config);
            rules.iter().enumerate().map(compile).collect::<Result<_, _>>()
        });
        let admin = config.admin.as_ref().map(|rules| {
            let compile = |(index, rule)| AdminEntry::new(rule, place("admin")(index), config);
            rules.iter().enumerate().map(compile).collect::<Result<_, _>>()
        });
        Ok(Self {
            nodes: nodes.transpose()?,
            admin: admin.transpose()?,
        })
    }

    /// Returns true if rules restrict nodes.
    #[must_use]
    pub const fn restricts_nodes(&self) -> bool {
        self.nodes.is_some()
    }

    /// Returns true if rules restrict callers of the admin API.
    #[must_use]
    pub const fn restricts_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// The part of the snapshot that an identity sees as this node of this group; `None` where no rule restricts nodes.
    ///
    /// # Errors
    ///
    /// [`Denial`] where the identity may not be this node, or not of this group.
    pub fn node(
        &self,
        identity: Option<&Identity>,
        node: &NodeId,
        group: &NodeGroup,
    ) -> Result<Option<NodeReach>, Denial> {
        let Some(rules) = &self.nodes else { return Ok(None) };
        let identity = identity.ok_or(Denial::Anonymous)?;
        let found = rules
            .iter()
            .find_map(|rule| Some((rule, identity.captures(&rule.who)?)));
        let (rule, captures) = found.ok_or_else(|| Denial::Stranger(identity.to_string()))?;
        if !grants(&rule.node_ids, &captures, node.as_str()) {
            return Err(Denial::Node {
                identity: identity.to_string(),
                node: node.to_string(),
            });
        }
        if !grants(&rule.groups, &captures, group.as_str()) {
            return Err(Denial::Group {
                identity: identity.to_string(),
                group: group.to_string(),
            });
        }
        let secrets = rule.secrets.iter().map(|template| template.expand(&captures)).collect();
        Ok(Some(NodeReach {
            secrets: SecretReach(secrets),
        }))
    }

    /// The roles of a caller that has the right which the call needs.
    ///
    /// # Errors
    ///
    /// [`Denial`] where the caller lacks the right.
    pub fn caller(&self, identity: Option<&Identity>, right: Right) -> Result<AdminReach, Denial> {
        let (Some(rules), Some(role)) = (&self.admin, right.role()) else {
            return Ok(AdminReach::everything());
        };
        let identity = identity.ok_or(Denial::Anonymous)?;
        let found = rules
            .iter()
            .find_map(|rule| Some((rule, identity.captures(&rule.who)?)));
        let (rule, captures) = found.ok_or_else(|| Denial::Stranger(identity.to_string()))?;
        let reach = AdminReach {
            roles: rule.roles.clone(),
            groups: rule.groups.iter().map(|template| template.expand(&captures)).collect(),
        };
        if reach.has(role) {
            Ok(reach)
        } else {
            Err(Denial::Role {
                identity: identity.to_string(),
                role,
            })
        }
    }
}

fn grants(templates: &[Template], captures: &Captures, text: &str) -> bool {
    templates.iter().any(|template| template.expand(captures).matches(text))
}

// === impl SecretReach ===

impl SecretReach {
    /// Returns true if the node is given the secret of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(name))
    }
}

// === impl AdminReach ===

impl AdminReach {
    /// Every role in every group, as if no rule restricted the admin API.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            roles: vec![Role::Administer],
            groups: Vec::new(),
        }
    }

    /// Returns true if the caller has a role, even if for some groups only.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Administer)
    }

    /// Checks that the caller has a role for a group.
    ///
    /// # Errors
    ///
    /// [`Denial`] that names the caller as `identity`.
    pub fn check(&self, identity: &str, role: Role, group: &str) -> Result<(), Denial> {
        if !self.has(role) {
            return Err(Denial::Role {
                identity: identity.to_owned(),
                role,
            });
        }
        if self.roles.contains(&Role::Administer) || self.groups.iter().any(|glob| glob.matches(group)) {
            return Ok(());
        }
        Err(Denial::RoleInGroup {
            identity: identity.to_owned(),
            role,
            group: group.to_owned(),
        })
    }
}

// === impl NodeEntry ===

impl NodeEntry {
    fn new(rule: &NodeRule, place: Place, config: &AccessConfig) -> Result<Self, RuleError> {
        let who = place.who([&rule.identity, &rule.dns, &rule.token, &rule.subject], config)?;
        Ok(Self {
            node_ids: place.some("node_id", &rule.node_id, &who)?,
            groups: place.some("groups", &rule.groups, &who)?,
            secrets: place.templates("secrets", &rule.secrets, &who)?,
            who,
        })
    }
}

// === impl AdminEntry ===

impl AdminEntry {
    fn new(rule: &AdminRule, place: Place, config: &AccessConfig) -> Result<Self, RuleError> {
        let who = place.who([&rule.identity, &rule.dns, &rule.token, &rule.subject], config)?;
        if rule.roles.is_empty() {
            return Err(place.nothing("roles"));
        }
        let in_groups = rule
            .roles
            .iter()
            .any(|role| matches!(role, Role::Publish | Role::ReadSecrets));
        if in_groups && rule.groups.0.is_empty() {
            return Err(RuleError::NoGroups(place.index));
        }
        Ok(Self {
            roles: rule.roles.clone(),
            groups: place.templates("groups", &rule.groups, &who)?,
            who,
        })
    }
}

// === impl Place ===

impl Place {
    fn who(self, given: [&Option<String>; 4], config: &AccessConfig) -> Result<Pattern, RuleError> {
        const KEYS: [(&str, Kind); 4] = [
            ("identity", Kind::Uri),
            ("dns", Kind::Dns),
            ("token", Kind::Token),
            ("subject", Kind::Subject),
        ];
        let Self { section, index } = self;
        let mut chosen = given
            .into_iter()
            .zip(KEYS)
            .filter_map(|(text, key)| Some((text.as_ref()?, key)));
        let (Some((text, (key, kind))), None) = (chosen.next(), chosen.next()) else {
            return Err(RuleError::Selector { section, index });
        };
        let needs = match kind {
            Kind::Token if config.tokens_file.is_none() => Some("tokens_file"),
            Kind::Subject if config.jwt.is_none() => Some("jwt"),
            Kind::Uri | Kind::Dns | Kind::Token | Kind::Subject => None,
        };
        if let Some(needs) = needs {
            return Err(RuleError::NoSource {
                section,
                index,
                selector: key,
                needs,
            });
        }
        Pattern::new(kind, text).map_err(|cause| self.wrong(key, text, cause))
    }

    fn templates(self, key: &'static str, texts: &OneOrMany, who: &Pattern) -> Result<Vec<Template>, RuleError> {
        let read = |text: &String| Template::new(text, who).map_err(|cause| self.wrong(key, text, cause));
        texts.0.iter().map(read).collect()
    }

    fn some(self, key: &'static str, texts: &OneOrMany, who: &Pattern) -> Result<Vec<Template>, RuleError> {
        if texts.0.is_empty() {
            return Err(self.nothing(key));
        }
        self.templates(key, texts, who)
    }

    const fn nothing(self, key: &'static str) -> RuleError {
        let Self { section, index } = self;
        RuleError::Nothing { section, index, key }
    }

    fn wrong(self, key: &'static str, text: &str, cause: PatternError) -> RuleError {
        RuleError::Pattern {
            section: self.section,
            index: self.index,
            key,
            text: text.to_owned(),
            cause,
        }
    }
}

#[cfg(test)]
mod tests;
