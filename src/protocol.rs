//! The xDS protocol as pure state machines: requests and snapshots in, responses and outcomes out; time is an argument.
//!
//! The transport drives one [`Session`] per stream. Nothing here does I/O, reads a clock or draws a random number.

mod error;
mod features;
mod listing;
mod nonce;
mod on_demand;
mod outcome;
mod policies;
mod policy;
mod poll;
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
    error::{ErrorKind, ProtocolError},
    features::Features,
    listing::{ListPrint, Listing, NameList, ReadNext},
    nonce::Nonce,
    outcome::{Delivery, Outcome, Variant},
    policies::Policies,
    policy::{Ordering, Policy, StreamLimits},
    poll::{Poll, PollAnswer, PollOutcome, PolledNames, Polling, Reply},
    rehearsal::{Message, Part, rehearse},
    request::Request,
    response::{Contents, ResourceError, Response},
    session::{Awaited, Awaiting, Hold, Memory, Scope, Session, Standing, Wait},
    subscription::{Edit, Lists, Names, NamesIter, NamesPrint, Selection, Subscription, Unshared, WeakNames, Wildcard},
};

#[cfg(test)]
mod tests;
