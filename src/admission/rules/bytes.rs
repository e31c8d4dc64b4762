//! Rules for bytes. Their values are never shown.

use regex::bytes::Regex;

use super::violation::{Violation, counted};
use crate::{
    admission::codes,
    proto::validate::{BytesRules, bytes_rules::WellKnown},
};

#[derive(Debug)]
pub(super) struct Bytes {
    rules: BytesRules,
    pattern: Option<Regex>,
}

// === impl Bytes ===

impl Bytes {
    pub(super) fn new(rules: BytesRules) -> Self {
        let pattern = rules.pattern.as_deref();
        Self {
            pattern: pattern.and_then(|pattern| Regex::new(&format!("^(?:{pattern})$")).ok()),
            rules,
        }
    }

    pub(super) fn check(&self, bytes: &[u8], report: &mut dyn FnMut(Violation)) {
        let rules = &self.rules;
        if rules.ignore_empty() && bytes.is_empty() {
            return;
        }
        let len = bytes.len() as u64;
        let mut tell = |code, rule: &str, demand: String| {
            let shown = format!("of {}", counted(len, "byte", "bytes"));
            report(Violation::new(code, format!("bytes.{rule}"), "value", demand).showing(shown));
        };
        let size = |demand: &str, limit| format!("must have {demand} {}", counted(limit, "byte", "bytes"));
        if let Some(exact) = rules.len.filter(|exact| len != *exact) {
            tell(codes::LENGTH, "len", size("exactly", exact));
        }
        if let Some(min) = rules.min_len.filter(|min| len < *min) {
            tell(codes::LENGTH, "min_len", size("at least", min));
        }
        if let Some(max) = rules.max_len.filter(|max| len > *max) {
            tell(codes::LENGTH, "max_len", size("at most", max));
        }
        for (rule, code, demand) in self.wrong_content(bytes) {
            tell(code, rule, demand.to_owned());
        }
    }

    fn wrong_content(&self, bytes: &[u8]) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let rules = &self.rules;
        let differs = |wanted: &Option<Vec<u8>>, fits: fn(&[u8], &[u8]) -> bool| {
            wanted.as_deref().is_some_and(|wanted| !fits(bytes, wanted))
        };
        let contains =
            |bytes: &[u8], part: &[u8]| part.is_empty() || bytes.windows(part.len()).any(|window| window == part);
        let listed = |list: &[Vec<u8>]| list.iter().any(|item| item == bytes);
        let is_address = match rules.well_known {
            Some(WellKnown::Ip(true)) => matches!(bytes.len(), 4 | 16),
            Some(WellKnown::Ipv4(true)) => bytes.len() == 4,
            Some(WellKnown::Ipv6(true)) => bytes.len() == 16,
            Some(WellKnown::Ip(false) | WellKnown::Ipv4(false) | WellKnown::Ipv6(false)) | None => true,
        };
        let matches = self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(bytes));
        [
            (
                differs(&rules.r#const, |bytes, wanted| bytes == wanted),
                "const",
                codes::CHOICE,
                "must be those of the rule",
            ),
            (
                !rules.r#in.is_empty() && !listed(&rules.r#in),
                "in",
                codes::CHOICE,
                "must be some of those of the rule",
            ),
            (
                listed(&rules.not_in),
                "not_in",
                codes::CHOICE,
                "must be none of those of the rule",
            ),
            (
                differs(&rules.prefix, <[u8]>::starts_with),
                "prefix",
                codes::PATTERN,
                "must begin as the rule says",
            ),
            (
                differs(&rules.suffix, <[u8]>::ends_with),
                "suffix",
                codes::PATTERN,
                "must end as the rule says",
            ),
            (
                differs(&rules.contains, contains),
                "contains",
                codes::PATTERN,
                "must contain what the rule says",
            ),
            (
                !matches,
                "pattern",
                codes::PATTERN,
                "must match the rule's regular expression",
            ),
            (
                !is_address,
                "ip",
                codes::FORMAT,
                "must be an IP address of 4 or 16 bytes, as the rule says",
            ),
        ]
        .into_iter()
        .filter_map(|(wrong, rule, code, demand)| wrong.then_some((rule, code, demand)))
    }
}
