//! Signals that ask the process to end: SIGTERM, SIGINT (Ctrl-C) and SIGHUP, treated alike.
//!
//! Whoever listens hears them all, and so does a handler that the program had before; none of them ends the process any more. SIGHUP stays ignored
//! where it is: that is what `nohup` means.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;

/// Calls `heard` for each such signal from now on, on a thread of its own, which runs on the CPUs of the current one.
///
/// ```no_run
/// pelton_runtime::signals::listen(|| println!("asked to end"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When the system allows no handler or no thread.
pub fn listen(mut heard: impl FnMut() + Send + 'static) -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let signals =
        if ignores(&status, SIGHUP) { vec![SIGTERM, SIGINT] } else { vec![SIGTERM, SIGINT, SIGHUP] };
    let mut signals = Signals::new(signals)?;
    let body = move || signals.forever().for_each(|_| heard());
    std::thread::Builder::new().name("pelton-signals".to_owned()).spawn(body)?;
    Ok(())
}

/// Whether a process with this `/proc/PID/status` ignores a signal.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn every_listener_hears_a_signal() {
        let (sender, heard) = channel();
        for name in ["first", "second"] {
            let sender = sender.clone();
            listen(move || sender.send(name).unwrap()).unwrap();
        }
        let kill = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut names = [(); 2].map(|()| heard.recv_timeout(Duration::from_secs(60)).unwrap());
        names.sort_unstable();
        assert_eq!(names, ["first", "second"]);
    }

    #[test]
    fn what_nohup_ignores_is_seen() {
        let status =
            Command::new("sh").args(["-c", "trap '' HUP; exec cat /proc/self/status"]).output().unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(ignores(&status, SIGHUP) && !ignores(&status, SIGTERM), "{status}");
        assert!(!ignores("Name:\tx\nSigIgn:\t0000000000001000\n", SIGHUP));
        assert!(!ignores("", SIGHUP), "where nothing is known");
    }
}
