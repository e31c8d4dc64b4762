//! The order of changes on one stream: nothing waits for what it does not need, and nothing is left to wait in vain.

mod missing;
mod on_demand;
mod places;
mod reconnects;
mod refusals;
mod stage;
mod superseded;
mod told;
mod warming;
