//! What is owed to the client whatever the goal is: answers, and what is to be sent again.

use std::collections::BTreeSet;

use crate::resource::ResourceName;

/// What is owed of one type.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Due {
    /// A response is owed even if it is empty (S-9, D-13).
    answer: bool,
    /// Names to send whatever was sent: new, or asked for again (W-6, D-4).
    names: BTreeSet<ResourceName>,
    /// Every subscribed name is to be answered, and nothing was sent yet: said once instead of name by name.
    all_names: bool,
    /// Delta: globs whose members were asked for; an empty one is answered by its own name.
    globs: BTreeSet<ResourceName>,
    /// Names to send because a parent changed (O-6, O-13): what comes after waits for them too (O-3).
    children: BTreeSet<ResourceName>,
    /// The first response, which holds all that is subscribed, holds children of a changed parent: said once instead of
    /// name by name.
    children_at_first: bool,
    /// Names that were refused together with something that has changed since: it may have been the other's fault, and
    /// Envoy stops at the first bad resource of most types. Sent once more, on their own (D-15).
    retry: BTreeSet<ResourceName>,
    /// They were too many for a client that refuses everything, and wait until it accepts something.
    retry_waits: bool,
}

/// What was owed, taken to be answered.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Owed {
    pub(in crate::protocol) answer: bool,
    pub(in crate::protocol) names: BTreeSet<ResourceName>,
    pub(in crate::protocol) all_names: bool,
    pub(in crate::protocol) globs: BTreeSet<ResourceName>,
    pub(in crate::protocol) children: BTreeSet<ResourceName>,
    pub(in crate::protocol) children_at_first: bool,
}

// === impl Owed ===

impl Owed {
    /// Whether nothing is to be looked up.
    pub(in crate::protocol) fn is_nothing(&self) -> bool {
        !self.all_names && self.names.is_empty() && self.globs.is_empty() && self.children.is_empty()
    }
}

// === impl Due ===

impl Due {
    /// Owes a response, even an empty one.
    pub(in crate::protocol) fn owe_answer(&mut self) {
        self.answer = true;
    }

    /// Owes no response for its own sake any more.
    pub(in crate::protocol) fn forgive_answer(&mut self) {
        self.answer = false;
    }

    /// Owes these names.
    pub(in crate::protocol) fn owe(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        self.names.extend(names);
    }

    /// Owes every name of the subscription, or with `false` no longer all of them at once.
    pub(in crate::protocol) fn owe_all_names(&mut self, all: bool) {
        self.all_names = all;
    }

    /// Whether every name of the subscription is owed.
    pub(in crate::protocol) const fn owes_all_names(&self) -> bool {
        self.all_names
    }

    pub(in crate::protocol) fn owe_globs(&mut self, globs: Vec<ResourceName>) {
        self.globs.extend(globs);
    }

    /// Whether the name is to be sent, or sent once more.
    pub(in crate::protocol) fn owes_again(&self, name: &ResourceName) -> bool {
        self.names.contains(name) || self.retry.contains(name)
    }

    /// Owes these children of changed parents.
    pub(in crate::protocol) fn owe_children(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        self.children.extend(names);
    }

    /// The first response holds children of a changed parent, or none after all.
    pub(in crate::protocol) fn owe_children_at_first(&mut self, some: bool) {
        self.children_at_first |= some;
    }

    /// Nothing is asked for any more.
    pub(in crate::protocol) fn forgive_children_at_first(&mut self) {
        self.children_at_first = false;
    }

    /// The client no longer asks for the name.
    pub(in crate::protocol) fn forget(&mut self, name: &ResourceName) {
        self.names.remove(name);
        self.children.remove(name);
    }

    /// Whether children of a changed parent are still to be sent.
    pub(in crate::protocol) fn owes_children(&self) -> bool {
        self.children_at_first || !self.children.is_empty()
    }

    /// Whether this child of a changed parent is still to be sent.
    pub(in crate::protocol) fn owes_child(&self, name: &ResourceName) -> bool {
        self.children_at_first || self.children.contains(name)
    }

    /// Whether the name was asked for and not answered yet.
    pub(in crate::protocol) fn owes_name(&self, name: &ResourceName) -> bool {
        self.names.contains(name)
    }

    /// Whether something is owed, suspects apart.
    pub(in crate::protocol) fn owes_anything(&self) -> bool {
        self.answer || self.owes_children() || !self.names.is_empty() || !self.globs.is_empty() || self.all_names
    }

    /// Takes what is owed.
    #[must_use]
    pub(in crate::protocol) fn take(&mut self) -> Owed {
        Owed {
            answer: std::mem::take(&mut self.answer),
            names: std::mem::take(&mut self.names),
            all_names: std::mem::take(&mut self.all_names),
            globs: std::mem::take(&mut self.globs),
            children: std::mem::take(&mut self.children),
            children_at_first: std::mem::take(&mut self.children_at_first),
        }
    }

    /// Has suspects sent once more; where they `wait`, only once the client has accepted something.
    pub(in crate::protocol) fn retry(&mut self, names: impl IntoIterator<Item = ResourceName>, wait: bool) {
        self.retry.extend(names);
        self.retry_waits |= wait;
    }

    /// How many suspects there are.
    pub(in crate::protocol) fn retries(&self) -> usize {
        self.retry.len()
    }

    /// Whether suspects may be sent as soon as nothing else is under way.
    pub(in crate::protocol) fn may_retry(&self, refuses: bool) -> bool {
        !(self.retry.is_empty() || self.retry_waits && refuses)
    }

    /// The client accepted something: suspects wait no longer.
    pub(in crate::protocol) fn release_retries(&mut self) {
        self.retry_waits = false;
    }

    /// Takes the suspects.
    #[must_use]
    pub(in crate::protocol) fn take_retries(&mut self) -> BTreeSet<ResourceName> {
        self.retry_waits = false;
        std::mem::take(&mut self.retry)
    }

    /// The suspect was sent.
    pub(in crate::protocol) fn forget_retry(&mut self, name: &ResourceName) {
        self.retry.remove(name);
    }
}
