//! The memory budget of the process: its size, the memory in use, and the answer to "may a newcomer be let in?".
//!
//! A task of `app` measures the memory in use and calls [`MemoryBudget::observe`]. Asking costs one atomic load.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The default budget, as a share of the control group's limit. The rest is for work that is under way.
const SHARE_OF_CGROUP: f64 = 0.8;

/// Newcomers are let in again below this share of the budget. The gap prevents flapping.
const BACK_BELOW: f64 = 0.95;

/// The directory of control groups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The memory budget of the process. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct MemoryBudget(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// In bytes; 0 for no budget.
    budget: u64,
    resident: AtomicU64,
    over: AtomicBool,
}

/// The change of state that a measurement made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryChange {
    /// Newcomers are refused from now on.
    Exceeded,
    /// Newcomers are let in again from now on.
    Regained,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget of so many bytes; `None` for no budget.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Self {
        Self(Arc::new(State {
            budget: bytes.unwrap_or(0),
            ..State::default()
        }))
    }

    /// The budget of this process: the setting, or else a share of its control group's memory limit.
    #[must_use]
    pub fn of_process(setting: Option<usize>) -> Self {
        let set = setting.map(|bytes| bytes as u64);
        let default = || limit_of_cgroup(Path::new("/proc/self/cgroup"), Path::new(CGROUPS)).map(share);
        Self::new(set.or_else(default))
    }

    /// The budget in bytes; `None` without a budget.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        (self.0.budget > 0).then_some(self.0.budget)
    }

    /// The bytes in use at the last measurement.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.0.resident.load(Ordering::Relaxed)
    }

    /// Returns true if newcomers are refused.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// Records the bytes in use and returns the change of state, if any.
    pub fn observe(&self, resident: u64) -> Option<MemoryChange> {
        self.0.resident.store(resident, Ordering::Relaxed);
        let budget = self.bytes()?;
        let was = self.is_exceeded();
        let is = if was {
            resident as f64 >= budget as f64 * BACK_BELOW
        } else {
            resident > budget
        };
        self.0.over.store(is, Ordering::Relaxed);
        match (was, is) {
            (false, true) => Some(MemoryChange::Exceeded),
            (true, false) => Some(MemoryChange::Regained),
            (true, true) | (false, false) => None,
        }
    }
}

fn share(limit: u64) -> u64 {
    (limit as f64 * SHARE_OF_CGROUP) as u64
}

/// The resident memory of this process in bytes; `None` if the system does not report it.
#[must_use]
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The lowest memory limit of the control groups around the process, version 1 or 2.
fn limit_of_cgroup(membership: &Path, root: &Path) -> Option<u64> {
    let membership = fs::read_to_string(membership).ok()?;
    let limits = membership.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
        let (Some(controllers), Some(path)) = (controllers, path) else {
            return Vec::new();
        };
        if controllers.is_empty() {
            limits_along(root, path, "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            limits_along(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            Vec::new()
        }
    });
    // Version 1 writes "no limit" as the largest possible number of pages.
    limits.filter(|limit| *limit > 0 && *limit < 1 << 62).min()
}

/// The limits of a control group and its ancestors. In a container the path is the host's: missing files are skipped.
fn limits_along(root: &Path, path: &str, file: &str) -> Vec<u64> {
    let below = Path::new(path.trim_start_matches('/'));
    let groups = below.ancestors().map(|group| root.join(group).join(file));
    let read = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
    groups.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_are_refused_above_the_budget_and_let_in_well_below_it() {
        let memory = MemoryBudget::new(Some(1000));
        for (resident, change, exceeded) in [
            (1000, None, false),
            (1001, Some(MemoryChange::Exceeded), true),
            (2000, None, true),
            (951, None, true),
            (949, Some(MemoryChange::Regained), false),
            (951, None, false),
        ] {
            assert_eq!(
                (memory.observe(resident), memory.is_exceeded()),
                (change, exceeded),
                "{resident}"
            );
        }
    }

    #[test]
    fn without_a_budget_nobody_is_refused() {
        let memory = MemoryBudget::new(None);
        assert_eq!(
            (memory.observe(u64::MAX), memory.is_exceeded(), memory.bytes()),
            (None, false, None)
        );
    }

    #[test]
    fn process_has_some_memory() {
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }

    /// The limit found with these files below the root.
    fn found(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let told = root.path().join("cgroup");
        fs::write(&told, membership).unwrap();
        for (file, content) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        limit_of_cgroup(&told, root.path())
    }

    #[test]
    fn limit_of_the_control_group_is_the_least_around_the_process() {
        assert_eq!(
            found("0::/a/b\n", &[("a/b/memory.max", "max\n"), ("a/memory.max", "500\n")]),
            Some(500)
        );
        assert_eq!(found("0::/\n", &[("memory.max", "700\n")]), Some(700));
        assert_eq!(found("0::/a\n", &[("a/memory.max", "max\n")]), None);
        assert_eq!(
            found(
                "5:cpu:/x\n4:memory:/x/y\n",
                &[
                    ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                    ("memory/x/y/memory.limit_in_bytes", "800\n")
                ]
            ),
            Some(800)
        );
        assert_eq!(
            found("4:memory:/not/here\n", &[("memory/memory.limit_in_bytes", "900\n")]),
            Some(900)
        );
        assert_eq!(found("", &[]), None);
    }
}
