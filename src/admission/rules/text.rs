//! Rules for strings.

use regex::Regex;

use super::{
    violation::{Violation, counted, quoted},
    well_known::WellKnown,
};
use crate::{admission::codes, proto::validate::StringRules};

#[derive(Debug)]
pub(super) struct Text {
    rules: StringRules,
    /// `rules.pattern`, which must match the whole string.
    pattern: Option<Regex>,
    well_known: Option<WellKnown>,
}

// === impl Text ===

impl Text {
    pub(super) fn new(rules: StringRules) -> Self {
        Self {
            pattern: rules.pattern.as_deref().and_then(whole),
            well_known: rules.well_known.and_then(|known| WellKnown::of(known, rules.strict())),
            rules,
        }
    }

    pub(super) fn check(&self, text: &str, report: &mut dyn FnMut(Violation)) {
        if self.rules.ignore_empty() && text.is_empty() {
            return;
        }
        self.check_choice(text, report);
        self.check_length(text, report);
        self.check_form(text, report);
    }

    fn check_choice(&self, text: &str, report: &mut dyn FnMut(Violation)) {
        let rules = &self.rules;
        let mut tell = |rule, demand| report(violation(codes::CHOICE, rule, demand).showing(quoted(text)));
        if let Some(constant) = rules.r#const.as_deref().filter(|constant| *constant != text) {
            tell("const", format!("must be {constant:?}"));
        }
        if !rules.r#in.is_empty() && !rules.r#in.iter().any(|allowed| allowed == text) {
            tell("in", format!("must be one of {}", quoted_list(&rules.r#in)));
        }
        if rules.not_in.iter().any(|forbidden| forbidden == text) {
            tell("not_in", format!("must be none of {}", quoted_list(&rules.not_in)));
        }
    }

    fn check_length(&self, text: &str, report: &mut dyn FnMut(Violation)) {
        let rules = &self.rules;
        // A character takes at most four bytes, so the length in bytes decides for most strings.
        let bytes = text.len() as u64;
        let characters = || text.chars().count() as u64;
        let mut tell = |rule, demand: &str, limit, is, one, many| {
            let shown = format!("of {}", counted(is, one, many));
            let demand = format!("must have {demand} {}", counted(limit, one, many));
            let shown = if is == 0 { "\"\"".to_owned() } else { shown };
            report(violation(codes::LENGTH, rule, demand).showing(shown));
        };
        let (character, chars) = ("character", "characters");
        if let Some(len) = rules.len.filter(|len| characters() != *len) {
            tell("len", "exactly", len, characters(), character, chars);
        }
        if let Some(min) = rules.min_len.filter(|min| bytes < min * 4 && characters() < *min) {
            tell("min_len", "at least", min, characters(), character, chars);
        }
        if let Some(max) = rules.max_len.filter(|max| bytes > *max && characters() > *max) {
            tell("max_len", "at most", max, characters(), character, chars);
        }
        if let Some(len) = rules.len_bytes.filter(|len| bytes != *len) {
            tell("len_bytes", "exactly", len, bytes, "byte", "bytes");
        }
        if let Some(min) = rules.min_bytes.filter(|min| bytes < *min) {
            tell("min_bytes", "at least", min, bytes, "byte", "bytes");
        }
        if let Some(max) = rules.max_bytes.filter(|max| bytes > *max) {
            tell("max_bytes", "at most", max, bytes, "byte", "bytes");
        }
    }

    fn check_form(&self, text: &str, report: &mut dyn FnMut(Violation)) {
        let rules = &self.rules;
        let mut tell = |code, rule, demand| report(violation(code, rule, demand).showing(quoted(text)));
        if let Some(prefix) = rules.prefix.as_deref().filter(|prefix| !text.starts_with(prefix)) {
            tell(codes::PATTERN, "prefix", format!("must begin with {prefix:?}"));
        }
        if let Some(suffix) = rules.suffix.as_deref().filter(|suffix| !text.ends_with(suffix)) {
            tell(codes::PATTERN, "suffix", format!("must end with {suffix:?}"));
        }
        if let Some(part) = rules.contains.as_deref().filter(|part| !text.contains(part)) {
            tell(codes::PATTERN, "contains", format!("must contain {part:?}"));
        }
        if let Some(part) = rules.not_contains.as_deref().filter(|part| text.contains(part)) {
            tell(codes::PATTERN, "not_contains", format!("must not contain {part:?}"));
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let pattern = rules.pattern.as_deref().unwrap_or_else(|| pattern.as_str());
            tell(
                codes::PATTERN,
                "pattern",
                format!("must match the regular expression {pattern}"),
            );
        }
        if let Some(known) = self.well_known.filter(|known| !known.fits(text)) {
            tell(codes::FORMAT, known.rule(), format!("must be {}", known.describe()));
        }
    }
}

fn violation(code: &'static str, rule: &str, demand: String) -> Violation {
    Violation::new(code, format!("string.{rule}"), "value", demand)
}

fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    texts.join(", ")
}

/// The expression for a whole string: Envoy uses RE2's full match.
fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}
