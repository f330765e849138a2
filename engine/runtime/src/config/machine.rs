//! What the machine has: the CPUs this process may use, its memory, and whether io_uring works.
//!
//! Read once when a configuration is loaded. A container's limits count, not the host's size:
//!
//! ```text
//!  CPUs      in the affinity mask of the process (which a cpuset narrows), and online
//!  quota     the least of cpu.max (cgroup v2) and cpu.cfs_quota_us (v1), of the process's group and those above it
//!  memory    the least of memory.max, memory.high (v2) and memory.limit_in_bytes (v1) there, and of what is installed
//! ```
//!
//! What cannot be read limits nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::cores::{format_list, parse_list};
use super::size::approximate_size;
use crate::bounds::MEMORY_BYTES_MIN;

/// The machine that a configuration is for. A plain value, so that tests can invent one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that the process may use, best first: one of each physical core, then their hyper-threads.
    pub cpus: Vec<usize>,
    /// How many physical cores those are.
    pub physical: usize,
    /// How many CPUs the process's quota pays for, in thousandths of one, if it has a quota.
    pub quota_millis: Option<u64>,
    /// The memory that the process may use, in bytes, where the system says.
    pub memory_bytes: Option<u64>,
    /// Whether io_uring can be used.
    pub io_uring: bool,
}

impl Machine {
    /// Looks at this machine.
    pub fn detect() -> Self {
        Machine { io_uring: crate::probe_io_uring().is_ok(), ..Machine::under(Path::new("/")) }
    }

    /// The machine that `proc` and `sys` under `root` describe; whether io_uring works does not stand there.
    fn under(root: &Path) -> Self {
        let cpus = allowed_cpus(root)
            .unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, usize::from)).collect());
        let (cpus, physical) = best_first(root, cpus);
        let groups = Groups::of(root);
        Machine {
            cpus,
            physical,
            quota_millis: groups.cpu_millis(),
            memory_bytes: [installed(root), groups.memory()].into_iter().flatten().min(),
            io_uring: false,
        }
    }

    /// How many engine threads can be kept busy: no more than there are CPUs, and no more than the quota pays for. A thread beyond that would
    /// stop all of them for the rest of each period of the quota.
    pub(super) fn usable(&self) -> usize {
        let paid = self
            .quota_millis
            .map_or(usize::MAX, |millis| usize::try_from(millis / 1_000).unwrap_or(usize::MAX));
        self.cpus.len().min(paid.max(1))
    }

    /// The best `count` CPUs, in ascending order.
    pub(super) fn pick(&self, count: usize) -> Vec<usize> {
        let mut picked: Vec<usize> = self.cpus.iter().copied().take(count).collect();
        picked.sort_unstable();
        picked
    }

    /// The most that the engine's memory limit may be here; never less than the least it may be anywhere.
    pub(super) fn memory_most(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| bytes.max(MEMORY_BYTES_MIN))
    }

    /// Half of the memory, in whole megabytes: a limit that leaves as much for the rest of the system.
    pub(super) fn memory_half(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| ((bytes / 2) >> 20 << 20).max(MEMORY_BYTES_MIN))
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
        let quota = self.quota_millis.filter(|millis| *millis < 1_000 * self.cpus.len() as u64);
        let quota = quota.map_or(String::new(), |millis| {
            let fraction =
                if millis % 1_000 == 0 { String::new() } else { format!(".{:03}", millis % 1_000) };
            format!(", a CPU quota of {}{}", millis / 1_000, fraction.trim_end_matches('0'))
        });
        let ring = if self.io_uring { "io_uring works" } else { "io_uring is not available" };
        format!("{}{quota}, {memory}, {ring}", self.cpus_sentence())
    }
}

