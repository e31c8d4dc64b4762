//! From what a client has and is owed to the contents of a response: `plan` finds the step to a newer snapshot, `resolve`
//! what asked names stand for, `draft` puts both together by the rules of the variant, `split` divides what is too large.
//!
//! Nothing here knows of a stream, a nonce or the order between types; the session does.

pub(super) mod client;
pub(super) mod draft;
pub(super) mod places;
pub(super) mod plan;
pub(super) mod resolve;
pub(super) mod split;
