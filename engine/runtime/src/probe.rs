//! Finds out before the start whether io_uring can be used, and if not, why and what to do.
//!
//! glommio needs io_uring and, where it is blocked, panics with a message about an old kernel. Containers, sandboxes
//! and hardened machines block it in different ways, and each has its own remedy. The probe makes one small ring, asks
//! which operations the kernel knows, and compares the limit on locked memory with what glommio insists on.

use io_uring::{IoUring, Probe, opcode};
use std::{fmt, fs, io};

/// Less locked memory than this and glommio refuses to start.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Why io_uring cannot be used here.
#[derive(Clone, PartialEq, Eq)]
pub enum IoUringBlocked {
    /// The kernel forbids it: `EPERM` or `EACCES`, with the value of `kernel.io_uring_disabled` if it could be read.
    Forbidden {
        /// 0: permitted to all, so something else forbids it; 1: to a group; 2: to nobody.
        sysctl: Option<u32>,
    },
    /// There is no such system call: `ENOSYS`.
    Missing,
    /// No memory could be locked for a ring: `ENOMEM`, with the limit on locked memory if it is known.
    NoMemory {
        /// In bytes.
        memlock: Option<u64>,
    },
    /// The limit on locked memory is below what an executor needs.
    MemlockTooLow {
        /// In bytes.
        memlock: u64,
    },
    /// Too many open files: `EMFILE` or `ENFILE`.
    NoFiles,
    /// The kernel is too old for some operations.
    TooOld {
        /// What it lacks.
        missing: Vec<&'static str>,
    },
    /// Something else.
    Other {
        /// The error number.
        errno: i32,
    },
}

impl IoUringBlocked {
    /// What a failure to make a ring with `errno` means.
    pub fn from_errno(errno: i32, sysctl: Option<u32>, memlock: Option<u64>) -> Self {
        match errno {
            libc::EPERM | libc::EACCES => IoUringBlocked::Forbidden { sysctl },
            libc::ENOSYS => IoUringBlocked::Missing,
            libc::ENOMEM => IoUringBlocked::NoMemory { memlock },
            libc::EMFILE | libc::ENFILE => IoUringBlocked::NoFiles,
            errno => IoUringBlocked::Other { errno },
        }
    }
}

const MEMLOCK_ADVICE: &str = "raise it with `ulimit -l 8192`, `LimitMEMLOCK=8M` (systemd) or `--ulimit \
                              memlock=8388608` (Docker)";

impl fmt::Display for IoUringBlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say_cause(f)?;
        f.write_str(". Or set `driver = \"threads\"`, which does without io_uring")
    }
}

/// The cause alone.
struct Cause<'a>(&'a IoUringBlocked);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.say_cause(f)
    }
}

impl IoUringBlocked {
    /// What is in the way, and what would put it out of it, without the advice to do without.
    pub(crate) fn cause(&self) -> impl fmt::Display + '_ {
        Cause(self)
    }

    fn say_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("io_uring cannot be used here: ")?;
        match self {
            IoUringBlocked::Forbidden { sysctl: Some(2) } => f.write_str(
                "kernel.io_uring_disabled is 2, which forbids it to everybody (EPERM); as root, `sysctl \
                 kernel.io_uring_disabled=0` permits it",
            )?,
            IoUringBlocked::Forbidden { sysctl: Some(1) } => f.write_str(
                "kernel.io_uring_disabled is 1, which permits it only with CAP_SYS_ADMIN or in the group \
                 kernel.io_uring_group (EPERM); join that group, or as root `sysctl kernel.io_uring_disabled=0`",
            )?,
            IoUringBlocked::Forbidden { .. } => f.write_str(
                "a security filter forbids it (EPERM), most likely a container's seccomp profile; permit \
                 io_uring_setup, io_uring_enter and io_uring_register in the profile (Docker: `--security-opt \
                 seccomp=PROFILE`, Kubernetes: `seccompProfile`)",
            )?,
            IoUringBlocked::Missing => f.write_str(
                "there is no such system call (ENOSYS): the kernel is older than 5.8 or was built without it, or a \
                 sandbox such as gVisor hides it; use another kernel or sandbox",
            )?,
            IoUringBlocked::NoMemory { memlock } => {
                f.write_str("no memory could be locked for it (ENOMEM); ")?;
                match memlock {
                    Some(bytes) => write!(f, "the limit on locked memory is {} KiB, ", bytes >> 10)?,
                    None => f.write_str("where locked memory is limited, ")?,
                }
                f.write_str(MEMLOCK_ADVICE)?;
            }
            IoUringBlocked::MemlockTooLow { memlock } => write!(
                f,
                "the limit on locked memory is {} KiB, and each executor needs {} KiB; {MEMLOCK_ADVICE}",
                memlock >> 10,
                MEMLOCK_BYTES_MIN >> 10,
            )?,
            IoUringBlocked::NoFiles => {
                f.write_str("too many files are open (EMFILE); raise the limit with `ulimit -n`")?;
            }
            IoUringBlocked::TooOld { missing } => {
                write!(f, "the kernel lacks {}; version 5.8 or newer has them all", missing.join(", "))?;
            }
            IoUringBlocked::Other { errno } => write!(f, "{}", io::Error::from_raw_os_error(*errno))?,
        }
        Ok(())
    }
}

