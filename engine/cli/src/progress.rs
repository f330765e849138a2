//! Progress for a person who waits: one bar on standard error, only where that is a terminal, and only when something takes longer than a
//! moment.
//!
//! Drawing takes a core for a moment, so what measures latency has it drawn once a second at most.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::borrow::Cow;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Redraws per second.
const DRAWS_PER_SECOND: u8 = 10;
/// What takes no longer has no bar.
const MOMENT: Duration = Duration::from_millis(700);
/// How often a bar moves whose length is not known.
const PULSE: Duration = Duration::from_millis(200);

/// A bar. It is gone when it is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    draws_per_second: u8,
    hidden: Cell<bool>,
    /// Whether it may ever be seen.
    wanted: bool,
}

impl Progress {
    /// A bar named `name`.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self::with(name, DRAWS_PER_SECOND, true)
    }

    /// A bar that is drawn once a second: for what drawing disturbs.
    pub fn quiet(name: impl Into<Cow<'static, str>>) -> Self {
        Self::with(name, 1, true)
    }

    /// A bar beside lines on standard output: none where those go to the terminal, since they show how far it is.
    pub fn beside_lines(name: impl Into<Cow<'static, str>>) -> Self {
        Self::with(name, DRAWS_PER_SECOND, !crate::terminal::stdout_is_terminal())
    }

    fn with(name: impl Into<Cow<'static, str>>, draws_per_second: u8, wanted: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3}%  {wide_msg}")
            .expect("the template is valid")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(name);
        Progress { bar, began: Instant::now(), draws_per_second, hidden: Cell::new(true), wanted }
    }

    /// Says what is being done now, and of how many steps it consists; of an unknown number of them with 0.
    pub fn phase(&self, what: impl Into<Cow<'static, str>>, steps: u64) {
        self.bar.set_length(steps.max(1));
        self.bar.set_position(0);
        self.bar.set_message(what);
        self.show();
    }

    /// Says how many steps are done.
    #[inline]
    pub fn done(&self, steps: u64) {
        self.bar.set_position(steps);
        if self.hidden.get() {
            self.show();
        }
    }

    /// Says what is being done now, and how many steps are done.
    pub fn at(&self, steps: u64, what: impl Into<Cow<'static, str>>) {
        self.bar.set_message(what);
        self.done(steps);
    }

    /// Draws by itself from a moment later on, for what does not say how far it is.
    pub fn pulse(&self) {
        if !self.wanted {
            return;
        }
        let (bar, draws) = (self.bar.downgrade(), self.draws_per_second);
        std::thread::spawn(move || {
            std::thread::sleep(MOMENT);
            // What is over by then is never seen.
            if let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) {
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(draws));
                bar.enable_steady_tick(PULSE);
            }
        });
    }

    fn show(&self) {
        if self.hidden.get() && self.wanted && self.began.elapsed() >= MOMENT {
            self.unhide();
        }
        self.bar.tick();
    }

    fn unhide(&self) {
        self.hidden.set(false);
        self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(self.draws_per_second));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
