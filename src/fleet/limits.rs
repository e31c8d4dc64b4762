//! Limits of the records of nodes.

use std::time::Duration;

/// Limits of the records.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Remembered nodes, connected or not. Connected nodes are bounded by the limit on streams. Beyond this number, the
    /// nodes that left first are forgotten first.
    pub nodes: usize,
    /// Bytes kept of a NACK's message. Envoy's messages have some hundred; a hostile client's may have any number.
    pub nack_message_bytes: usize,
    /// Clusters kept of a load report, the busiest ones: a view for people, not a time series.
    pub load_clusters: usize,
    /// The time that a node is remembered after its last stream ended.
    pub forget_after: Duration,
    /// The time after which an unanswered response is reported. Longer than Envoy's `initial_fetch_timeout` of 15 s,
    /// for which a warming cluster withholds its ACK.
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
