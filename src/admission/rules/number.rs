//! Rules for numbers, durations and times: ranges, constants, lists.

use std::fmt::Display;

use super::violation::{Violation, listed};
use crate::{admission::codes, proto::validate};

#[derive(Debug)]
pub(super) struct Number<T> {
    /// The name of the rules, as in `uint32`.
    pub(super) name: &'static str,
    pub(super) constant: Option<T>,
    pub(super) lower: Option<Bound<T>>,
    pub(super) upper: Option<Bound<T>>,
    pub(super) any_of: Vec<T>,
    pub(super) none_of: Vec<T>,
    pub(super) ignore_empty: bool,
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<T> {
    pub(super) at: T,
    /// True if the bound itself is allowed.
    pub(super) inclusive: bool,
}

// === impl Bound ===

impl<T> Bound<T> {
    /// The bound of an exclusive and an inclusive rule; the exclusive one wins, as in protoc-gen-validate.
    pub(super) fn of(exclusive: Option<T>, inclusive: Option<T>) -> Option<Self> {
        let bound = |inclusive| move |at| Self { at, inclusive };
        exclusive.map(bound(false)).or_else(|| inclusive.map(bound(true)))
    }
}

// === impl Number ===

impl<T: PartialOrd + Display + Copy + Default> Number<T> {
    pub(super) fn check(&self, value: T, report: &mut dyn FnMut(Violation)) {
        if self.ignore_empty && value == T::default() {
            return;
        }
        let name = self.name;
        let mut tell = |code, rule: &str, demand: String| {
            report(Violation::new(code, format!("{name}.{rule}"), "value", demand).showing(value));
        };
        if let Some(constant) = self.constant.filter(|constant| value != *constant) {
            tell(codes::CHOICE, "const", format!("must be {constant}"));
        }
        if !self.any_of.is_empty() && !self.any_of.contains(&value) {
            tell(codes::CHOICE, "in", format!("must be one of {}", listed(&self.any_of)));
        }
        if self.none_of.contains(&value) {
            tell(
                codes::CHOICE,
                "not_in",
                format!("must be none of {}", listed(&self.none_of)),
            );
        }
        if let Some((rule, demand)) = self.out_of_range(value) {
            tell(codes::RANGE, rule, demand);
        }
    }

    /// The violated rule and its demand. The comparisons are those of Envoy's C++, so NaN, which compares with nothing,
    /// is never out of range.
    fn out_of_range(&self, value: T) -> Option<(&'static str, String)> {
        let too_low = |bound: &Bound<T>| value < bound.at || (!bound.inclusive && value == bound.at);
        let too_high = |bound: &Bound<T>| value > bound.at || (!bound.inclusive && value == bound.at);
        let at_least = |bound: &Bound<T>| match bound.inclusive {
            true => ("gte", format!("at least {}", bound.at)),
            false => ("gt", format!("more than {}", bound.at)),
        };
        let at_most = |bound: &Bound<T>| match bound.inclusive {
            true => ("lte", format!("at most {}", bound.at)),
            false => ("lt", format!("less than {}", bound.at)),
        };
        match (&self.lower, &self.upper) {
            // Reversed bounds exclude the values between them.
            (Some(lower), Some(upper)) if lower.at >= upper.at => {
                let ((rule, least), (_, most)) = (at_least(lower), at_most(upper));
                (too_low(lower) && too_high(upper)).then(|| (rule, format!("must be {least}, or {most}")))
            }
            (lower, upper) => {
                let low = lower.as_ref().filter(|bound| too_low(bound)).map(at_least);
                let high = || upper.as_ref().filter(|bound| too_high(bound)).map(at_most);
                let (rule, demand) = low.or_else(high)?;
                Some((rule, format!("must be {demand}")))
            }
        }
    }
}

/// All types of number have the same rules in the same fields.
macro_rules! number_rules {
    ($($rules:ident, $name:literal, $number:ty;)*) => {$(
        impl From<validate::$rules> for Number<$number> {
            fn from(rules: validate::$rules) -> Self {
                Self {
                    name: $name,
                    constant: rules.r#const.map(Into::into),
                    lower: Bound::of(rules.gt.map(Into::into), rules.gte.map(Into::into)),
                    upper: Bound::of(rules.lt.map(Into::into), rules.lte.map(Into::into)),
                    any_of: rules.r#in.into_iter().map(Into::into).collect(),
                    none_of: rules.not_in.into_iter().map(Into::into).collect(),
                    ignore_empty: rules.ignore_empty.unwrap_or_default(),
                }
            }
        }
    )*};
}

#[allow(clippy::useless_conversion, reason = "some are widened, some are not")]
mod of_rules {
    use super::{Bound, Number, validate};

    number_rules! {
        FloatRules, "float", f32;
        DoubleRules, "double", f64;
        Int32Rules, "int32", i64;
        Int64Rules, "int64", i64;
        UInt32Rules, "uint32", u64;
        UInt64Rules, "uint64", u64;
        SInt32Rules, "sint32", i64;
        SInt64Rules, "sint64", i64;
        Fixed32Rules, "fixed32", u64;
        Fixed64Rules, "fixed64", u64;
        SFixed32Rules, "sfixed32", i64;
        SFixed64Rules, "sfixed64", i64;
    }
}
