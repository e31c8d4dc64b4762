//! The xDS protocol as pure state machines: requests and snapshots in, responses and outcomes out; time is an argument.
//!
//! The transport drives one [`Session`] per stream. Nothing here does I/O, reads a clock or draws a random number.

mod ack;
mod error;
mod features;
mod nonce;
mod outcome;
mod policy;
mod presented;
mod rehearsal;
mod request;
mod respond;
mod response;
mod session;
mod sorted;
mod subscription;
mod type_state;

pub use self::{
    ack::{Ack, ListPrint},
    error::{ErrorKind, ProtocolError},
    features::Features,
    nonce::Nonce,
    outcome::{Delivery, Outcome, Variant},
    policy::{Ordering, Policy, StreamLimits},
    rehearsal::{Message, Part, rehearse},
    request::{DeltaRequest, SotwRequest},
    response::{Contents, ResourceError, Response},
    session::{Awaited, Awaiting, Hold, Memory, Scope, Session, Standing, Wait},
    subscription::{Edit, NamePool, Names, Selection, Subscription, Wildcard},
};

#[cfg(test)]
mod tests;
