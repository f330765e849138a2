//! Pinning a thread to its CPU, and making sure that it happened.
//!
//! A pinned core keeps its caches and its place. Sandboxes may refuse the call or answer it with a lie, so the mask is
//! read back afterwards. A thread inherits the mask of the one that started it: helper threads are to be started
//! from threads that are not pinned.

use core_affinity::CoreId;
use std::{fmt, io};

/// Why a thread could not be pinned.
pub struct PinError {
    /// The CPU it was to run on.
    pub cpu: usize,
    /// What went wrong.
    pub cause: PinCause,
}

/// What went wrong when pinning.
#[derive(Debug)]
pub enum PinCause {
    /// The machine, or the part of it given to this process, has no such CPU. These are the ones it has.
    Absent(Vec<usize>),
    /// The operating system refused the call.
    Refused(io::Error),
    /// The call succeeded and had no effect: the thread still may run on these.
    Ignored(Vec<usize>),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot pin a thread to CPU {}: ", self.cpu)?;
        match &self.cause {
            PinCause::Absent(present) => write!(
                f,
                "this process may run on CPUs {present:?} only (what the machine has, a container's cpuset, or \
                 taskset); change `cores`"
            )?,
            PinCause::Refused(error) => write!(
                f,
                "the operating system refused it: {error} (a seccomp filter or a container without the right); \
                 permit sched_setaffinity"
            )?,
            PinCause::Ignored(mask) => write!(
                f,
                "the call succeeded but the thread may still run on CPUs {mask:?}, as in some sandboxes"
            )?,
        }
        f.write_str(", or set `pin = false` to let the operating system place the threads")
    }
}

impl fmt::Debug for PinError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            PinCause::Refused(error) => Some(error),
            PinCause::Absent(_) | PinCause::Ignored(_) => None,
        }
    }
}

/// Pins the current thread to `cpu`.
pub(crate) fn pin_current_thread(cpu: usize) -> Result<(), PinError> {
    let error = |cause| Err(PinError { cpu, cause });
    // The kernel's mask type has a fixed size; a larger number cannot even be asked for.
    if cpu >= libc::CPU_SETSIZE as usize {
        return error(PinCause::Absent(current_mask()));
    }
    if !core_affinity::set_for_current(CoreId { id: cpu }) {
        let refusal = io::Error::last_os_error();
        return match refusal.raw_os_error() {
            Some(libc::EINVAL) => error(PinCause::Absent(current_mask())),
            _ => error(PinCause::Refused(refusal)),
        };
    }
    match current_mask() {
        mask if mask == [cpu] => Ok(()),
        mask => error(PinCause::Ignored(mask)),
    }
}

/// The CPUs that the current thread may run on.
pub(crate) fn current_mask() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        let cpu = *current_mask().last().unwrap();
        thread::spawn(move || {
            pin_current_thread(cpu).unwrap();
            assert_eq!(current_mask(), [cpu]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named_with_those_that_are() {
        for cpu in [1_000, 1_000_000] {
            let present = current_mask();
            let error = thread::spawn(move || pin_current_thread(cpu).unwrap_err()).join().unwrap();
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot pin a thread to CPU {cpu}: ")), "{text}");
            assert!(text.contains(&format!("CPUs {present:?} only")), "{text}");
            assert!(text.contains("`pin = false`"), "{text}");
        }
    }

    #[test]
    fn each_cause_says_what_to_do() {
        for (cause, says) in [
            (PinCause::Refused(io::Error::from_raw_os_error(libc::EPERM)), "Operation not permitted"),
            (PinCause::Ignored(vec![0, 1]), "may still run on CPUs [0, 1]"),
        ] {
            let text = PinError { cpu: 1, cause }.to_string();
            assert!(
                text.contains("CPU 1") && text.contains(says) && text.contains("`pin = false`"),
                "{text}"
            );
        }
    }
}
