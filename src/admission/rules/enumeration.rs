//! Rules for enums.

use prost_reflect::EnumDescriptor;

use super::violation::Violation;
use crate::{admission::codes, proto::validate::EnumRules};

#[derive(Debug)]
pub(super) struct Enumeration {
    rules: EnumRules,
    descriptor: EnumDescriptor,
}

// === impl Enumeration ===

impl Enumeration {
    pub(super) const fn new(rules: EnumRules, descriptor: EnumDescriptor) -> Self {
        Self { rules, descriptor }
    }

    pub(super) fn check(&self, number: i32, report: &mut dyn FnMut(Violation)) {
        let rules = &self.rules;
        let mut tell = |code, rule: &str, demand: String| {
            let value = self.name(number);
            report(Violation::new(code, format!("enum.{rule}"), "value", demand).showing(value));
        };
        if let Some(constant) = rules.r#const.filter(|constant| *constant != number) {
            tell(codes::CHOICE, "const", format!("must be {}", self.name(constant)));
        }
        if rules.defined_only() && self.descriptor.get_value(number).is_none() {
            let demand = format!("must be a value that {} has", self.descriptor.full_name());
            tell(codes::UNDEFINED, "defined_only", demand);
        }
        if !rules.r#in.is_empty() && !rules.r#in.contains(&number) {
            tell(
                codes::CHOICE,
                "in",
                format!("must be one of {}", self.names(&rules.r#in)),
            );
        }
        if rules.not_in.contains(&number) {
            tell(
                codes::CHOICE,
                "not_in",
                format!("must be none of {}", self.names(&rules.not_in)),
            );
        }
    }

    fn name(&self, number: i32) -> String {
        let value = self.descriptor.get_value(number);
        value.map_or_else(|| number.to_string(), |value| value.name().to_owned())
    }

    fn names(&self, numbers: &[i32]) -> String {
        let names: Vec<String> = numbers.iter().map(|number| self.name(*number)).collect();
        names.join(", ")
    }
}
