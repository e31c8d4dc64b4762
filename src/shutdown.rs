//! The signals that end the process: the first starts a graceful shutdown, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal for a write beyond the file size limit (`ulimit -f`), by its number on Linux and macOS.
const SIGXFSZ: i32 = 25;

/// Listens for SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Never awaited: with a handler, a write beyond the limit fails like one on a full disk.
    _file_size: Signal,
}

// === impl Signals ===

impl Signals {
    /// Installs the handlers in place of the default actions.
    ///
    /// # Errors
    ///
    /// An error if the operating system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
