//! Sessions driven by hand, without a runtime or a clock.

mod delta;
mod envoy;
mod errors;
mod fixture;
mod garbage;
mod model;
mod on_demand;
mod ordering;
mod reconnect;
mod rehearsal;
mod sotw;
mod split;
mod strangers;
mod ttl;
mod xdstp;
