//! Standard output that may be a closed pipe or a full disk.

use std::io::{self, ErrorKind, Write};

/// Prints `text` whole. A reader that went away, such as `head`, has what it wants, so that is no error; a full
/// disk is one.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("standard output cannot be written: {error}")))
        }
        Ok(()) => Ok(()),
    }
}
