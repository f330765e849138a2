//! What is known of the terminal, if there is one.

use std::io::{IsTerminal, stdout};

/// Columns of the terminal that standard output is; `None` where it is none, so that what a program reads is never folded.
pub fn stdout_width() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size_of(stdout())?;
    // A terminal that does not know its width says 0.
    (width.0 > 0).then_some(usize::from(width.0))
}

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    stdout().is_terminal()
}
