//! Who comes, and whether they may: verifies what is shown, and asks the rules of the moment. `transport`, `admin` and `http` ask
//! here, `app` reloads the rules.
//!
//! The decisions themselves are those of `access`; here are the clock, the files, the counters and the audit log.

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

/// Verifies who comes and asks the rules. Clones are one and the same.
#[derive(Clone)]
pub struct Authority {
    shared: Arc<Shared>,
}

struct Shared {
    rules: RwLock<Arc<Rules>>,
    /// Counts the rules: whoever was let in under others is looked at again.
    generation: AtomicU64,
    verified: Verified,
    views: Views,
    audit: AuditLog,
    metrics: AccessMetrics,
}

/// Somebody at the edge of the process: from where, and who, as far as it was verified.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The port they came to.
    pub port: PortLabel,
    /// Their address.
    pub from: Arc<str>,
    /// Who they are; `None` for nobody in particular.
    pub identity: Option<Arc<Identity>>,
}

/// What tells what one node sees from what another sees: its group, and its secrets.
pub type Sight = (NodeGroup, SecretReach);

/// What somebody comes for, and so which rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be a node.
    Node,
    /// To see or change something.
    Call,
}

/// A node that was let in, to be looked at again.
#[derive(Clone, Debug)]
pub struct Admitted {
    visitor: Visitor,
    node: NodeId,
    group: NodeGroup,
    /// What it may see; `None` where no rule restricts anybody.
    reach: Option<NodeReach>,
    generation: u64,
}

/// Secrets a node may not have that are named in the log of one request, or of one stream: it may ask for any number of names.
pub const NOTED: usize = 256;

/// Why a node that was let in may no longer stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dismissal {
    /// It may not be this node any more.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// It may still be this node, but has other secrets.
    #[error("what this node may have has changed: reconnect")]
    Changed,
}

// === impl Authority ===

impl Authority {
    /// Decides by these rules, and writes what it decides to `audit` and `metrics`. Hashes are checked on `tracker`.
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

    /// Lets everybody do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(
            Rules::default(),
            AuditLog::off(),
            AccessMetrics::default(),
            TaskTracker::new(),
        )
    }

    /// Decides by other rules from here on; `false` where they are the same. Whoever was let in is to be woken after this.
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

    /// Counts the rules of which this decides by the newest.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Who comes over a connection, with what an `authorization` header shows. What is shown and not taken is no "nobody": it is
    /// refused, counted and audited.
    ///
    /// # Errors
    ///
    /// [`Unverified`] says why it is not taken.
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
        // Where no rule asks who somebody is, what they show is not looked at.
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

    /// Lets somebody be a node of a group, or refuses it, counted and audited.
    ///
    /// # Errors
    ///
    /// [`Denial`] says why not.
    pub fn admit(&self, visitor: &Visitor, node: &NodeId, group: &NodeGroup, action: &str) -> Result<Admitted, Denial> {
        // Before the rules: where they change in between, the node is looked at once more.
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

    /// Looks at a node again that was let in: its credentials may have expired, and the rules may be others.
    ///
    /// # Errors
    ///
    /// [`Dismissal`] where it may not stay.
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

    /// What a caller of the admin API may do, or why it may not do this.
    ///
    /// # Errors
    ///
    /// [`Denial`] says why not.
    pub fn caller(&self, visitor: &Visitor, right: Right) -> Result<AdminReach, Denial> {
        let rules = self.rules();
        let identity = visitor.identity.as_deref();
        if rules.policy.restricts_admin() && !rules.holds(identity, SystemTime::now()) {
            return Err(Denial::Expired);
        }
        rules.policy.caller(identity, right)
    }

    /// What a node of `admitted` sees of a snapshot: all of it, but for secrets that it may not have. Nodes with the same secrets
    /// are given one and the same.
    #[must_use]
    pub fn view(&self, snapshot: Arc<Snapshot>, admitted: &Admitted) -> Arc<Snapshot> {
        match &admitted.reach {
            None => snapshot,
            Some(reach) => self.shared.views.of(snapshot, &admitted.group, &reach.secrets),
        }
    }

    /// Whether it matters who calls the admin API.
    #[must_use]
    pub fn restricts_admin(&self) -> bool {
        self.rules().policy.restricts_admin()
    }

    /// Notes the secrets among these names that a node asks for and may not have; whether they exist makes no difference. Of many
    /// in one request the first [`NOTED`] are named, and the rest is counted.
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

    /// Counts, logs and audits a refusal.
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

    /// Audits something that was done, or not.
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

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &AccessMetrics {
        &self.shared.metrics
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.shared.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs what the rules leave open.
    pub fn warn_of_gaps(&self) {
        let rules = self.rules();
        if rules.policy.restricts_nodes() && !rules.policy.restricts_admin() {
            warn!("access.nodes is set and access.admin is not: whoever reaches the admin port may do everything");
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
    /// Who it is, in one name; empty for nobody in particular.
    #[must_use]
    pub fn name(&self) -> String {
        self.identity.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether a caller has a role for a group.
    ///
    /// # Errors
    ///
    /// [`Denial`] says why not.
    pub fn check(&self, reach: &AdminReach, role: Role, group: &str) -> Result<(), Denial> {
        reach.check(&self.name(), role, group)
    }
}

// === impl Admitted ===

impl Admitted {
    /// The rules that it was let in by.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether what it sees is restricted.
    #[must_use]
    pub const fn is_restricted(&self) -> bool {
        self.reach.is_some()
    }

    /// What it sees; `None` where no rule restricts anybody.
    #[must_use]
    pub fn sight(&self) -> Option<Sight> {
        let reach = self.reach.as_ref()?;
        Some((self.group.clone(), reach.secrets.clone()))
    }

    /// When it is to be looked at again, if ever.
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
