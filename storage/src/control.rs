//! Commands to a running job, as files: a person's command line writes one, the job's coordinator carries it out and
//! answers.
//!
//! ```text
//! DATA/control/NAME.command    {"command":"savepoint","name":"before-1.2"}     or {"command":"checkpoint"}
//! DATA/control/NAME.answer     {"ok":true,"number":12,"tick":345}              or {"ok":false,"error":"..."}
//!                              {"ok":true,"tick":345,"groups":16}              to a rebalance
//! ```
//!
//! 1. [`send`] writes `NAME.command.new` and renames it, so that nobody sees half a command. The sender chooses
//!    `NAME`; commands are carried out in the order of their names.
//! 2. The coordinator [`list`]s commands a few times a second, carries one out and [`answer`]s it: it removes the
//!    command first, so that no command is carried out twice, and then writes the answer in the same way.
//! 3. The sender [`take`]s the answer, which removes it. One who gives up waiting [`withdraw`]s the command.
//!
//! Nothing here is synced: a command is worth nothing once the job has ended. A job that starts [`clear`]s what is
//! left, and refuses each command that it finds: who sent it may be waiting, since a job has its directory before it
//! looks for commands. Whoever may write in the data directory may command; there is no other check.

use crate::bounds::COMMAND_BYTES_MAX;
use crate::disk::{Disk, How};
use crate::error::StorageError;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest name of a savepoint.
pub const SAVEPOINT_NAME_MAX: usize = 64;

const COMMAND: &str = ".command";
const ANSWER: &str = ".answer";
const NEW: &str = ".new";

/// Something that a running job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// A checkpoint like any other, now.
    Checkpoint,
    /// A checkpoint that stays until it is deleted.
    Savepoint {
        /// What it is called; see [`is_savepoint_name`].
        name: String,
    },
    /// Key groups move to another shard; if none is named, whichever evens the load out.
    Rebalance {
        /// The first key group.
        first: Option<u32>,
        /// The last one.
        last: Option<u32>,
        /// The shard.
        shard: Option<u16>,
    },
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Answer {
    /// The checkpoint is there.
    Done {
        /// Its number.
        number: u64,
        /// The last tick whose effects are in it.
        tick: u64,
    },
    /// Key groups have moved.
    Moved {
        /// After which tick.
        tick: u64,
        /// How many; 0 where nothing was worth moving.
        groups: u32,
    },
    /// It was not done.
    Refused {
        /// Why.
        error: String,
    },
}

/// A command that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The sender's name for it, which its answer gets.
    pub name: String,
    /// The command, or why the file is none; that is an answer, too.
    pub command: Result<Command, String>,
}

/// Whether a savepoint may be called that: at most [`SAVEPOINT_NAME_MAX`] ASCII letters, digits, `-`, `_` and `.`,
/// and not digits alone, which would read like a checkpoint's number.
///
/// ```
/// use pelton_storage::control::is_savepoint_name;
///
/// assert!(is_savepoint_name("before-1.2"));
/// assert!(!is_savepoint_name("12") && !is_savepoint_name("../x") && !is_savepoint_name(""));
/// ```
pub fn is_savepoint_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=SAVEPOINT_NAME_MAX).contains(&name.len())
        && name.chars().all(plain)
        && !name.chars().all(|c| c.is_ascii_digit())
}

/// Leaves a command for the job that runs on the data directory `data`. `name` is the sender's own: no command has
/// it yet.
///
/// ```
/// use pelton_storage::control::{self, Answer, Command};
/// use pelton_storage::disk::{Disk, Faults, Simulated};
/// use std::{path::Path, sync::Arc};
///
/// let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
/// let data = Path::new("/data");
/// control::send(&disk, data, "0001-me", &Command::Checkpoint)?;
///
/// // The coordinator, in the job:
/// let waiting = control::list(&disk, data)?;
/// assert_eq!(waiting[0].command, Ok(Command::Checkpoint));
/// control::answer(&disk, data, &waiting[0].name, &Answer::Done { number: 12, tick: 345 })?;
///
/// assert_eq!(control::take(&disk, data, "0001-me")?, Some(Answer::Done { number: 12, tick: 345 }));
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
///
/// # Errors
/// When the disk refuses, or a command of that name is being written.
pub fn send(disk: &Arc<dyn Disk>, data: &Path, name: &str, command: &Command) -> Result<(), StorageError> {
    let directory = directory(data);
    disk.create_directory(&directory).map_err(|error| StorageError::io("create", &directory, error))?;
    write(disk, data, name, COMMAND, command)
}

