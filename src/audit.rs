//! The audit log: who did what, from where, and whether it was allowed. One JSON object a line, each chained to the line before
//! by a hash, so that a line that was changed or taken out shows.
//!
//! `authority` writes it, `chancery audit verify` checks it. Time is an argument.

mod chain;
mod log;

pub use self::{
    chain::{Break, Chain, Event, verify},
    log::{AuditError, AuditLog, AuditSettings, files},
};
