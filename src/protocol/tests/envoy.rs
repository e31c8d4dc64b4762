//! The session against clients that behave as Envoys do: scenarios of one theme each, and a model under random schedules.
//!
//! Everything here reaches the session through `link` alone.

mod away;
mod children;
mod first_answer;
mod link;
mod peer;
mod places;
mod refusals;
mod slow_cluster;