/// The commands that wait, in the order of their names. One cheap look at a directory when there are none.
///
/// # Errors When the directory cannot be listed or a command cannot be read. A file that is no command is not an
/// error but waits for its answer.
pub fn list(disk: &Arc<dyn Disk>, data: &Path) -> Result<Vec<Waiting>, StorageError> {
    let mut waiting = Vec::new();
    for file in names(disk, data)? {
        let Some(name) = file.strip_suffix(COMMAND) else { continue };
        // The sender may have withdrawn it since.
        let Some(text) = read(disk, &directory(data).join(&file))? else { continue };
        let command = text.and_then(|bytes| Command::from_bytes(&bytes));
        waiting.push(Waiting { name: name.to_owned(), command });
    }
    Ok(waiting)
}

/// Removes the command `name` and leaves its answer.
///
/// # Errors
/// When the disk refuses.
pub fn answer(disk: &Arc<dyn Disk>, data: &Path, name: &str, answer: &Answer) -> Result<(), StorageError> {
    withdraw(disk, data, name)?;
    write(disk, data, name, ANSWER, answer)
}

/// The answer to the command `name`, once; `None` while there is none.
///
/// # Errors
/// When it cannot be read or removed, or is none.
pub fn take(disk: &Arc<dyn Disk>, data: &Path, name: &str) -> Result<Option<Answer>, StorageError> {
    let path = directory(data).join(format!("{name}{ANSWER}"));
    let Some(text) = read(disk, &path)? else { return Ok(None) };
    remove(disk, &path)?;
    match text.and_then(|bytes| Answer::from_bytes(&bytes)) {
        Ok(answer) => Ok(Some(answer)),
        Err(found) => Err(StorageError::Damaged {
            what: "answer of a job",
            path,
            at: 0,
            expected: "JSON with \"ok\"".into(),
            found,
            advice: "The command may have been carried out: look at the list of checkpoints.",
        }),
    }
}

/// Takes the command `name` back. True if it was still there; otherwise it is being carried out, or has been.
///
/// # Errors
/// When the disk refuses.
pub fn withdraw(disk: &Arc<dyn Disk>, data: &Path, name: &str) -> Result<bool, StorageError> {
    remove(disk, &directory(data).join(format!("{name}{COMMAND}")))
}

/// Removes what an earlier job left behind, and refuses the commands that are there: whether their senders are gone or
/// were too early, nobody can tell.
///
/// # Errors
/// When the disk refuses.
pub fn clear(disk: &Arc<dyn Disk>, data: &Path) -> Result<(), StorageError> {
    let left = names(disk, data)?;
    for name in left.iter().filter(|name| name.ends_with(ANSWER) || name.ends_with(NEW)) {
        remove(disk, &directory(data).join(name))?;
    }
    for name in left.iter().filter_map(|name| name.strip_suffix(COMMAND)) {
        let error = "it was still starting; ask again".to_owned();
        answer(disk, data, name, &Answer::Refused { error })?;
    }
    Ok(())
}

impl Command {
    /// Reads a file's content.
    ///
    /// # Errors
    /// A sentence that says why it is no command.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let command: Command =
            serde_json::from_slice(bytes).map_err(|error| format!("the file is no command: {error}"))?;
        match &command {
            Command::Savepoint { name } if !is_savepoint_name(name) => Err(format!(
                "a savepoint cannot be called {name:?}: a name has 1 to {SAVEPOINT_NAME_MAX} letters, digits, -, _ and ., and not only \
                 digits"
            )),
            _ => Ok(command),
        }
    }
}

impl Answer {
    /// Reads a file's content.
    ///
    /// # Errors
    /// A sentence that says why it is no answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("the file is no answer: {error}"))
    }
}

/// An answer as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Answer> for Written {
    fn from(answer: Answer) -> Self {
        let (ok, nothing) = (!matches!(answer, Answer::Refused { .. }), None::<u64>);
        let (number, tick, groups, error) = match answer {
            Answer::Done { number, tick } => (Some(number), Some(tick), None, None),
            Answer::Moved { tick, groups } => (nothing, Some(tick), Some(groups), None),
            Answer::Refused { error } => (nothing, nothing, None, Some(error)),
        };
        Written { ok, number, tick, groups, error }
    }
}

