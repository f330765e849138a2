//! Progress for a person who waits: one bar on standard error, only when that is a terminal.
//!
//! Drawing takes a core for a moment, so a latency run redraws once a second at most; a throughput run ten times.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws per second during a throughput run.
const DRAWS_PER_SECOND: u8 = 10;

/// The bar of one workload.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for workload number `number` of `of`; `quiet` where drawing disturbs what is measured.
    pub fn start(name: &str, number: usize, of: usize, quiet: bool) -> Progress {
        let target = ProgressDrawTarget::stderr_with_hz(if quiet { 1 } else { DRAWS_PER_SECOND });
        let bar = ProgressBar::with_draw_target(Some(1), target);
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3}%  {msg}")
            .expect("the template is valid")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(if of > 1 { format!("{number:>2}/{of} {name:<14}") } else { name.to_owned() });
        Progress { bar }
    }

    /// Says what is being done now, and of how many steps it consists.
    pub fn phase(&self, what: &'static str, steps: u64) {
        self.bar.set_length(steps.max(1));
        self.bar.set_position(0);
        self.bar.set_message(what);
        self.bar.tick();
    }

    /// Says how many steps are done.
    pub fn done(&self, steps: u64) {
        self.bar.set_position(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
