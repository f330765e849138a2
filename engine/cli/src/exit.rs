//! How a command ends: its exit code, and the error that stands for Ctrl-C.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// Exit code after Ctrl-C, as shells expect it.
pub const INTERRUPTED: u8 = 130;

/// The command was ended by Ctrl-C or SIGTERM before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

/// The command line makes no sense, which only its content shows: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misused(pub String);

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misused {}

/// Reports how a command ended, an error on standard error, and gives the exit code.
pub fn code(ended: Result<(), Box<dyn Error>>) -> u8 {
    match ended {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            code_of(&*error)
        }
    }
}

/// The exit code of an error of this crate's; 1 for any other.
pub fn code_of(error: &(dyn Error + 'static)) -> u8 {
    if error.is::<Interrupted>() {
        INTERRUPTED
    } else if error.is::<Misused>() {
        2
    } else {
        1
    }
}

/// Says on standard error what went wrong.
pub fn complain(error: impl fmt::Display) {
    // Where standard error cannot be written there is nobody left to tell.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// The name by which this program was called, for messages that name a command.
pub fn program_name() -> String {
    name_in(std::env::args_os().next().as_ref())
}

/// The name of the program in the first of its arguments.
pub(crate) fn name_in(called: Option<&OsString>) -> String {
    let name = called.and_then(|called| Path::new(called).file_name()).map(OsStr::to_string_lossy);
    name.map_or_else(|| "pelton".to_owned(), |name| name.into_owned())
}
