//! Sessions against clients that behave like Envoys: scenarios of one theme each, and a model under random schedules.
//!
//! These tests reach the session only through `link`.

mod away;
mod checks;
mod children;
mod client;
mod first_answer;
mod link;
mod peer;
mod places;
mod refusals;
mod schedule;
mod slow_cluster;
mod world;

use proptest::{prelude::*, test_runner::TestCaseError};

use super::model::cases;
use crate::protocol::Variant;

fn run(variant: Variant, schedule: schedule::Schedule) -> Result<(), TestCaseError> {
    world::run(variant, schedule).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn sotw_envoy_is_never_let_down(schedule in schedule::schedules()) {
        run(Variant::Sotw, schedule)?;
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn delta_envoy_is_never_let_down(schedule in schedule::schedules()) {
        run(Variant::Delta, schedule)?;
    }
}
