//! Verifies the credentials of clients and asks the current access rules. `transport`, `admin` and `http` call
//! [`Authority`]; `app` reloads the rules.
//!
//! `access` decides; this module adds the clock, the files, the counters and the audit log.

mod load;
mod unverified;
mod verified;
mod views;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio_util::task::TaskTracker;
use tracing::{error, warn};

pub use self::{
    load::{LoadError, Rules},
    unverified::Unverified,
};
use self::{verified::Verified, views::Views};
use crate::{
    access::{AdminReach, Bearer, Denial, Identity, NodeReach, Right, Role, SecretReach},
    audit::{AuditLog, Event},
    connection::{Connection, counted_as},
    metrics::{AccessMetrics, DenialLabel, PortLabel},
    node::{NodeGroup, NodeId},
    snapshot::Snapshot,
};

/// Verifies credentials and asks the current rules. Clones share their state.
#[derive(Clone)]
pub struct Authority {
    shared: Arc<Shared>,
}

struct Shared {
    rules: RwLock<Arc<Rules>>,
    /// The generation of the rules; a client that was let in under an older one is checked again.
    generation: AtomicU64,
    verified: Verified,
    views: Views,
    audit: AuditLog,
    metrics: AccessMetrics,
}

/// A client at the edge of the process: its address, and its identity as far as it was verified.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The port that the client connected to.
    pub port: PortLabel,
    /// The address of the client.
    pub from: Arc<str>,
    /// The verified identity; `None` for an anonymous client.
    pub identity: Option<Arc<Identity>>,
}

/// The key of a view: the group and the secrets that a node sees.
pub type Sight = (NodeGroup, SecretReach);

/// The purpose of a connection, which decides the rules that apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The client is a node that asks for resources: `access.nodes` applies.
    Node,
    /// The client calls the admin API: `access.admin` applies.
    Call,
}

/// A node that was let in, with the facts to check it again.
#[derive(Clone, Debug)]
pub struct Admitted {
    visitor: Visitor,
    node: NodeId,
    group: NodeGroup,
    /// The part of the snapshot that the node may see; `None` where no rule restricts nodes.
    reach: Option<NodeReach>,
    generation: u64,
}

/// Denied secrets of one request or stream that are logged by name: a node may ask for any number of names.
pub const NOTED: usize = 256;

/// The reason why a node that was let in may no longer stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dismissal {
    /// The rules no longer allow this node.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The rules still allow this node, but with other secrets.
    #[error("the permissions of this node have changed: reconnect")]
    Changed,
}

// === impl Authority ===

impl Authority {
    /// An authority with these rules that reports to `audit` and `metrics`. Hashes are checked on `tracker`.
    #[must_use]
    pub fn new(rules: Rules, audit: AuditLog, metrics: AccessMetrics, tracker: TaskTracker) -> Self {
        Self {
            shared: Arc::new(Shared {
                rules: RwLock::new(Arc::new(rules)),
                generation: AtomicU64::new(0),
                verified: Verified::new(tracker),
                views: Views::default(),
                audit,
                metrics,
            }),
        }
    }