impl TryFrom<Written> for Answer {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written { ok: true, number: Some(number), tick: Some(tick), groups: None, error: None } => {
                Ok(Answer::Done { number, tick })
            }
            Written { ok: true, number: None, tick: Some(tick), groups: Some(groups), error: None } => {
                Ok(Answer::Moved { tick, groups })
            }
            Written { ok: false, number: None, tick: None, groups: None, error: Some(error) } => {
                Ok(Answer::Refused { error })
            }
            _ => Err("it needs `number` and `tick`, `tick` and `groups`, or `error`"),
        }
    }
}

fn directory(data: &Path) -> PathBuf {
    data.join("control")
}

/// Everything in the directory; nothing if it is not there.
fn names(disk: &Arc<dyn Disk>, data: &Path) -> Result<Vec<String>, StorageError> {
    let directory = directory(data);
    match disk.list(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|error| StorageError::io("list", &directory, error)),
    }
}

/// Writes `value` under another name first, then renames it.
fn write(
    disk: &Arc<dyn Disk>,
    data: &Path,
    name: &str,
    suffix: &str,
    value: &impl Serialize,
) -> Result<(), StorageError> {
    let path = directory(data).join(format!("{name}{suffix}"));
    let new = directory(data).join(format!("{name}{suffix}{NEW}"));
    let bytes = serde_json::to_vec(value).expect("plain data, and memory takes it");
    let file = disk.open(&new, How::Create).map_err(|error| StorageError::io("create", &new, error))?;
    let written = file.write_at(&bytes, 0).and_then(|()| disk.rename(&new, &path));
    written.map_err(|error| {
        // Half a file is in nobody's way for longer than until the next start.
        let _ = disk.remove(&new);
        StorageError::io("write", &path, error)
    })
}

/// A file's content, or why it has none that is worth reading; `None` if it is not there.
fn read(disk: &Arc<dyn Disk>, path: &Path) -> Result<Option<Result<Vec<u8>, String>>, StorageError> {
    let content = || -> io::Result<Result<Vec<u8>, String>> {
        let file = disk.open(path, How::Read)?;
        let len = file.len()?;
        if len > COMMAND_BYTES_MAX {
            return Ok(Err(format!("the file has {len} bytes, and no command or answer has")));
        }
        let mut bytes = vec![0; len as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Ok(bytes))
    };
    match content() {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", path, error)),
    }
}

