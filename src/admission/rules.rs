//! The rules in Envoy's protos (`validate.rules`, protoc-gen-validate), checked as Envoy checks them.
//!
//! The rules of a message are read from its descriptor once. The walk over a resource visits every message, and all
//! violations are reported; Envoy stops at the first.

mod bytes;
mod check;
mod compile;
mod compiled;
mod enumeration;
mod number;
mod text;
mod time;
mod violation;
mod well_known;

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _};

use self::compiled::MessageRules;
pub(super) use self::violation::Violation;
use super::{codes, path::Path, sensitive};
use crate::proto;

/// The rules of every message, each compiled at its first use.
static RULES: LazyLock<HashMap<String, OnceLock<MessageRules>>> = LazyLock::new(|| {
    let messages = proto::descriptors().all_messages();
    messages
        .map(|message| (message.full_name().to_owned(), OnceLock::new()))
        .collect()
});

fn rules_of(descriptor: &MessageDescriptor) -> Option<&'static MessageRules> {
    let rules = RULES.get(descriptor.full_name())?;
    Some(rules.get_or_init(|| compile::message(descriptor)))
}

/// Checks the rules during one walk over a resource.
#[derive(Debug, Default)]
pub(super) struct RuleCheck {
    /// The messages around the current place, innermost last.
    open: Vec<Open>,
}

/// A message on the way to the current place.
#[derive(Clone, Copy, Debug)]
struct Open {
    rules: Option<&'static MessageRules>,
    /// True inside a field that holds a secret.
    hidden: bool,
    /// True if the message names a credential, which its other fields hold.
    credential: bool,
    /// True inside a field or message that is exempt from checks.
    exempt: bool,
}

// === impl RuleCheck ===

impl RuleCheck {
    /// Enters a message, and reports each violation in it with its path.
    pub(super) fn enter(
        &mut self,
        message: &DynamicMessage,
        path: &Path<'_>,
        report: &mut dyn FnMut(&Path<'_>, &Violation),
    ) {
        let descriptor = message.descriptor();
        let rules = rules_of(&descriptor);
        let outer = self.open.last();
        let of_parent = |list: fn(&MessageRules) -> &Vec<String>| {
            let listed = outer.and_then(|outer| outer.rules).map(list);
            listed.is_some_and(|names| !names.is_empty() && path.field_name().is_some_and(|name| contains(names, name)))
        };
        let open = Open {
            rules,
            hidden: outer.is_some_and(|outer| outer.hidden || outer.credential) || of_parent(|rules| &rules.hidden),
            credential: sensitive::holds_credential(message, &descriptor),
            exempt: outer.is_some_and(|outer| outer.exempt)
                || rules.is_some_and(|rules| rules.exempt)
                || of_parent(|rules| &rules.skipped),
        };
        self.open.push(open);
        if let Some(rules) = rules.filter(|_| !open.exempt) {
            rules.check(message, path, open.hidden || open.credential, report);
        }
    }

    /// Leaves the message that was entered last.
    pub(super) fn leave(&mut self) {
        self.open.pop();
    }
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

// === impl MessageRules ===

impl MessageRules {
    fn check(
        &self,
        message: &DynamicMessage,
        path: &Path<'_>,
        hidden: bool,
        report: &mut dyn FnMut(&Path<'_>, &Violation),
    ) {
        for rules in &self.fields {
            let given = message.has_field(&rules.field);
            if !given && !rules.check_absent && rules.required.is_none() {
                continue;
            }
            let name = rules.field.name();
            let path = &path.field(name);
            if let (Some(rule), false) = (rules.required, given) {
                report(path, &Violation::missing(rule));
            } else if let Some(check) = rules.check.as_ref().filter(|_| given || rules.check_absent) {
                let hidden = hidden || contains(&self.hidden, name);
                let mut report = |path: &Path<'_>, mut violation: Violation| {
                    if hidden {
                        violation.hide();
                    }
                    report(path, &violation);
                };
                check.run(&message.get_field(&rules.field), path, &mut report);
            }
        }
        for required in &self.oneofs {
            if !required.members.iter().any(|member| message.has_field(member)) {
                let names = required.members.iter().map(FieldDescriptor::name);
                let violation = Violation::new(
                    codes::REQUIRED,
                    "required",
                    "oneof",
                    format!("needs one of {}", names.collect::<Vec<_>>().join(", ")),
                );
                report(&path.field(required.oneof.name()), &violation);
            }
        }
    }
}

#[cfg(test)]
mod tests;
