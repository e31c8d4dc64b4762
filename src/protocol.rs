//! The xDS protocol as pure state machines: requests and snapshots go in, responses and outcomes come out.
//!
//! The transport drives one [`Session`] per stream. No I/O, no clock (time is an argument), no randomness here.

mod delivery;
mod error;
mod features;
mod holdings;
mod listing;
mod memory;
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
mod standing;
mod subscription;
mod type_state;

pub use self::{
    delivery::{Delivery, Variant},
    error::{ErrorKind, ProtocolError},
    features::Features,
    listing::{Listing, NameList, ReadNext},
    memory::Memory,
    nonce::Nonce,
    outcome::{Outcome, OutcomeReport},
    policies::Policies,
    policy::{Ordering, Policy, StreamLimits},
    poll::{Poll, PollAnswer, PollLimits, PollOutcome, PolledNames, Polling, Reply},
    rehearsal::{Message, RehearsedStream, rehearse},
    request::Request,
    response::{Contents, ResourceError, Response},
    session::{Scope, Session},
    standing::{Awaited, Awaiting, Hold, Standing, Wait},
    subscription::{
        Edit, Lists, Names, NamesFingerprint, NamesIter, Selection, Subscription, Unshared, WeakNames, Wildcard,
    },
};

#[cfg(test)]
mod tests;
