//! The signals that end the process: the first asks it to end well, the second ends it at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A write beyond the limit on the size of files (`ulimit -f`), by its number on Linux and macOS.
const SIGXFSZ: i32 = 25;

/// Listens for SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Never asked: as it has a handler, such a write fails like one on a full disk, and does not end the process.
    _file_size: Signal,
}

// === impl Signals ===

impl Signals {
    /// Takes the signals over from their default action.
    ///
    /// # Errors
    ///
    /// Where the operating system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for the next signal and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
