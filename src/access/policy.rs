//! The rules, checked and compiled, and what they decide. The first rule whose identity matches decides alone: a narrow rule
//! before a wide one takes away.

use std::sync::Arc;

use super::{
    config::{AccessConfig, AdminRule, NodeRule, OneOrMany},
    identity::Identity,
    pattern::{Captures, Glob, Kind, Pattern, PatternError, Template},
    role::{Right, Role},
};
use crate::node::{NodeGroup, NodeId};

/// The rules of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    nodes: Option<Vec<NodeEntry>>,
    admin: Option<Vec<AdminEntry>>,
}

/// What a node may see of what its group is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReach {
    /// The secrets it is given.
    pub secrets: SecretReach,
}

/// The secrets that are given. Clones share what they hold; equal ones can share what is made by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretReach(Arc<[Glob]>);

/// What a caller of the admin API may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminReach {
    roles: Vec<Role>,
    groups: Vec<Glob>,
}

/// Why something is not allowed. What it says is for whoever was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Nobody showed who they are.
    #[error("no client certificate or bearer token was shown")]
    Anonymous,
    /// What was shown no longer counts.
    #[error("the client certificate or bearer token has expired or was revoked")]
    Expired,
    /// No rule is for this identity.
    #[error("no rule is for \"{0}\"")]
    Stranger(String),
    /// The rule lets it be other nodes.
    #[error("\"{identity}\" may not be node \"{node}\"")]
    Node {
        /// Who.
        identity: String,
        /// As which node.
        node: String,
    },
    /// The rule lets its nodes belong to other groups.
    #[error("\"{identity}\" may not be a node of group \"{group}\"")]
    Group {
        /// Who.
        identity: String,
        /// In which group.
        group: String,
    },
    /// It has not the role.
    #[error("\"{identity}\" does not have the role {}", role.name())]
    Role {
        /// Who.
        identity: String,
        /// What it would take.
        role: Role,
    },
    /// It has the role for other groups.
    #[error("\"{identity}\" does not have the role {} for group \"{group}\"", role.name())]
    RoleInGroup {
        /// Who.
        identity: String,
        /// What it would take.
        role: Role,
        /// Where.
        group: String,
    },
}

// === impl Denial ===

impl Denial {
    /// Credentials are missing or count no longer: others may be let in. Otherwise who asks is known, and may not.
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

/// A rule that cannot be used. The place is a path in the config file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The rule does not say who is meant, or says it twice.
    #[error("access.{section}[{index}]: exactly one of identity, dns, token and subject must say who is meant")]
    Selector {
        /// `nodes` or `admin`.
        section: &'static str,
        /// Which rule.
        index: usize,
    },
    /// A pattern or a template means nothing.
    #[error("access.{section}[{index}].{key}: {text:?}: {cause}")]
    Pattern {
        /// `nodes` or `admin`.
        section: &'static str,
        /// Which rule.
        index: usize,
        /// Which key of it.
        key: &'static str,
        /// As written.
        text: String,
        /// What is wrong.
        cause: PatternError,
    },
    /// A rule that lets its identities be no node, or do nothing.
    #[error("access.{section}[{index}].{key} is empty: the rule would let nobody in")]
    Nothing {
        /// `nodes` or `admin`.
        section: &'static str,
        /// Which rule.
        index: usize,
        /// Which key of it.
        key: &'static str,
    },
    /// Roles for no group.
    #[error("access.admin[{0}].groups is empty: publish and read-secrets are for groups, \"*\" is every group")]
    NoGroups(usize),
    /// A rule over tokens, and no tokens.
    #[error("access.{section}[{index}].{selector} needs access.{needs}")]
    NoSource {
        /// `nodes` or `admin`.
        section: &'static str,
        /// Which rule.
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

/// Where a rule is, for what is wrong with it.
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

    /// Whether it matters who a node is.
    #[must_use]
    pub const fn restricts_nodes(&self) -> bool {
        self.nodes.is_some()
    }

    /// Whether it matters who calls the admin API.
    #[must_use]
    pub const fn restricts_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Whether somebody may be a node of a group, and what it is given then; `None` where no rule restricts anybody.
    ///
    /// # Errors
    ///
    /// [`Denial`] says why not.
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

    /// What a caller may do, where it has the right that the call needs.
    ///
    /// # Errors
    ///
    /// [`Denial`] says why not.
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
    /// Whether a secret of this name is given.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(name))
    }
}

// === impl AdminReach ===

impl AdminReach {
    /// Where nothing is restricted.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            roles: vec![Role::Administer],
            groups: Vec::new(),
        }
    }

    /// Whether it has a role, be it for some groups only.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Administer)
    }

    /// Whether it has a role for a group.
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
