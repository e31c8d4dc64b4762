//! Metrics of the process under their common names: CPU, memory, open files, start time, and the release.

use std::{
    fmt, fs,
    time::{Duration, SystemTime},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use super::Gauges;

/// Ticks per second of CPU time in `/proc`: 100 on every Linux architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the process's own metrics.
#[derive(Debug)]
pub(super) struct Process {
    version: &'static str,
    started: SystemTime,
}

// === impl Process ===

impl Process {
    pub(super) const fn new(version: &'static str, started: SystemTime) -> Self {
        Self { version, started }
    }
}

impl Collector for Process {
    /// Omits values that the system does not report.
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauges = Gauges::new(encoder);
        let built = [("version", self.version)];
        gauges.info("xds_build_info", "The release that runs; always 1", &built)?;
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = started.unwrap_or(Duration::ZERO).as_secs_f64();
        let seconds = Some(&Unit::Seconds);
        gauges.one(
            "process_start_time",
            "Start time of the process, in seconds since 1970",
            seconds,
            &started,
        )?;
        if let Some(cpu) = read("/proc/self/stat").as_deref().and_then(cpu_seconds) {
            gauges.total("process_cpu", "CPU time spent, user and system", seconds, cpu)?;
        }
        let status = read("/proc/self/status").unwrap_or_default();
        let bytes = Some(&Unit::Bytes);
        if let Some(resident) = kibibytes(&status, "VmRSS:") {
            gauges.one("process_resident_memory", "Memory in use", bytes, &resident)?;
        }
        if let Some(threads) = number(&status, "Threads:") {
            gauges.one("process_threads", "Threads", None, &threads)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of the descriptors reads the directory.
            gauges.count(
                "process_open_fds",
                "Open files and connections",
                open.count().saturating_sub(1),
            )?;
        }
        let limits = read("/proc/self/limits").unwrap_or_default();
        if let Some(most) = most_files(&limits) {
            gauges.one("process_max_fds", "Files and connections that may be open", None, &most)?;
        }
        Ok(())
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Fields 14 and 15. Field 2 is a name in brackets that may contain any character.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

fn number(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, field: &str) -> Option<u64> {
    number(status, field).map(|kibibytes| kibibytes * 1024)
}

/// The limit of open files; `u64::MAX` if there is none.
fn most_files(limits: &str) -> Option<u64> {
    let unlimited = limits.lines().any(|line| {
        let most = line.strip_prefix("Max open files");
        most.is_some_and(|most| most.trim_start().starts_with("unlimited"))
    });
    unlimited
        .then_some(u64::MAX)
        .or_else(|| number(limits, "Max open files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 99 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let status = "Name:\tx\nVmRSS:\t    20 kB\nThreads:\t3\n";
        assert_eq!(
            (kibibytes(status, "VmRSS:"), number(status, "Threads:")),
            (Some(20_480), Some(3))
        );
        let limits =
            "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096  files\n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!(
            most_files("Max open files  unlimited unlimited files\n"),
            Some(u64::MAX)
        );
        assert_eq!(cpu_seconds("7"), None);
    }
}
