//! Which processors the kernel's workers and our helper threads may run on.
//!
//! A thread inherits its affinity from the one that starts it, and the kernel's own io_uring workers do too. A shard's thread is pinned
//! to a core and keeps it busy; whatever it starts waits behind it for a slice of the scheduler, milliseconds at a time. So helper threads
//! run where the process was allowed to when its disk was made, and the kernel's workers where they are sent.

use std::mem;

/// A set of processors; empty if it is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Processors {
    allowed: Option<libc::cpu_set_t>,
}

impl Processors {
    /// Where the current thread and the process's first thread may run, together: one of them is usually not pinned.
    pub(super) fn of_this_thread() -> Self {
        // SAFETY: the call has no arguments and cannot fail.
        let first = unsafe { libc::getpid() };
        let mut allowed = None;
        for thread in [0, first] {
            let Some(set) = affinity_of(thread) else { continue };
            allowed = Some(match allowed {
                None => set,
                Some(before) => union(&before, &set),
            });
        }
        Processors { allowed }
    }

    /// Those of the given numbers.
    pub(super) fn these(processors: &[usize]) -> Self {
        // SAFETY: a set of processors is plain bits, for which zero is valid.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        for &processor in processors {
            assert!(processor < libc::CPU_SETSIZE as usize, "no machine has a processor {processor}");
            // SAFETY: the processor is below the number of bits in a set.
            unsafe { libc::CPU_SET(processor, &mut set) };
        }
        Processors { allowed: Some(set) }
    }

    /// The set, if it is known.
    pub(super) fn allowed(&self) -> Option<&libc::cpu_set_t> {
        self.allowed.as_ref()
    }

    /// Lets the current thread run on them.
    pub(super) fn apply(&self) {
        if let Some(set) = &self.allowed {
            // SAFETY: the set is a valid `cpu_set_t` of the size given. Where it fails the thread runs where it is, only slower.
            unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), set) };
        }
    }
}

fn affinity_of(thread: libc::pid_t) -> Option<libc::cpu_set_t> {
    // SAFETY: a set of processors is plain bits, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set is writable and of the size given.
    let result = unsafe { libc::sched_getaffinity(thread, mem::size_of::<libc::cpu_set_t>(), &mut set) };
    (result == 0).then_some(set)
}

fn union(left: &libc::cpu_set_t, right: &libc::cpu_set_t) -> libc::cpu_set_t {
    let mut both = *left;
    for processor in 0..libc::CPU_SETSIZE as usize {
        // SAFETY: the processor is below the number of bits in a set.
        unsafe {
            if libc::CPU_ISSET(processor, right) {
                libc::CPU_SET(processor, &mut both);
            }
        }
    }
    both
}
