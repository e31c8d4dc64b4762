//! The audit log: who did what, from which address, and the decision. One JSON object a line, each chained to the
//! previous line by a hash, so that a changed or missing line shows.
//!
//! `authority` writes the log, `chancery audit verify` checks it. Time is an argument.

mod chain;
mod log;

pub use self::{
    chain::{Break, Chain, Event, verify},
    log::{AuditError, AuditLog, AuditSettings, files},
};
