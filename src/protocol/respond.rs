//! Makes the contents of a response. `plan` finds the step to a newer snapshot, `resolve` finds the resources of
//! requested names, `draft` joins both by the rules of the variant, `split` divides a large response.
//!
//! This module knows no stream, no nonce and no order between types; the session does.

pub(super) mod client;
pub(super) mod draft;
pub(super) mod places;
pub(super) mod plan;
pub(super) mod resolve;
pub(super) mod split;