    /// Makes an authority without rules, which allows everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(
            Rules::default(),
            AuditLog::off(),
            AccessMetrics::default(),
            TaskTracker::new(),
        )
    }

    /// Replaces the rules; returns `false` if they are the same. The caller then wakes all clients that were let in.
    pub fn replace(&self, rules: Rules) -> bool {
        let mut current = self.shared.rules.write().unwrap_or_else(PoisonError::into_inner);
        if **current == rules {
            return false;
        }
        *current = Arc::new(rules);
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.shared.views.clear();
        true
    }

    /// The generation of the rules.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Verifies a client's certificate and the value of its `authorization` header. A client whose credentials are not
    /// taken is never anonymous: it is refused, counted and audited.
    ///
    /// # Errors
    ///
    /// [`Unverified`] with the reason.
    pub async fn identify(
        &self,
        port: PortLabel,
        purpose: Purpose,
        from: &str,
        connection: Option<&Connection>,
        authorization: Option<&str>,
        action: &str,
    ) -> Result<Visitor, Unverified> {
        let visitor = |identity| Visitor {
            port,
            from: from.into(),
            identity,
        };
        match self.verify(purpose, connection, authorization).await {
            Ok(identity) => Ok(visitor(identity.map(Arc::new))),
            Err(reason) => {
                let event = Event {
                    action,
                    ..Event::default()
                };
                self.refused(&visitor(None), DenialLabel::Credential, &reason, event);
                Err(reason)
            }
        }
    }

    async fn verify(
        &self,
        purpose: Purpose,
        connection: Option<&Connection>,
        authorization: Option<&str>,
    ) -> Result<Option<Identity>, Unverified> {
        let (rules, now) = (self.rules(), SystemTime::now());
        let certificate = connection.and_then(|connection| connection.certificate.as_deref());
        if certificate.is_some_and(|certificate| certificate.not_after <= now) {
            return Err(Unverified::Certificate);
        }
        // Without rules for this purpose the header is not read.
        let asks = match purpose {
            Purpose::Node => rules.policy.restricts_nodes(),
            Purpose::Call => rules.policy.restricts_admin(),
        };
        let authorization = authorization.filter(|_| asks);
        let peer = connection.map(|connection| counted_as(connection.peer));
        let (mut token, mut jwt) = (None, None);
        match authorization.map(Bearer::parse).transpose()? {
            None => {}
            Some(Bearer::Token { name, secret }) => {
                token = Some(self.shared.verified.token(&rules, name, secret, peer, now).await?);
            }
            Some(Bearer::Jwt(text)) => {
                let verifier = rules.jwt.as_ref().ok_or(Unverified::Kind)?;
                jwt = Some(verifier.verify(text, now)?);
            }
        }
        Ok(Identity::of(certificate, token, jwt))
    }

    /// Lets a client be a node of a group, or counts and audits the refusal.
    ///
    /// # Errors
    ///
    /// [`Denial`] with the reason.
    pub fn admit(&self, visitor: &Visitor, node: &NodeId, group: &NodeGroup, action: &str) -> Result<Admitted, Denial> {
        // Read before the rules: if they change in between, the node is checked once more.
        let generation = self.generation();
        match self.decide(visitor, node, group) {
            Ok(reach) => Ok(Admitted {
                visitor: visitor.clone(),
                node: node.clone(),
                group: group.clone(),
                reach,
                generation,
            }),
            Err(denial) => {
                let event = Event {
                    action,
                    node: node.as_str(),
                    group: group.as_str(),
                    ..Event::default()
                };
                self.refused(visitor, (&denial).into(), &denial, event);
                Err(denial)
            }
        }
    }

    /// Checks a node again that was let in: its credentials may have expired, and the rules may have changed.
    ///
    /// # Errors
    ///
    /// [`Dismissal`] if the node may not stay.
    pub fn readmit(&self, admitted: &mut Admitted, action: &str) -> Result<(), Dismissal> {
        admitted.generation = self.generation();
        let reach = self.decide(&admitted.visitor, &admitted.node, &admitted.group);
        match reach {
            Ok(reach) if reach == admitted.reach => Ok(()),
            Ok(_) => Err(Dismissal::Changed),
            Err(denial) => {
                let event = Event {
                    action,
                    node: admitted.node.as_str(),
                    group: admitted.group.as_str(),
                    ..Event::default()
                };
                self.refused(&admitted.visitor, (&denial).into(), &denial, event);
                Err(denial.into())
            }
        }
    }

    fn decide(&self, visitor: &Visitor, node: &NodeId, group: &NodeGroup) -> Result<Option<NodeReach>, Denial> {
        let rules = self.rules();
        let identity = visitor.identity.as_deref();
        if rules.policy.restricts_nodes() && !rules.holds(identity, SystemTime::now()) {
            return Err(Denial::Expired);
        }
        rules.policy.node(identity, node, group)
    }

    /// The roles of a caller of the admin API that has this right.
    ///
    /// # Errors
    ///
    /// [`Denial`] with the reason.
    pub fn caller(&self, visitor: &Visitor, right: Right) -> Result<AdminReach, Denial> {
        let rules = self.rules();
        let identity = visitor.identity.as_deref();
        if rules.policy.restricts_admin() && !rules.holds(identity, SystemTime::now()) {
            return Err(Denial::Expired);
        }
        rules.policy.caller(identity, right)
    }

    /// The part of a snapshot that the node sees: everything but the secrets it may not have. Nodes with the same
    /// secrets share one view.
    #[must_use]
    pub fn view(&self, snapshot: Arc<Snapshot>, admitted: &Admitted) -> Arc<Snapshot> {
        match &admitted.reach {
            None => snapshot,
            Some(reach) => self.shared.views.of(snapshot, &admitted.group, &reach.secrets),
        }
    }

    /// Returns true if rules restrict callers of the admin API.
    #[must_use]
    pub fn restricts_admin(&self) -> bool {
        self.rules().policy.restricts_admin()
    }

    /// Audits the secrets among `names` that the node may not have, whether they exist or not. The first [`NOTED`] of
    /// one call are named, the others counted.
    pub fn note_secrets<'a>(&self, admitted: &Admitted, names: impl IntoIterator<Item = &'a str>, action: &str) {
        let Some(reach) = &admitted.reach else { return };
        let names = names.into_iter();
        let mut denied = names.filter(|name| *name != "*" && !reach.secrets.contains(name));
        let refuse = |resource: &str, reason: &dyn fmt::Display| {
            let event = Event {
                action,
                node: admitted.node.as_str(),
                group: admitted.group.as_str(),
                resource,
                ..Event::default()
            };
            self.refused(&admitted.visitor, DenialLabel::Secret, reason, event);
        };
        for name in denied.by_ref().take(NOTED) {
            refuse(name, &"the node may not have this secret");
        }
        let more = denied.count();
        if more > 0 {
            refuse(
                "",
                &format_args!("the node may not have {more} more secrets that it asks for at once"),
            );
        }
    }

    /// Counts and audits a refusal.
    pub fn refused(&self, visitor: &Visitor, label: DenialLabel, reason: &dyn fmt::Display, event: Event<'_>) {
        self.shared.metrics.denied(visitor.port, label);
        let reason = reason.to_string();
        self.audit(
            visitor,
            Event {
                allowed: false,
                reason: &reason,
                ..event
            },
        );
    }

    /// Audits an event.
    pub fn audit(&self, visitor: &Visitor, event: Event<'_>) {
        let who = visitor.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        let event = Event {
            who: &who,
            from: &visitor.from,
            ..event
        };
        if let Err(cause) = self.shared.audit.write(&event, SystemTime::now()) {
            self.shared.metrics.audit_failed();
            error!(%cause, action = event.action, who, "the audit log cannot be written");
        }
    }

    /// The counters of this authority.
    #[must_use]
    pub fn metrics(&self) -> &AccessMetrics {
        &self.shared.metrics
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.shared.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs a warning where `access.nodes` is set and `access.admin` is not.
    pub fn warn_of_gaps(&self) {
        let rules = self.rules();
        if rules.policy.restricts_nodes() && !rules.policy.restricts_admin() {
            warn!(
                "access.nodes is set and access.admin is not: every client that reaches the admin port may do everything"
            );
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

// === impl Visitor ===

impl Visitor {
    /// The identity as one name; empty for an anonymous client.
    #[must_use]
    pub fn name(&self) -> String {
        self.identity.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Checks that the caller has a role for a group.
    ///
    /// # Errors
    ///
    /// [`Denial`] with the reason.
    pub fn check(&self, reach: &AdminReach, role: Role, group: &str) -> Result<(), Denial> {
        reach.check(&self.name(), role, group)
    }
}

// === impl Admitted ===

impl Admitted {
    /// The generation of the rules that let the node in.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns true if rules restrict the secrets that the node sees.
    #[must_use]
    pub const fn is_restricted(&self) -> bool {
        self.reach.is_some()
    }

    /// The key of the node's view; `None` where no rule restricts nodes.
    #[must_use]
    pub fn sight(&self) -> Option<Sight> {
        let reach = self.reach.as_ref()?;
        Some((self.group.clone(), reach.secrets.clone()))
    }

    /// The time at which the node must be checked again, if any.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        let identity = self.visitor.identity.as_ref().filter(|_| self.reach.is_some())?;
        identity.expires()
    }
}

// === impl Denial ===

impl From<&Denial> for DenialLabel {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::Anonymous => Self::Anonymous,
            Denial::Expired => Self::Expired,
            Denial::Stranger(_) => Self::Stranger,
            Denial::Node { .. } => Self::Node,
            Denial::Group { .. } => Self::Group,
            Denial::Role { .. } | Denial::RoleInGroup { .. } => Self::Role,
        }
    }
}

#[cfg(test)]
mod tests;
