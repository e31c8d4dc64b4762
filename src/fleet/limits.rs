//! Bounds of what is kept of nodes.

use std::time::Duration;

/// Bounds of the books.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes remembered at once, connected or not. Connected ones are bounded by the streams that are let in; beyond this
    /// number the longest gone are forgotten first.
    pub nodes: usize,
    /// Bytes kept of a NACK's message: Envoy's are some hundred, a hostile client's are not.
    pub nack_message_bytes: usize,
    /// Clusters kept of a load report, the busiest: what a person looks at, not a time series.
    pub load_clusters: usize,
    /// The time that a node is remembered after its last stream ended.
    pub forget_after: Duration,
    /// The time that a response may go unanswered before it is named: longer than Envoy's `initial_fetch_timeout` of 15 s, for
    /// which a warming cluster withholds its ACK.
    pub unanswered_after: Duration,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 100_000,
            nack_message_bytes: 4096,
            load_clusters: 50,
            forget_after: Duration::from_secs(600),
            unanswered_after: Duration::from_secs(30),
        }
    }
}