impl fmt::Debug for IoUringBlocked {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for IoUringBlocked {}

/// The operations that glommio asks of the kernel.
const NEEDED: [(u8, &str); 23] = [
    (opcode::Nop::CODE, "NOP"),
    (opcode::Readv::CODE, "READV"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::ReadFixed::CODE, "READ_FIXED"),
    (opcode::WriteFixed::CODE, "WRITE_FIXED"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::PollRemove::CODE, "POLL_REMOVE"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::TimeoutRemove::CODE, "TIMEOUT_REMOVE"),
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::LinkTimeout::CODE, "LINK_TIMEOUT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Fallocate::CODE, "FALLOCATE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Statx::CODE, "STATX"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Send::CODE, "SEND"),
    (opcode::Recv::CODE, "RECV"),
];

/// Whether the glommio driver can run here.
///
/// # Errors
/// When it cannot, with the cause and the remedy.
pub fn probe_io_uring() -> Result<(), IoUringBlocked> {
    let blocked = |error: io::Error| {
        IoUringBlocked::from_errno(error.raw_os_error().unwrap_or_default(), io_uring_disabled(), memlock())
    };
    let ring = IoUring::new(8).map_err(blocked)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known).map_err(blocked)?;
    let missing = NEEDED.iter().filter(|(code, _)| !known.is_supported(*code)).map(|(_, name)| *name);
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        return Err(IoUringBlocked::TooOld { missing });
    }
    match memlock() {
        Some(memlock) if memlock < MEMLOCK_BYTES_MIN => Err(IoUringBlocked::MemlockTooLow { memlock }),
        _ => Ok(()),
    }
}

/// The value of `kernel.io_uring_disabled`; kernels before 6.6 have none.
fn io_uring_disabled() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// The soft limit on locked memory in bytes.
fn memlock() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit of ours.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    (status == 0).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_advice() {
        for (errno, sysctl, memlock, says) in [
            (libc::EPERM, Some(2), None, "kernel.io_uring_disabled is 2"),
            (libc::EPERM, Some(1), None, "kernel.io_uring_group"),
            (libc::EPERM, Some(0), None, "seccomp"),
            (libc::EPERM, None, None, "seccomp"),
            (libc::EACCES, Some(0), None, "seccomp"),
            (libc::ENOSYS, None, None, "gVisor"),
            (libc::ENOMEM, None, Some(64 << 10), "is 64 KiB, raise it"),
            (libc::ENOMEM, None, None, "ulimit -l"),
            (libc::EMFILE, None, None, "ulimit -n"),
            (libc::EINVAL, None, None, "Invalid argument"),
        ] {
            let text = IoUringBlocked::from_errno(errno, sysctl, memlock).to_string();
            assert!(text.contains(says), "errno {errno}: {text}");
            assert!(text.ends_with("Or set `driver = \"threads\"`, which does without io_uring"), "{text}");
        }
        let low = IoUringBlocked::MemlockTooLow { memlock: 64 << 10 }.to_string();
        assert!(low.contains("is 64 KiB, and each executor needs 512 KiB"), "{low}");
        let old = IoUringBlocked::TooOld { missing: vec!["SEND", "RECV"] }.to_string();
        assert!(old.contains("lacks SEND, RECV"), "{old}");
    }
}
