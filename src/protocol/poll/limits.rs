//! Limits on what nodes that poll may ask for.

use std::time::Duration;

/// What is taken of nodes that poll, each limit with the reason for its default.
#[derive(Clone, Copy, Debug)]
pub struct PollLimits {
    /// Bytes of one poll: a node lists its extensions in a hundred thousand bytes.
    pub request_bytes: usize,
    /// How long the body of a poll may take to come.
    pub request_timeout: Duration,
    /// Names of one type that a node polls for, in all its polls: a new list costs as many.
    pub names: usize,
    /// Polls remembered at once, one for each node, type and list of names; beyond it new ones are refused.
    pub polls: usize,
    /// Bytes of all their names.
    pub remembered_bytes: usize,
    /// The share of both that one address may take.
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
