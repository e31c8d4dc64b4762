//! `chancery serve`: runs the control plane until a signal ends it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::SystemTime,
};

use clap::Args;
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

use super::{
    exit::{Exit, Failure},
    logging,
};
use crate::{
    app::App,
    settings::{Layer, Settings},
    shutdown::Signals,
};

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// A YAML file with settings; flags and the environment win over it
    #[arg(long, env = "CHANCERY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the settings, print the resulting ones, and stop
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    layer: Layer,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let settings =
            Settings::load(self.layer, self.config.as_deref()).map_err(|error| Failure::usage(error.to_string()))?;
        if self.check_config {
            io::stdout().write_all(settings.to_yaml().as_bytes())?;
            return Ok(Exit::Ok);
        }
        logging::start(&settings.parts.log);
        check_clock(SystemTime::now())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        run_to_end(runtime, serve(settings))
    }
}

/// Fails before 1970: the headers of HTTP cannot have such a date, so every answer would fail.
fn check_clock(now: SystemTime) -> Result<(), Failure> {
    if now >= SystemTime::UNIX_EPOCH {
        return Ok(());
    }
    let now = prost_types::Timestamp { nanos: 0, ..now.into() };
    let message = format!("the clock of this machine says {now}, which is before 1970: set it, and start again");
    Err(Failure::new(Exit::Unavailable, message))
}

/// Runs until the future ends, and does not wait for blocking work: a publish or a read that the disk does not answer would
/// hold up the process beyond the grace period. Everything acknowledged is on the disk by then.
fn run_to_end<T>(runtime: Runtime, future: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(future);
    runtime.shutdown_background();
    ended
}

async fn serve(settings: Settings) -> Result<Exit, Failure> {
    info!(version = env!("CARGO_PKG_VERSION"), "starting");
    for line in settings.to_yaml().lines() {
        info!(target: "chancery::settings", "{line}");
    }
    let mut signals = Signals::install()?;
    let running = tokio::select! {
        started = App::start(settings) => started.map_err(|error| Failure::new(Exit::Unavailable, format!("{error:#}")))?,
        signal = signals.next() => {
            info!(signal, "stopped before it was started");
            return Ok(Exit::Ok);
        }
    };
    print_addresses(&running.addresses)?;
    let failed = tokio::select! {
        signal = signals.next() => {
            info!(signal, "shutting down; a second signal ends the process at once");
            false
        }
        () = running.failed() => true,
    };
    tokio::select! {
        complete = running.shutdown() => {
            if complete {
                info!("shut down");
            } else {
                warn!("the grace period is over: open streams and calls were cut");
            }
            if failed {
                let reason = "a task died that the process needs: the log says which; start it again";
                return Err(Failure::new(Exit::Unavailable, reason));
            }
            Ok(Exit::Ok)
        }
        signal = signals.next() => {
            error!(signal, "ended at once");
            Err(Failure::new(Exit::Unavailable, "a second signal ended the shutdown"))
        }
    }
}

/// Prints one line per address, for people and for scripts that chose port 0.
fn print_addresses(addresses: &crate::app::Addresses) -> io::Result<()> {
    let crate::app::Addresses {
        xds,
        admin,
        http,
        probe,
    } = addresses;
    let mut lines = format!("xds listening on {xds}\nadmin listening on {admin}\nhttp listening on {http}\n");
    if let Some(probe) = probe {
        lines.push_str(&format!("probe listening on {probe}\n"));
    }
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush());
    // A server outlives the reader of its first lines.
    printed.or_else(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Ok(())
        } else {
            Err(error)
        }
    })
}
#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_clock_before_1970_is_reported_at_the_start() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert!(check_clock(epoch).is_ok());
        let failure = check_clock(epoch - Duration::from_secs(1)).unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.to_string().contains("1969-12-31T23:59:59Z"), "{failure}");
    }

    #[test]
    fn the_end_waits_for_no_work_that_blocks() {
        let (release, held) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            let (begun, began) = mpsc::channel();
            run_to_end(runtime, async move {
                drop(tokio::task::spawn_blocking(move || {
                    begun.send(()).ok();
                    held.recv().ok();
                }));
                began.recv().unwrap();
            });
            ended.send(()).ok();
        });
        end.recv_timeout(Duration::from_secs(60)).expect("the end waits");
        release.send(()).expect("the work goes on");
    }
}
