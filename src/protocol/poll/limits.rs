//! Limits on the polls of nodes.

use std::time::Duration;

/// Limits on polls, each with the reason for its default.
#[derive(Clone, Copy, Debug)]
pub struct PollLimits {
    /// Bytes of one poll. A node lists its extensions in about 100 000 bytes.
    pub request_bytes: usize,
    /// The longest time until the body of a poll is complete.
    pub request_timeout: Duration,
    /// Names of one type in all polls of one node: a node with a new list repeats as many.
    pub names: usize,
    /// Polls remembered at once, one for each node, type and list of names. Beyond this limit new ones are refused.
    pub polls: usize,
    /// Bytes of the names in all remembered polls.
    pub remembered_bytes: usize,
    /// The share of `polls` and `remembered_bytes` that one address may take.
    pub peer_share: f64,
}

// === impl PollLimits ===

impl Default for PollLimits {
    fn default() -> Self {
        Self {
            request_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            names: 10_000,
            polls: 100_000,
            remembered_bytes: 64 * 1024 * 1024,
            peer_share: 0.5,
        }
    }
}
