//! The xDS protocol as pure state machines: requests and snapshots in, responses and outcomes out; time is an argument.
//!
//! The transport drives one [`Session`] per stream. Nothing here does I/O, reads a clock or draws a random number.

mod ack;
mod advance;
mod draft;
mod error;
mod features;
mod heartbeat;
mod missing;
mod nonce;
mod order;
mod outcome;
mod policy;
mod presented;
mod reconnect;
mod refused;
mod rehearsal;
mod request;
mod response;
mod send;
mod session;
mod sorted;
mod split;
mod standing;
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
    session::{Scope, Session},
    standing::{Awaited, Awaiting, Hold, Standing, Wait},
    subscription::{Edit, NamePool, Names, Selection, Subscription, Wildcard},
};

#[cfg(test)]
mod tests;
