//! One violation of one rule, in words, with or without the value.

use std::fmt;

use crate::admission::{codes, sensitive};

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::admission) struct Violation {
    pub(in crate::admission) code: &'static str,
    /// The rule by its name in validate.proto, as `uint32.lte` or `repeated.items.string.min_len`.
    rule: String,
    /// What it is about: `value`, `list`.
    subject: &'static str,
    /// The value, or its size, behind the subject; empty where it is not to be seen.
    shown: String,
    /// `must be at most 65535`.
    demand: String,
}

/// Characters of a value that are shown.
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

    /// A field that must be given and is not.
    pub(super) fn missing(rule: &str) -> Self {
        Self::new(codes::REQUIRED, rule, "value", "is required and not given")
    }

    /// With what the value is.
    pub(super) fn showing(mut self, value: impl fmt::Display) -> Self {
        self.shown = format!(" {value}");
        self
    }

    /// Without what the value is.
    pub(super) fn hide(&mut self) {
        self.shown.clear();
    }

    /// By a rule inside of a rule: that of a list's items, or of a map's keys.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.rule.insert_str(0, outer);
        self
    }
}

impl fmt::Display for Violation {
    /// `value 70000 must be at most 65535 (validate.rules uint32.lte)`
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

/// A text in quotes, its end left out where it is long. A private key is not shown, whatever field it was put in.
pub(super) fn quoted(text: &str) -> String {
    if sensitive::is_secret_text(text) {
        return sensitive::REDACTED.to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Values in a row, as a rule lists them.
pub(super) fn listed<T: fmt::Display>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}

/// `1 item`, `2 items`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    let unit = if count == 1 { one } else { many };
    format!("{count} {unit}")
}
