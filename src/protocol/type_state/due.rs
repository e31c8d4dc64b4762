//! Responses that are owed to the client whatever the goal is: answers, and resources to send again.

use std::collections::BTreeSet;

use crate::resource::ResourceName;

/// Everything owed of one type; most of the time nothing is.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Due {
    owed: Option<Box<Owed>>,
    retry: Option<Box<Retry>>,
}

/// The names and answers that are owed until a response takes them.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Owed {
    /// A response is owed even if it is empty (S-9, D-13).
    pub(in crate::protocol) answer: bool,
    /// Names to send, whatever was sent before: new names, and names requested again (W-6, D-4).
    pub(in crate::protocol) names: BTreeSet<ResourceName>,
    /// Every subscribed name is to be answered, and nothing was sent yet. One flag replaces all the names.
    pub(in crate::protocol) all_names: bool,
    /// Delta: globs whose members were requested; an empty glob is answered by its own name.
    pub(in crate::protocol) globs: BTreeSet<ResourceName>,
    /// Names to send because a parent changed (O-6, O-13). Later steps wait for them too (O-3).
    pub(in crate::protocol) children: BTreeSet<ResourceName>,
    /// Children of a changed parent are in the first response, which holds everything. One flag replaces their names.
    pub(in crate::protocol) children_at_first: bool,
}

/// Names that were refused together with a resource that has changed since: that one may have been at fault, and Envoy
/// stops at the first bad resource of most types. They are sent once more, on their own (D-15).
#[derive(Debug, Default)]
struct Retry {
    names: BTreeSet<ResourceName>,
    /// The names were too many for a client that refuses everything, and wait until it accepts a response.
    waits: bool,
}

// === impl Owed ===

impl Owed {
    /// Returns true if no name is to be looked up.
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

    /// No longer owes a response that may be empty.
    pub(in crate::protocol) fn forgive_answer(&mut self) {
        self.less(|owed| owed.answer = false);
    }

    pub(in crate::protocol) fn owe(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.more().names.extend(names);
        }
    }

    /// Owes every subscribed name at once; with `false`, no longer does.
    pub(in crate::protocol) fn owe_all_names(&mut self, all: bool) {
        if all {
            self.more().all_names = true;
        } else {
            self.less(|owed| owed.all_names = false);
        }
    }

    /// Returns true if every subscribed name is owed.
    pub(in crate::protocol) fn owes_all_names(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.all_names)
    }

    pub(in crate::protocol) fn owe_globs(&mut self, globs: Vec<ResourceName>) {
        if !globs.is_empty() {
            self.more().globs.extend(globs);
        }
    }

    /// Returns true if the name is to be sent, or sent once more.
    pub(in crate::protocol) fn owes_again(&self, name: &ResourceName) -> bool {
        self.owes_name(name) || self.retry.as_ref().is_some_and(|retry| retry.names.contains(name))
    }

    pub(in crate::protocol) fn owe_children(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.more().children.extend(names);
        }
    }

    /// With `some`, records that the first response holds children of a changed parent.
    pub(in crate::protocol) fn owe_children_at_first(&mut self, some: bool) {
        if some {
            self.more().children_at_first = true;
        }
    }

    /// Nothing is subscribed any more, so no children are owed with the first response.
    pub(in crate::protocol) fn forgive_children_at_first(&mut self) {
        self.less(|owed| owed.children_at_first = false);
    }

    pub(in crate::protocol) fn forget(&mut self, name: &ResourceName) {
        self.less(|owed| {
            owed.names.remove(name);
            owed.children.remove(name);
        });
    }

    /// Returns true if children of a changed parent are still to be sent.
    pub(in crate::protocol) fn owes_children(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.has_children())
    }

    /// Returns true if this child of a changed parent is still to be sent.
    pub(in crate::protocol) fn owes_child(&self, name: &ResourceName) -> bool {
        let owes = |owed: &Owed| owed.children_at_first || owed.children.contains(name);
        self.owed.as_deref().is_some_and(owes)
    }

    /// Returns true if the name was requested and not answered yet.
    pub(in crate::protocol) fn owes_name(&self, name: &ResourceName) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.names.contains(name))
    }

    /// Returns true if anything is owed, apart from suspects.
    pub(in crate::protocol) const fn owes_anything(&self) -> bool {
        self.owed.is_some()
    }

    #[must_use]
    pub(in crate::protocol) fn take(&mut self) -> Option<Box<Owed>> {
        self.owed.take()
    }

    /// Sends suspects once more; with `wait`, only after the client has accepted something.
    pub(in crate::protocol) fn retry(&mut self, names: impl IntoIterator<Item = ResourceName>, wait: bool) {
        let mut names = names.into_iter().peekable();
        if wait || names.peek().is_some() {
            let retry = self.retry.get_or_insert_default();
            retry.names.extend(names);
            retry.waits |= wait;
        }
    }

    pub(in crate::protocol) fn retries(&self) -> usize {
        self.retry.as_ref().map_or(0, |retry| retry.names.len())
    }

    /// Returns true if suspects may be sent as soon as nothing else is in flight.
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

    #[must_use]
    pub(in crate::protocol) fn take_retries(&mut self) -> BTreeSet<ResourceName> {
        self.retry.take().map_or_else(BTreeSet::new, |retry| retry.names)
    }

    /// Forgets a suspect that was sent.
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
