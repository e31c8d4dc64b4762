//! Rules for durations and timestamps, compared as nanoseconds. Rules that need a clock (`lt_now`, `gt_now`, `within`)
//! are not checked: admission has no clock, and Envoy's protos have no such rule.

use std::fmt;

use prost_reflect::DynamicMessage;

use super::number::{Bound, Number};
use crate::proto::validate::{DurationRules, TimestampRules};

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Span(i128);

/// A time in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Time(i128);

const NANOS: i128 = 1_000_000_000;

fn nanos(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * NANOS + i128::from(nanos)
}

/// The nanoseconds of a Duration or a Timestamp; both have the same two fields.
pub(super) fn nanos_of(message: &DynamicMessage) -> i128 {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64());
    let nanoseconds = message.get_field_by_number(2).and_then(|value| value.as_i32());
    nanos(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

// === impl Span ===

impl From<i128> for Span {
    fn from(nanos: i128) -> Self {
        Self(nanos)
    }
}

impl From<prost_types::Duration> for Span {
    fn from(duration: prost_types::Duration) -> Self {
        Self(nanos(duration.seconds, duration.nanos))
    }
}

impl fmt::Display for Span {
    /// Writes `1.5s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = ((self.0 / NANOS).abs(), (self.0 % NANOS).abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}s");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}s", fraction.trim_end_matches('0'))
    }
}

// === impl Time ===

impl From<i128> for Time {
    fn from(nanos: i128) -> Self {
        Self(nanos)
    }
}

impl From<prost_types::Timestamp> for Time {
    fn from(time: prost_types::Timestamp) -> Self {
        Self(nanos(time.seconds, time.nanos))
    }
}

impl fmt::Display for Time {
    /// Writes `2026-01-31T12:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.div_euclid(NANOS)).unwrap_or_default();
        let nanos = i32::try_from(self.0.rem_euclid(NANOS)).unwrap_or_default();
        prost_types::Timestamp { seconds, nanos }.fmt(f)
    }
}

// === impl Number ===

impl From<DurationRules> for Number<Span> {
    fn from(rules: DurationRules) -> Self {
        Self {
            name: "duration",
            constant: rules.r#const.map(Into::into),
            lower: Bound::of(rules.gt.map(Into::into), rules.gte.map(Into::into)),
            upper: Bound::of(rules.lt.map(Into::into), rules.lte.map(Into::into)),
            any_of: rules.r#in.into_iter().map(Into::into).collect(),
            none_of: rules.not_in.into_iter().map(Into::into).collect(),
            ignore_empty: false,
        }
    }
}

impl From<TimestampRules> for Number<Time> {
    fn from(rules: TimestampRules) -> Self {
        Self {
            name: "timestamp",
            constant: rules.r#const.map(Into::into),
            lower: Bound::of(rules.gt.map(Into::into), rules.gte.map(Into::into)),
            upper: Bound::of(rules.lt.map(Into::into), rules.lte.map(Into::into)),
            any_of: Vec::new(),
            none_of: Vec::new(),
            ignore_empty: false,
        }
    }
}
