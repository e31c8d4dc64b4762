//! The kernel's data about a process: CPU time, memory, threads; and the binding of threads to cores.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// Another process, observed through `/proc` and its CPU clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pid: Pid,
    clock: ClockId,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Proportional set size: the process's own pages, and its share of shared pages.
    pub(crate) pss: u64,
    /// The highest resident size since the last `reset_peak`.
    pub(crate) peak: u64,
}

// === impl Watched ===

impl Watched {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let pid = Pid::from_raw(i32::try_from(pid)?);
        let clock = clock_getcpuclockid(pid).context("the process has no CPU clock")?;
        Ok(Self { pid, clock })
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// CPU time of all threads so far, including those that have ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(clock_gettime(self.clock).context("the process has ended")?.into())
    }

    /// Returns true if no thread of the process runs or is runnable; on a busy machine a thread may be runnable for long.
    pub(crate) fn sleeps(&self) -> Result<bool> {
        for thread in fs::read_dir(self.file("task")).context("its threads cannot be listed")? {
            // A thread that ended meanwhile does not run.
            let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            if state == Some('R') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Ok(Memory {
            pss: self.field("smaps_rollup", "Pss:")? * 1024,
            peak: self.field("status", "VmHWM:")? * 1024,
        })
    }

    /// Begins a new peak. Without permission the peak stays that of the process's whole life.
    pub(crate) fn reset_peak(&self) {
        fs::write(self.file("clear_refs"), "5").ok();
    }

    pub(crate) fn threads(&self) -> Result<u64> {
        self.field("status", "Threads:")
    }

    /// Number of open file descriptors, including connections.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.file("fd"))
            .context("its open files cannot be listed")?
            .count())
    }

    fn file(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    fn field(&self, file: &str, field: &str) -> Result<u64> {
        let path = self.file(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        text.lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("{} has no {field}", path.display()))
    }
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}

/// The cores on which this process may run, lowest first.
pub(crate) fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&core| set.is_set(core).unwrap_or(false))
        .collect()
}

/// Binds this thread and its later children to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on core {core} alone"))
}

/// Raises the limit of open files to its maximum, since each side of a connection needs one. Returns the limit.
pub(crate) fn raise_file_limit() -> u64 {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    hard
}
