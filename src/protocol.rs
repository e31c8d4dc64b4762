//! The xDS protocol as pure state machines: requests and snapshots in, responses and outcomes out; time is an argument.
//!
//! The transport drives one [`Session`] per stream. Nothing here does I/O, reads a clock or draws a random number.

mod outcome;

pub use self::outcome::{Delivery, Nonce, Outcome, Variant};
