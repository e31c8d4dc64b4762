//! The order of changes on one stream: each change waits only for what it needs, and no wait stays unanswered.

mod missing;
mod on_demand;
mod places;
mod reconnects;
mod refusals;
mod reported;
mod stage;
mod superseded;
mod warming;
