//! Standard output that may be a closed pipe or a full disk.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

/// Prints `text` whole. A reader that went away, such as `head`, has what it wants, so that is no error; a full
/// disk is one.
pub fn print(text: &str) -> io::Result<()> {
    let mut lines = Lines::new();
    lines.write(text)?;
    lines.finish()
}

/// Standard output for more than fits into memory at once.
pub struct Lines {
    out: BufWriter<StdoutLock<'static>>,
    is_wanted: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Lines::new()
    }
}

impl Lines {
    /// Takes standard output.
    pub fn new() -> Self {
        Lines { out: BufWriter::new(io::stdout().lock()), is_wanted: true }
    }

    /// Whether anybody still reads.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Writes `text`, line ends and all.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let result = if self.is_wanted { self.out.write_all(text.as_bytes()) } else { Ok(()) };
        self.judge(result)
    }

    /// Writes what is still buffered.
    pub fn finish(mut self) -> io::Result<()> {
        let result = if self.is_wanted { self.out.flush() } else { Ok(()) };
        self.judge(result)
    }

    fn judge(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_wanted = false;
                Ok(())
            }
            Err(error) => {
                self.is_wanted = false;
                Err(io::Error::new(error.kind(), format!("standard output cannot be written: {error}")))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Says something beside the output proper, where it does not mix with it.
pub fn note(text: &str) {
    // Where standard error cannot be written there is nobody left to tell.
    let _ = writeln!(io::stderr(), "note: {text}");
}
