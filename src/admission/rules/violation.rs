//! The violation of a rule, as a message with or without the value.

use std::fmt;

use crate::admission::{codes, sensitive};

/// The violation of a rule by a field.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::admission) struct Violation {
    pub(in crate::admission) code: &'static str,
    /// The name of the rule in validate.proto, as in `uint32.lte` or `repeated.items.string.min_len`.
    rule: String,
    /// The subject of the message, `value` or `list`.
    subject: &'static str,
    /// The value or its size, after the subject; empty if it must not be shown.
    shown: String,
    /// The demand of the rule, as in `must be at most 65535`.
    demand: String,
}

/// The number of characters of a value that are shown.
const SHOWN: usize = 80;

// === impl Violation ===

impl Violation {
    pub(super) fn new(
        code: &'static str,
        rule: impl Into<String>,
        subject: &'static str,
        demand: impl Into<String>,
    ) -> Self {
        Self {
            code,
            rule: rule.into(),
            subject,
            shown: String::new(),
            demand: demand.into(),
        }
    }

    /// The violation of a required field that is absent.
    pub(super) fn missing(rule: &str) -> Self {
        Self::new(codes::REQUIRED, rule, "value", "is required and not given")
    }

    /// Adds the value to the message.
    pub(super) fn showing(mut self, value: impl fmt::Display) -> Self {
        self.shown = format!(" {value}");
        self
    }

    /// Removes the value from the message.
    pub(super) fn hide(&mut self) {
        self.shown.clear();
    }

    /// Prefixes the rule with the outer one, that of a list's items or a map's keys.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.rule.insert_str(0, outer);
        self
    }
}

impl fmt::Display for Violation {
    /// Writes `value 70000 must be at most 65535 (validate.rules uint32.lte)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = if self.rule == "required" {
            "validate"
        } else {
            "validate.rules"
        };
        let separator = if self.rule == "required" { "." } else { " " };
        write!(
            f,
            "{}{} {} ({option}{separator}{})",
            self.subject, self.shown, self.demand, self.rule
        )
    }
}

/// A string in quotes, shortened if it is long. A private key is never shown, in any field.
pub(super) fn quoted(text: &str) -> String {
    if sensitive::is_secret_text(text) {
        return sensitive::REDACTED.to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The values of a rule, separated by commas.
pub(super) fn listed<T: fmt::Display>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}

/// Writes `1 item` or `2 items`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    let unit = if count == 1 { one } else { many };
    format!("{count} {unit}")
}
