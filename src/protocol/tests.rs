//! The session driven by hand, without a runtime or a clock.

mod delta;
mod fixture;
mod model;
mod ordering;
mod sotw;
