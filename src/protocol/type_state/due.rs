//! What is owed to the client whatever the goal is: answers, and what is to be sent again.

use std::collections::BTreeSet;

use crate::resource::ResourceName;

/// What is owed of one type; most of the time nothing is.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Due {
    owed: Option<Box<Owed>>,
    retry: Option<Box<Retry>>,
}

/// What is owed until it is taken to be answered.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Owed {
    /// A response is owed even if it is empty (S-9, D-13).
    pub(in crate::protocol) answer: bool,
    /// Names to send whatever was sent: new, or asked for again (W-6, D-4).
    pub(in crate::protocol) names: BTreeSet<ResourceName>,
    /// Every subscribed name is to be answered, and nothing was sent yet: said once instead of name by name.
    pub(in crate::protocol) all_names: bool,
    /// Delta: globs whose members were asked for; an empty one is answered by its own name.
    pub(in crate::protocol) globs: BTreeSet<ResourceName>,
    /// Names to send because a parent changed (O-6, O-13): what comes after waits for them too (O-3).
    pub(in crate::protocol) children: BTreeSet<ResourceName>,
    /// The first response, which holds all that is subscribed, holds children of a changed parent: said once instead of
    /// name by name.
    pub(in crate::protocol) children_at_first: bool,
}

/// Names that were refused together with something that has changed since: it may have been the other's fault, and Envoy
/// stops at the first bad resource of most types. Sent once more, on their own (D-15).
#[derive(Debug, Default)]
struct Retry {
    names: BTreeSet<ResourceName>,
    /// They were too many for a client that refuses everything, and wait until it accepts something.
    waits: bool,
}

// === impl Owed ===

impl Owed {
    /// Whether nothing is to be looked up.
    pub(in crate::protocol) fn needs_no_look(&self) -> bool {
        !self.all_names && self.names.is_empty() && self.globs.is_empty() && self.children.is_empty()
    }

    fn has_children(&self) -> bool {
        self.children_at_first || !self.children.is_empty()
    }

    fn is_nothing(&self) -> bool {
        !self.answer && !self.children_at_first && self.needs_no_look()
    }
}

// === impl Due ===

impl Due {
    /// Owes a response, even an empty one.
    pub(in crate::protocol) fn owe_answer(&mut self) {
        self.more().answer = true;
    }

    /// Owes no response for its own sake any more.
    pub(in crate::protocol) fn forgive_answer(&mut self) {
        self.less(|owed| owed.answer = false);
    }

    /// Owes these names.
    pub(in crate::protocol) fn owe(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.more().names.extend(names);
        }
    }

    /// Owes every name of the subscription, or with `false` no longer all of them at once.
    pub(in crate::protocol) fn owe_all_names(&mut self, all: bool) {
        if all {
            self.more().all_names = true;
        } else {
            self.less(|owed| owed.all_names = false);
        }
    }

    /// Whether every name of the subscription is owed.
    pub(in crate::protocol) fn owes_all_names(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.all_names)
    }

    pub(in crate::protocol) fn owe_globs(&mut self, globs: Vec<ResourceName>) {
        if !globs.is_empty() {
            self.more().globs.extend(globs);
        }
    }

    /// Whether the name is to be sent, or sent once more.
    pub(in crate::protocol) fn owes_again(&self, name: &ResourceName) -> bool {
        self.owes_name(name) || self.retry.as_ref().is_some_and(|retry| retry.names.contains(name))
    }

    /// Owes these children of changed parents.
    pub(in crate::protocol) fn owe_children(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.more().children.extend(names);
        }
    }

    /// The first response holds children of a changed parent, or none after all.
    pub(in crate::protocol) fn owe_children_at_first(&mut self, some: bool) {
        if some {
            self.more().children_at_first = true;
        }
    }

    /// Nothing is asked for any more.
    pub(in crate::protocol) fn forgive_children_at_first(&mut self) {
        self.less(|owed| owed.children_at_first = false);
    }

    /// The client no longer asks for the name.
    pub(in crate::protocol) fn forget(&mut self, name: &ResourceName) {
        self.less(|owed| {
            owed.names.remove(name);
            owed.children.remove(name);
        });
    }

    /// Whether children of a changed parent are still to be sent.
    pub(in crate::protocol) fn owes_children(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.has_children())
    }

    /// Whether this child of a changed parent is still to be sent.
    pub(in crate::protocol) fn owes_child(&self, name: &ResourceName) -> bool {
        let owes = |owed: &Owed| owed.children_at_first || owed.children.contains(name);
        self.owed.as_deref().is_some_and(owes)
    }

    /// Whether the name was asked for and not answered yet.
    pub(in crate::protocol) fn owes_name(&self, name: &ResourceName) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.names.contains(name))
    }

    /// Whether something is owed, suspects apart.
    pub(in crate::protocol) const fn owes_anything(&self) -> bool {
        self.owed.is_some()
    }

    /// Takes what is owed.
    #[must_use]
    pub(in crate::protocol) fn take(&mut self) -> Option<Box<Owed>> {
        self.owed.take()
    }

    /// Has suspects sent once more; where they `wait`, only once the client has accepted something.
    pub(in crate::protocol) fn retry(&mut self, names: impl IntoIterator<Item = ResourceName>, wait: bool) {
        let mut names = names.into_iter().peekable();
        if wait || names.peek().is_some() {
            let retry = self.retry.get_or_insert_default();
            retry.names.extend(names);
            retry.waits |= wait;
        }
    }

    /// How many suspects there are.
    pub(in crate::protocol) fn retries(&self) -> usize {
        self.retry.as_ref().map_or(0, |retry| retry.names.len())
    }

    /// Whether suspects may be sent as soon as nothing else is under way.
    pub(in crate::protocol) fn may_retry(&self, refuses: bool) -> bool {
        let may = |retry: &Retry| !(retry.names.is_empty() || retry.waits && refuses);
        self.retry.as_deref().is_some_and(may)
    }

    /// The client accepted something: suspects wait no longer.
    pub(in crate::protocol) fn release_retries(&mut self) {
        if let Some(retry) = &mut self.retry {
            retry.waits = false;
        }
    }

    /// Takes the suspects.
    #[must_use]
    pub(in crate::protocol) fn take_retries(&mut self) -> BTreeSet<ResourceName> {
        self.retry.take().map_or_else(BTreeSet::new, |retry| retry.names)
    }

    /// The suspect was sent.
    pub(in crate::protocol) fn forget_retry(&mut self, name: &ResourceName) {
        if let Some(retry) = &mut self.retry {
            retry.names.remove(name);
        }
    }

    fn more(&mut self) -> &mut Owed {
        self.owed.get_or_insert_default()
    }

    fn less(&mut self, edit: impl FnOnce(&mut Owed)) {
        if let Some(owed) = &mut self.owed {
            edit(owed);
            if owed.is_nothing() {
                self.owed = None;
            }
        }
    }
}
