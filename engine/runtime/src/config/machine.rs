//! What the machine has: the CPUs this process may use, its memory, and whether io_uring works.
//!
//! Read once when a configuration is loaded. A container's limits count, not the host's size: the CPUs are those of
//! the process's affinity mask, the memory the least of the cgroup limits and what is installed.

use std::fs;
use std::path::Path;

use super::cores::{format_list, parse_list};
use super::keys::MEMORY_MIN;
use super::size::approximate_size;

/// The machine that a configuration is for. A plain value, so that tests can invent one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that the process may use, best first: one of each physical core, then their hyper-threads.
    pub cpus: Vec<usize>,
    /// How many physical cores those are.
    pub physical: usize,
    /// The memory that the process may use, in bytes, where the system says.
    pub memory_bytes: Option<u64>,
    /// Whether io_uring can be used.
    pub io_uring: bool,
}

impl Machine {
    /// Looks at this machine.
    pub fn detect() -> Self {
        let (cpus, physical) = best_first(allowed_cpus());
        Machine { cpus, physical, memory_bytes: memory(), io_uring: crate::probe_io_uring().is_ok() }
    }

    /// The best `count` CPUs, in ascending order.
    pub(super) fn pick(&self, count: usize) -> Vec<usize> {
        let mut picked: Vec<usize> = self.cpus.iter().copied().take(count).collect();
        picked.sort_unstable();
        picked
    }

    /// The most that the engine's memory limit may be here; never less than the least it may be anywhere.
    pub(super) fn memory_most(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| bytes.max(MEMORY_MIN))
    }

    /// Half of the memory, in whole megabytes: a limit that leaves as much for the rest of the system.
    pub(super) fn memory_half(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| ((bytes / 2) >> 20 << 20).max(MEMORY_MIN))
    }

    /// `2 cores (0-1)`.
    pub(super) fn cpus_sentence(&self) -> String {
        let plural = if self.cpus.len() == 1 { "core" } else { "cores" };
        format!("{} {plural} ({})", self.cpus.len(), format_list(&self.pick(self.cpus.len())))
    }

    /// `2 cores (0-1), 23.4 GB of memory, io_uring works`.
    pub(super) fn sentence(&self) -> String {
        let memory = self
            .memory_bytes
            .map_or("unknown memory".to_owned(), |bytes| format!("{} of memory", approximate_size(bytes)));
        let ring = if self.io_uring { "io_uring works" } else { "io_uring is not available" };
        format!("{}, {memory}, {ring}", self.cpus_sentence())
    }
}

/// The CPUs in the affinity mask of the process's first thread, which is read even when the calling thread is
/// itself pinned; counted from zero where `/proc` cannot be read.
fn allowed_cpus() -> Vec<usize> {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            parse_list(list.trim()).filter(|cpus| !cpus.is_empty())
        })
        .unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, usize::from)).collect())
}

/// Orders CPUs so that hyper-threads of a core already listed come last, and counts the physical cores.
fn best_first(cpus: Vec<usize>) -> (Vec<usize>, usize) {
    let core_of = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string())
    };
    let (mut first, mut siblings, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for cpu in cpus {
        let core = core_of(cpu);
        if seen.contains(&core) {
            siblings.push(cpu);
        } else {
            first.push(cpu);
            seen.push(core);
        }
    }
    let physical = first.len();
    first.append(&mut siblings);
    (first, physical)
}

/// The least of the memory installed and the limits of the cgroups above this process.
fn memory() -> Option<u64> {
    let installed = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        ["0", "", path] => least_limit("/sys/fs/cgroup", path, "memory.max"),
        [_, "memory", path] => least_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"),
        _ => None,
    });
    installed.into_iter().chain(limits).min()
}

/// The least number in `file` of the group `path` and of those above it. A group without a limit says `max`.
fn least_limit(root: &str, path: &str, file: &str) -> Option<u64> {
    let limit =
        |group: &Path| fs::read_to_string(Path::new(root).join(group).join(file)).ok()?.trim().parse().ok();
    Path::new(path.trim_start_matches('/')).ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something_to_run_on() {
        let machine = Machine::detect();
        assert!(!machine.cpus.is_empty());
        assert!((1..=machine.cpus.len()).contains(&machine.physical));
        assert!(machine.memory_bytes.is_none_or(|bytes| bytes > 1 << 20));
        let own = core_affinity::get_core_ids().expect("Linux tells");
        assert!(own.iter().all(|core| machine.cpus.contains(&core.id)));
    }

    #[test]
    fn the_best_cpus_are_picked_and_come_in_order() {
        let machine =
            Machine { cpus: vec![4, 0, 2, 1, 5], physical: 3, memory_bytes: Some(3 << 29), io_uring: false };
        assert_eq!(machine.pick(3), [0, 2, 4]);
        assert_eq!(machine.sentence(), "5 cores (0-2,4-5), 1.5 GB of memory, io_uring is not available");
    }
}
