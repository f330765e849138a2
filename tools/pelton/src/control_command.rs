//! `pelton checkpoint` and `pelton savepoint`: commands to a job that runs.
//!
//! A command is a file in the data directory; the job answers with another. See `pelton_storage::control`.

use std::error::Error;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use pelton_storage::control::{self, Answer, Command, SAVEPOINT_NAME_MAX, is_savepoint_name};

use crate::data::Data;
use crate::output::print;

/// The time from one look for an answer to the next.
const LOOK: Duration = Duration::from_millis(50);

/// Tell a running job to make a checkpoint now.
#[derive(Args)]
pub struct CheckpointCommand {
    /// The job's data directory.
    data: PathBuf,
    #[command(flatten)]
    wait: Wait,
}

/// Tell a running job to make a checkpoint that stays until it is deleted.
#[derive(Args)]
pub struct SavepointCommand {
    /// The job's data directory.
    data: PathBuf,
    /// What to call it: letters, digits, `-`, `_` and `.` [default: the date and time].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Move key groups of a running job from shard to shard.
#[derive(Args)]
pub struct RebalanceCommand {
    /// The job's data directory.
    data: PathBuf,
    /// Key groups, the first to the last, and the shard that gets them [default: whichever even the load out].
    #[arg(long = "move", value_name = "FIRST-LAST=SHARD", value_parser = parse_move)]
    moves: Option<(u32, u32, u16)>,
    #[command(flatten)]
    wait: Wait,
}

/// Reads `FIRST-LAST=SHARD`.
fn parse_move(text: &str) -> Result<(u32, u32, u16), String> {
    let wanted = || format!("{text:?} is not FIRST-LAST=SHARD, such as 0-511=1");
    let (groups, shard) = text.split_once('=').ok_or_else(wanted)?;
    let (first, last) = groups.split_once('-').unwrap_or((groups, groups));
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wanted());
    let (first, last, shard) = (number(first)?, number(last)?, number(shard)?);
    if first > last {
        return Err(format!("{text:?}: key group {first} comes after {last}"));
    }
    Ok((first, last, u16::try_from(shard).map_err(|_| wanted())?))
}

impl RebalanceCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let (first, last, shard) = match self.moves {
            Some((first, last, shard)) => (Some(first), Some(last), Some(shard)),
            None => (None, None, None),
        };
        let command = Command::Rebalance { first, last, shard };
        let (_, tick) = carry_out(&Data::at(&self.data)?, &command, &self.wait)?;
        Ok(print(&format!("key groups moved after tick {tick}\n"))?)
    }
}

#[derive(Args)]
struct Wait {
    /// How long to wait for the job's answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

impl CheckpointCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let (number, tick) = carry_out(&Data::at(&self.data)?, &Command::Checkpoint, &self.wait)?;
        Ok(print(&format!("checkpoint {number}, of tick {tick}\n"))?)
    }
}

impl SavepointCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let name = self.name.unwrap_or_else(|| name_of(SystemTime::now()));
        if !is_savepoint_name(&name) {
            let message = format!(
                "--name: a savepoint cannot be called {name:?}: a name has 1 to {SAVEPOINT_NAME_MAX} letters, \
                 digits, `-`, `_` and `.`, and not only digits"
            );
            return Err(message.into());
        }
        let command = Command::Savepoint { name: name.clone() };
        let (number, tick) = carry_out(&Data::at(&self.data)?, &command, &self.wait)?;
        Ok(print(&format!("savepoint {name} is checkpoint {number}, of tick {tick}\n"))?)
    }
}

/// Leaves the command and waits for what becomes of it: the checkpoint's number and tick.
fn carry_out(data: &Data, command: &Command, wait: &Wait) -> Result<(u64, u64), Box<dyn Error>> {
    let place = data.path.display();
    if !data.is_in_use()? {
        return Err(format!("no job is running on {place}").into());
    }
    let (disk, path) = (&data.disk, &data.path);
    let name = unique();
    control::send(disk, path, &name, command)?;
    let since = Instant::now();
    let longest = Duration::from_secs(wait.timeout);
    loop {
        // In this order: a job that answers and ends at once has answered.
        let ended = !data.is_in_use()?;
        match control::take(disk, path, &name)? {
            Some(Answer::Done { number, tick }) => return Ok((number, tick)),
            Some(Answer::Refused { error }) => {
                return Err(format!("the job on {place} did not do it: {error}").into());
            }
            None => {}
        }
        let (is_late, seconds) = (since.elapsed() >= longest, wait.timeout);
        if ended || is_late {
            let withdrawn = control::withdraw(disk, path, &name)?;
            let message = match (ended, withdrawn) {
                (true, _) => format!(
                    "the job on {place} ended before it answered; `pelton data show {place}` lists what there is"
                ),
                (false, true) => format!(
                    "the job on {place} did not take the command within {seconds} s, and it was withdrawn; raise --timeout"
                ),
                (false, false) => format!(
                    "the job on {place} took the command but was not done within {seconds} s; it may still be: \
                     `pelton data show {place}` lists what there is"
                ),
            };
            return Err(message.into());
        }
        sleep(LOOK);
    }
}

/// A name that no other sender has, and that sorts by time.
fn unique() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:020}-{}", since.as_nanos(), std::process::id())
}

/// The name of a savepoint that was given none: `savepoint-20261122-135501`.
fn name_of(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).collect::<String>();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("savepoint-{}-{}", digits(date), digits(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_savepoint_without_a_name_is_called_by_its_time() {
        let name = name_of(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_355_701));
        assert_eq!(name, "savepoint-20261122-135501");
        assert!(is_savepoint_name(&name));
    }
}
