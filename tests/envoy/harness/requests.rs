//! Requests at random moments through a listener, on new connections and on kept ones, until the test ends them.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Envoy, RUNTIME};
use crate::load::{Load, Results};

pub(crate) struct Requests {
    /// The node whose listener receives the requests.
    through: String,
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Requests {
    pub(crate) fn through(envoy: &Envoy, listener: &str) -> Self {
        let load = Load::new(envoy.address(listener).unwrap());
        let _in_runtime = RUNTIME.enter();
        Self {
            through: envoy.node.clone(),
            tasks: load.start(),
            load,
        }
    }

    /// Marks the start of a publish, after which requests are more frequent.
    pub(crate) fn note_publish(&self) {
        self.load.note_publish();
    }

    /// Asserts that every request was answered with 200.
    #[track_caller]
    pub(crate) fn expect_no_failure(self) {
        let (through, results) = (self.through.clone(), self.end());
        assert!(results.on_new > 0 && results.on_kept > 0, "{through}: no load");
        assert_eq!(results.failed(), 0, "{through}: {:?}", results.failures);
    }

    /// Stops the requests, and returns their results.
    pub(crate) fn end(self) -> Results {
        self.load.stop();
        RUNTIME.block_on(self.tasks.join_all());
        let results = self.load.results();
        println!(
            "{}: {} requests on new connections, {} on kept ones, {} cut, {} not 200, the slowest {:?}",
            self.through,
            results.on_new,
            results.on_kept,
            results.cut,
            results.failed(),
            results.slowest
        );
        results
    }
}