/// Removes a file; false if it was not there.
fn remove(disk: &Arc<dyn Disk>, path: &Path) -> Result<bool, StorageError> {
    match disk.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("remove", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Faults, Simulated};

    const DATA: &str = "/data";

    fn machine() -> Arc<dyn Disk> {
        Arc::new(Simulated::new(3, Faults::default()))
    }

    fn savepoint(name: &str) -> Command {
        Command::Savepoint { name: name.to_owned() }
    }

    fn put(disk: &Arc<dyn Disk>, name: &str, bytes: &[u8]) {
        let path = directory(Path::new(DATA)).join(name);
        disk.create_directory(path.parent().unwrap()).unwrap();
        disk.open(&path, How::Create).unwrap().write_at(bytes, 0).unwrap();
    }

    #[test]
    fn commands_and_answers_are_written_as_documented() {
        let json = |command: &Command| serde_json::to_string(command).unwrap();
        assert_eq!(json(&savepoint("x")), r#"{"command":"savepoint","name":"x"}"#);
        assert_eq!(json(&Command::Checkpoint), r#"{"command":"checkpoint"}"#);
        let json = |answer: &Answer| serde_json::to_string(answer).unwrap();
        let (done, refused) =
            (Answer::Done { number: 12, tick: 345 }, Answer::Refused { error: "late".to_owned() });
        assert_eq!(json(&done), r#"{"ok":true,"number":12,"tick":345}"#);
        assert_eq!(json(&refused), r#"{"ok":false,"error":"late"}"#);
        let moved = Answer::Moved { tick: 345, groups: 16 };
        assert_eq!(json(&moved), r#"{"ok":true,"tick":345,"groups":16}"#);
        assert_eq!(Answer::from_bytes(json(&moved).as_bytes()), Ok(moved));
        for answer in [done, refused] {
            assert_eq!(Answer::from_bytes(json(&answer).as_bytes()), Ok(answer));
        }
    }

    #[test]
    fn a_command_is_carried_out_once_and_in_order() {
        let (disk, data) = (machine(), Path::new(DATA));
        assert_eq!(list(&disk, data).unwrap(), [], "no directory, no commands");
        send(&disk, data, "2", &Command::Checkpoint).unwrap();
        send(&disk, data, "1", &savepoint("a")).unwrap();
        let waiting = list(&disk, data).unwrap();
        let seen: Vec<_> =
            waiting.iter().map(|waiting| (waiting.name.as_str(), waiting.command.clone())).collect();
        assert_eq!(seen, [("1", Ok(savepoint("a"))), ("2", Ok(Command::Checkpoint))]);

        assert_eq!(take(&disk, data, "1").unwrap(), None, "not answered yet");
        answer(&disk, data, "1", &Answer::Done { number: 1, tick: 2 }).unwrap();
        assert_eq!(list(&disk, data).unwrap().len(), 1, "what was answered waits no more");
        assert_eq!(take(&disk, data, "1").unwrap(), Some(Answer::Done { number: 1, tick: 2 }));
        assert_eq!(take(&disk, data, "1").unwrap(), None, "an answer is taken once");

        assert!(withdraw(&disk, data, "2").unwrap());
        assert!(!withdraw(&disk, data, "2").unwrap());
        assert_eq!(list(&disk, data).unwrap(), []);
    }

    #[test]
    fn what_is_no_command_waits_with_the_reason() {
        let (disk, data) = (machine(), Path::new(DATA));
        for (name, bytes, reason) in [
            ("a.command", &b"not json"[..], "no command"),
            ("b.command", br#"{"command":"dance"}"#, "unknown variant `dance`"),
            ("c.command", br#"{"command":"savepoint"}"#, "missing field `name`"),
            ("d.command", br#"{"command":"savepoint","name":"../../x"}"#, "cannot be called"),
            ("e.command", br#"{"command":"savepoint","name":"12"}"#, "not only digits"),
            ("f.command", br#"{"command":"savepoint","name":"x","more":1}"#, "unknown field `more`"),
            ("g.command", b"", "no command"),
            ("h.command", &[b' '; 70_000], "70000 bytes"),
        ] {
            put(&disk, name, bytes);
            let waiting = list(&disk, data).unwrap().pop().unwrap();
            assert_eq!(format!("{}.command", waiting.name), name);
            let found = waiting.command.unwrap_err();
            assert!(found.contains(reason), "{name}: {found}");
        }
        put(&disk, "z.command.new", b"half");
        put(&disk, "z.other", b"");
        assert_eq!(list(&disk, data).unwrap().len(), 8, "half a command is none");
    }

    #[test]
    fn who_commands_a_job_that_starts_is_told_to_ask_again() {
        let (disk, data) = (machine(), Path::new(DATA));
        clear(&disk, data).unwrap();
        send(&disk, data, "early", &Command::Checkpoint).unwrap();
        for left in ["a.answer", "z.command.new", "z.other"] {
            put(&disk, left, b"");
        }
        clear(&disk, data).unwrap();
        assert_eq!(disk.list(&directory(data)).unwrap(), ["early.answer", "z.other"]);
        let error = "it was still starting; ask again".to_owned();
        assert_eq!(take(&disk, data, "early").unwrap(), Some(Answer::Refused { error }));
        send(&disk, data, "gone", &Command::Checkpoint).unwrap();
        clear(&disk, data).unwrap();
        clear(&disk, data).unwrap();
        assert_eq!(disk.list(&directory(data)).unwrap(), ["z.other"], "an answer stays for one run");
    }

    #[test]
    fn a_bad_answer_is_an_error_with_its_place() {
        let (disk, data) = (machine(), Path::new(DATA));
        for bytes in [&b"{"[..], br#"{"ok":true}"#, br#"{"ok":false,"number":1,"tick":2}"#, b"\xFF"] {
            put(&disk, "a.answer", bytes);
            let error = take(&disk, data, "a").unwrap_err().to_string();
            assert!(error.starts_with("/data/control/a.answer: damaged answer of a job"), "{error}");
            assert_eq!(take(&disk, data, "a").unwrap(), None, "it is not read again");
        }
    }

    #[test]
    fn a_name_is_used_by_one_sender() {
        let (disk, data) = (machine(), Path::new(DATA));
        put(&disk, "a.command.new", b"");
        assert!(send(&disk, data, "a", &Command::Checkpoint).is_err());
    }

    #[test]
    fn a_disk_that_is_full_takes_no_command() {
        let faults = Faults { full_at_bytes: Some(4), ..Faults::default() };
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(3, faults));
        let error = send(&disk, Path::new(DATA), "a", &Command::Checkpoint).unwrap_err();
        assert!(matches!(error, StorageError::Full { .. }), "{error}");
        assert_eq!(disk.list(&directory(Path::new(DATA))).unwrap(), Vec::<String>::new());
    }
}