fn read(root: &Path, path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

/// The CPUs in the affinity mask of the process's first thread, which is read even when the calling thread is itself pinned, as far as they
/// are online: the mask may name CPUs that were taken away.
fn allowed_cpus(root: &Path) -> Option<Vec<usize>> {
    let status = read(root, "proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus = parse_list(list.trim())?;
    if let Some(online) = read(root, "sys/devices/system/cpu/online").and_then(|list| parse_list(list.trim()))
    {
        cpus.retain(|cpu| online.contains(cpu));
    }
    (!cpus.is_empty()).then_some(cpus)
}

/// Orders CPUs so that hyper-threads of a core already listed come last, and counts the physical cores.
fn best_first(root: &Path, cpus: Vec<usize>) -> (Vec<usize>, usize) {
    let core_of = |cpu: usize| {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        read(root, path).unwrap_or_else(|| cpu.to_string())
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

/// The memory installed.
fn installed(root: &Path) -> Option<u64> {
    let text = read(root, "proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The directories of the control groups that the process is in, each with those above it.
struct Groups {
    /// Of version 2.
    unified: Vec<PathBuf>,
    /// Of version 1, for the controller `cpu`.
    cpu: Vec<PathBuf>,
    /// Of version 1, for the controller `memory`.
    memory: Vec<PathBuf>,
}

impl Groups {
    fn of(root: &Path) -> Self {
        let mounted = root.join("sys/fs/cgroup");
        let mut groups = Groups { unified: Vec::new(), cpu: Vec::new(), memory: Vec::new() };
        for line in read(root, "proc/self/cgroup").unwrap_or_default().lines() {
            let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
            // In a container the path may be the host's, of which nothing is to be seen but the root: that is then the container's own group.
            let above = |mount: PathBuf| {
                let path = Path::new(path.trim_start_matches('/'));
                path.ancestors().map(|group| mount.join(group)).collect::<Vec<_>>()
            };
            if controllers.is_empty() {
                // Alone, or beside version 1.
                groups.unified = [above(mounted.clone()), above(mounted.join("unified"))].concat();
            }
            for (controller, into) in [("cpu", &mut groups.cpu), ("memory", &mut groups.memory)] {
                if controllers.split(',').any(|one| one == controller) {
                    // Mounted under all its names together, and mostly under each alone.
                    into.extend([above(mounted.join(controllers)), above(mounted.join(controller))].concat());
                }
            }
        }
        groups
    }

    /// The least limit of memory. A group without a limit says `max`, or a number beyond all memory.
    fn memory(&self) -> Option<u64> {
        let limits = |groups: &[PathBuf], file: &'static str| {
            let limit = move |group: &PathBuf| read(group, file)?.trim().parse::<u64>().ok();
            groups.iter().filter_map(limit).min()
        };
        let (max, high) = (limits(&self.unified, "memory.max"), limits(&self.unified, "memory.high"));
        [max, high, limits(&self.memory, "memory.limit_in_bytes")].into_iter().flatten().min()
    }

    /// The least quota of CPU time, in thousandths of a CPU. A group without one says `max`, or -1.
    fn cpu_millis(&self) -> Option<u64> {
        let millis = |quota: &str, period: &str| {
            let (quota, period) = (quota.trim().parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
            u64::try_from((u128::from(quota) * 1_000).checked_div(period.into())?).ok()
        };
        let unified = self.unified.iter().filter_map(|group| {
            let text = read(group, "cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            millis(quota, period)
        });
        let cpu = self.cpu.iter().filter_map(|group| {
            millis(&read(group, "cpu.cfs_quota_us")?, &read(group, "cpu.cfs_period_us")?)
        });
        unified.chain(cpu).min()
    }
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

    /// A root directory with these files, which goes away with the test.
    struct Root(PathBuf);

    impl Root {
        fn new(files: &[(&str, &str)]) -> Self {
            static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("pelton-machine-{}-{number}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("files are in directories")).expect("made");
                fs::write(path, text).expect("written");
            }
            Root(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const EIGHT: &[(&str, &str)] = &[
        ("proc/self/status", "Name:\tjob\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"),
        ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        1 kB\n"),
        ("sys/devices/system/cpu/online", "0-7\n"),
    ];

    fn machine(files: &[(&str, &str)]) -> Machine {
        let root = Root::new(&[EIGHT, files].concat());
        Machine::under(&root.0)
    }

    /// What the limits of each kind of container come to: CPUs that may be used, and bytes of memory.
    #[test]
    fn the_limits_of_containers_are_seen() {
        const GB: u64 = 1 << 30;
        type Files<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, Files<'_>, usize, Option<u64>, u64)] = &[
            ("no groups", &[], 8, None, 16 * GB),
            (
                "version 2 without limits",
                &[
                    ("proc/self/cgroup", "0::/\n"),
                    ("sys/fs/cgroup/cpu.max", "max 100000\n"),
                    ("sys/fs/cgroup/memory.max", "max\n"),
                ],
                8,
                None,
                16 * GB,
            ),
            (
                "version 2, as Kubernetes has it",
                &[
                    ("proc/self/cgroup", "0::/\n"),
                    ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
                    ("sys/fs/cgroup/memory.max", "2147483648\n"),
                ],
                2,
                Some(2_000),
                2 * GB,
            ),
            (
                "a soft limit of memory, and part of a CPU",
                &[
                    ("proc/self/cgroup", "0::/\n"),
                    ("sys/fs/cgroup/cpu.max", "25000 100000\n"),
                    ("sys/fs/cgroup/memory.max", "max\n"),
                    ("sys/fs/cgroup/memory.high", "1073741824\n"),
                ],
                1,
                Some(250),
                GB,
            ),
            (
                "a quota between two numbers of CPUs",
                &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/cpu.max", "350000 100000")],
                3,
                Some(3_500),
                16 * GB,
            ),
            (
                "the limit of a group above",
                &[
                    ("proc/self/cgroup", "0::/pods/one/app\n"),
                    ("sys/fs/cgroup/pods/one/app/cpu.max", "800000 100000\n"),
                    ("sys/fs/cgroup/pods/one/app/memory.max", "max\n"),
                    ("sys/fs/cgroup/pods/one/cpu.max", "400000 100000\n"),
                    ("sys/fs/cgroup/pods/memory.max", "4294967296\n"),
                ],
                4,
                Some(4_000),
                4 * GB,
            ),
            (
                "version 1",
                &[
                    ("proc/self/cgroup", "5:memory:/d\n4:cpuset:/\n2:cpu,cpuacct:/d\n1:name=systemd:/d\n"),
                    ("sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us", "300000\n"),
                    ("sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_period_us", "100000\n"),
                    ("sys/fs/cgroup/memory/d/memory.limit_in_bytes", "3221225472\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                3,
                Some(3_000),
                3 * GB,
            ),
            (
                "version 1 in a container that sees its own group as the root",
                &[
                    ("proc/self/cgroup", "3:memory:/docker/4711\n2:cpuacct,cpu:/docker/4711\n0::/\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
                ],
                1,
                Some(1_000),
                GB / 2,
            ),
            (
                "version 1 without limits",
                &[
                    ("proc/self/cgroup", "3:memory:/\n2:cpu:/\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                8,
                None,
                16 * GB,
            ),
            (
                "both versions",
                &[
                    ("proc/self/cgroup", "3:cpu:/\n0::/user\n"),
                    ("sys/fs/cgroup/unified/user/cpu.max", "600000 100000\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                ],
                5,
                Some(5_000),
                16 * GB,
            ),
            (
                "files that hold nonsense",
                &[
                    ("proc/self/cgroup", "x\n0::/\n1:\n:::::\n"),
                    ("sys/fs/cgroup/cpu.max", "100000 0\n"),
                    ("sys/fs/cgroup/memory.max", "-3\n"),
                ],
                8,
                None,
                16 * GB,
            ),
            (
                "a quota of more than there is",
                &[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "18446744073709551615 1\n")],
                8,
                None,
                16 * GB,
            ),
        ];
        for (name, files, usable, millis, memory) in cases {
            let machine = machine(files);
            assert_eq!(machine.usable(), *usable, "{name}");
            assert_eq!(machine.quota_millis, *millis, "{name}");
            assert_eq!(machine.memory_bytes, Some(*memory), "{name}");
            assert_eq!(machine.cpus.len(), 8, "{name}: a quota takes no CPU away");
        }
    }

    #[test]
    fn cpus_that_are_offline_or_not_allowed_are_not_counted() {
        for (allowed, online, cpus) in [
            ("0-7", "0-3\n", vec![0, 1, 2, 3]),
            ("2-5", "0-3,6", vec![2, 3]),
            ("1,3", "0-7\n", vec![1, 3]),
            ("0-7", "nonsense", (0..8).collect()),
        ] {
            let status = format!("Cpus_allowed_list:\t{allowed}\n");
            let machine =
                machine(&[("proc/self/status", &status), ("sys/devices/system/cpu/online", online)]);
            assert_eq!(machine.cpus, cpus, "{allowed} of {online}");
        }
    }

    #[test]
    fn hyper_threads_come_last() {
        let siblings = |cpu: usize| format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let files: Vec<(String, String)> =
            (0..8).map(|cpu| (siblings(cpu), format!("{},{}\n", cpu % 4, cpu % 4 + 4))).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let machine = machine(&files);
        assert_eq!((machine.physical, &machine.cpus[..]), (4, &[0, 1, 2, 3, 4, 5, 6, 7][..]));
    }

    #[test]
    fn an_unreadable_system_limits_nothing() {
        let root = Root::new(&[("nothing", "")]);
        let machine = Machine::under(&root.0);
        assert!(!machine.cpus.is_empty());
        assert_eq!((machine.quota_millis, machine.memory_bytes), (None, None));
    }

    /// Defaults, `auto` and suggestions follow the quota; CPUs that somebody names are taken as named.
    #[test]
    fn what_is_chosen_by_itself_keeps_to_the_quota() {
        use super::super::{FileText, Layers, template};
        for (millis, auto, suggested) in
            [(500, 1, 1), (1_500, 1, 1), (2_000, 2, 2), (4_900, 4, 4), (64_000, 8, 7)]
        {
            let machine = Machine {
                cpus: (0..8).collect(),
                physical: 8,
                quota_millis: Some(millis),
                memory_bytes: Some(16 << 30),
                io_uring: true,
            };
            let loaded = |flags: &[(&str, &str)]| {
                let flags =
                    flags.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
                Layers { flags, ..Layers::none(machine.clone()) }.resolve().expect("sound").config
            };
            let config = loaded(&[]);
            assert_eq!((config.cores.len(), config.shards), (auto.min(2), auto.min(2)), "{millis}");
            assert_eq!(loaded(&[("cores", "auto")]).cores.len(), auto, "{millis}");
            assert_eq!(loaded(&[("cores", "0-5")]).cores.len(), 6, "{millis}");
            let text = template(&machine);
            assert!(text.contains(&format!("\ncores = {suggested}\n")), "{millis}: {text}");
            let file = Some(FileText { path: "p.toml".into(), text });
            assert!(Layers { file, ..Layers::none(machine) }.resolve().is_ok(), "{millis}");
        }
    }

    #[test]
    fn the_best_cpus_are_picked_and_come_in_order() {
        let machine = Machine {
            cpus: vec![4, 0, 2, 1, 5],
            physical: 3,
            quota_millis: None,
            memory_bytes: Some(3 << 29),
            io_uring: false,
        };
        assert_eq!(machine.pick(3), [0, 2, 4]);
        assert_eq!(machine.sentence(), "5 cores (0-2,4-5), 1.5 GB of memory, io_uring is not available");
        for (millis, said) in [
            (2_500, "a CPU quota of 2.5, "),
            (4_000, "a CPU quota of 4, "),
            (50, "a CPU quota of 0.05, "),
            (5_000, ""),
        ] {
            let machine = Machine { quota_millis: Some(millis), ..machine.clone() };
            let sentence = format!("5 cores (0-2,4-5), {said}1.5 GB of memory, io_uring is not available");
            assert_eq!(machine.sentence(), sentence);
        }
    }
}
