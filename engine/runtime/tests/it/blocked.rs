//! Machines that forbid what the engine would like: io_uring, locked memory, pinning.
//!
//! A seccomp filter binds only the thread that installs it and those it starts, so each test blocks a thread of its
//! own. A limit binds the whole process, so that test runs in a child process.

use crate::fake::{HUNG, config, fakes, in_child, step};
use pelton_runtime::config::{Config, DriverKind, IdleStrategy};
use pelton_runtime::{Running, StartError, launch};
use std::thread;

fn start(config: &Config) -> Result<Running, StartError> {
    launch(config, fakes(|_| |steps, _| step(1, false, steps == 9)))
}

/// From now on `syscall` fails with `errno` on this thread and those that it starts.
fn block(syscall: libc::c_long, errno: i32) {
    let instruction =
        |code: u32, yes: u8, no: u8, k: u32| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let mut program = [
        // The number of the system call is the first word of what the filter sees.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, syscall as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes no pointers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program outlives the call, which copies it.
    let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(status, 0);
}

/// Runs `test` on a thread where `syscall` fails with `errno`.
fn blocked(syscall: libc::c_long, errno: i32, test: impl FnOnce() + Send + 'static) {
    let body = move || {
        block(syscall, errno);
        test();
    };
    thread::spawn(body).join().unwrap();
}

#[test]
fn without_io_uring_glommio_says_why_and_plain_threads_run() {
    for (errno, says) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS"), (libc::ENOMEM, "ulimit -l")] {
        blocked(libc::SYS_io_uring_setup, errno, move || {
            let error = start(&config(2, 2, DriverKind::Glommio, IdleStrategy::Park)).unwrap_err();
            assert!(matches!(error, StartError::IoUring(_)), "{error}");
            let text = error.to_string();
            assert!(text.starts_with("io_uring cannot be used here: "), "{text}");
            assert!(text.contains(says) && text.contains("driver = \"threads\""), "{text}");

            let running = start(&config(2, 2, DriverKind::Threads, IdleStrategy::Park)).unwrap();
            assert!(running.wait_for(HUNG));
            running.wait().unwrap();
        });
    }
}

/// Left to the machine, a job runs on plain threads where io_uring is blocked, and says why in one line.
#[test]
fn without_io_uring_a_job_that_leaves_it_open_runs_on_threads_and_says_so() {
    for (errno, says) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS"), (libc::ENOMEM, "ulimit -l")] {
        blocked(libc::SYS_io_uring_setup, errno, move || {
            let running = start(&config(2, 2, DriverKind::Auto, IdleStrategy::Park)).unwrap();
            assert_eq!(running.driver().kind, DriverKind::Threads);
            let note = running.driver().note.clone().unwrap();
            assert!(
                note.starts_with("the job runs on plain threads, since io_uring cannot be used"),
                "{note}"
            );
            assert!(note.contains(says) && note.lines().count() == 1, "{note}");
            assert!(!note.contains("Or set"), "it did: {note}");
            assert!(running.wait_for(HUNG));
            running.wait().unwrap();
        });
    }
}

#[test]
fn with_io_uring_a_job_that_leaves_it_open_runs_on_glommio() {
    if pelton_runtime::probe_io_uring().is_err() {
        return;
    }
    let running = start(&config(2, 2, DriverKind::Auto, IdleStrategy::Park)).unwrap();
    assert_eq!((running.driver().kind, running.driver().note.as_ref()), (DriverKind::Glommio, None));
    assert!(running.wait_for(HUNG));
    running.wait().unwrap();
}

/// In a process of its own, where no thread is left that was pinned before.
#[test]
fn without_the_right_to_pin_the_error_names_the_cpu_and_unpinned_threads_run() {
    if in_child("blocked::without_the_right_to_pin_the_error_names_the_cpu_and_unpinned_threads_run") {
        return;
    }
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        blocked(libc::SYS_sched_setaffinity, libc::EPERM, move || {
            let unpinned = config(1, 1, driver, IdleStrategy::Park);
            let error = start(&Config { pin: true, ..unpinned.clone() }).unwrap_err();
            assert!(matches!(error, StartError::Pin(_)), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("CPU 0: the operating system refused it: Operation not permitted"),
                "{text}"
            );
            assert!(text.contains("pin = false"), "{text}");

            let running = start(&unpinned).unwrap();
            assert!(running.wait_for(HUNG));
            running.wait().unwrap();
        });
    }
}

/// A sandbox may answer `sched_setaffinity` with success and do nothing.
#[test]
fn a_pin_that_had_no_effect_is_noticed() {
    if core_affinity::get_core_ids().unwrap().len() < 2 {
        return;
    }
    blocked(libc::SYS_sched_setaffinity, 0, || {
        let pinned = Config { pin: true, ..config(1, 1, DriverKind::Threads, IdleStrategy::Park) };
        let text = start(&pinned).unwrap_err().to_string();
        assert!(text.contains("the call succeeded but the thread may still run on CPUs [0, 1"), "{text}");
    });
}

#[test]
fn a_low_memlock_limit_is_named_with_what_is_needed() {
    if in_child("blocked::a_low_memlock_limit_is_named_with_what_is_needed") {
        return;
    }
    let limit = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
    // SAFETY: the pointer is to an rlimit of ours.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) }, 0);
    let text = start(&config(1, 1, DriverKind::Glommio, IdleStrategy::Park)).unwrap_err().to_string();
    assert!(text.contains("the limit on locked memory is 64 KiB, and each executor needs 512 KiB"), "{text}");
    assert!(text.contains("driver = \"threads\""), "{text}");
    let running = start(&config(1, 1, DriverKind::Threads, IdleStrategy::Park)).unwrap();
    running.wait().unwrap();
}
