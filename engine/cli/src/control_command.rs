//! `pelton checkpoint` and `pelton savepoint`: commands to a job that runs.
//!
//! A command is a file in the data directory; the job answers with another. See `pelton_storage::control`.

use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use jiff::Timestamp;
use pelton_storage::control::{self, Answer, Command, SAVEPOINT_NAME_MAX, is_savepoint_name};

use crate::count::count;
use crate::data::{Data, DataArg};
use crate::exit::program_name;
use crate::moment::show_tick;
use crate::output::print;
use crate::progress::Progress;

/// The time from one look for an answer to the next.
const LOOK: Duration = Duration::from_millis(50);

/// Tell a running job to make a checkpoint now.
#[derive(Args)]
pub struct CheckpointCommand {
    #[command(flatten)]
    data: DataArg,
    #[command(flatten)]
    wait: Wait,
}

/// Tell a running job to make a checkpoint that stays until it is deleted.
#[derive(Args)]
pub struct SavepointCommand {
    #[command(flatten)]
    data: DataArg,
    /// What to call it: letters, digits, `-`, `_` and `.` [default: the date and time].
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Move key groups of a running job from shard to shard.
#[derive(Args)]
pub struct RebalanceCommand {
    #[command(flatten)]
    data: DataArg,
    /// Key groups, the first to the last, and the shard that gets them [default: whichever even the load out].
    #[arg(long = "move", value_name = "FIRST-LAST=SHARD", value_parser = parse_move)]
    moves: Option<(u32, u32, u16)>,
    #[command(flatten)]
    wait: Wait,
}

/// Reads the name of a savepoint.
fn parse_name(name: &str) -> Result<String, String> {
    let refusal = || {
        format!(
            "a savepoint cannot be called that: a name has 1 to {SAVEPOINT_NAME_MAX} letters, digits, `-`, `_` and `.`, and not only \
             digits"
        )
    };
    is_savepoint_name(name).then(|| name.to_owned()).ok_or_else(refusal)
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
    ///
    /// # Errors
    /// When no job runs there, or it does not do it, with what it says.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let (first, last, shard) = match self.moves {
            Some((first, last, shard)) => (Some(first), Some(last), Some(shard)),
            None => (None, None, None),
        };
        let command = Command::Rebalance { first, last, shard };
        let done = carry_out(&self.data.open()?, &command, &self.wait)?;
        Ok(print(&match (done.groups, self.moves) {
            (0, None) => "nothing to do: the shards have about as much to do as each other\n".to_owned(),
            (0, Some((.., shard))) => format!("nothing to do: these key groups are on shard {shard}\n"),
            (1, _) => format!("1 key group moved after tick {}\n", show_tick(done.tick)),
            (groups, _) => format!("{groups} key groups moved after tick {}\n", show_tick(done.tick)),
        })?)
    }
}

#[derive(Args)]
struct Wait {
    /// How long to wait for the job's answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = count)]
    timeout: u64,
}

impl CheckpointCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When no job runs there, or it does not do it, with what it says.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let Done { number, tick, .. } = carry_out(&self.data.open()?, &Command::Checkpoint, &self.wait)?;
        Ok(print(&format!("checkpoint {number}, of tick {}\n", show_tick(tick)))?)
    }
}

impl SavepointCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When no job runs there, or it does not do it, with what it says.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let name = self.name.unwrap_or_else(|| name_of(SystemTime::now()));
        let command = Command::Savepoint { name: name.clone() };
        let Done { number, tick, .. } = carry_out(&self.data.open()?, &command, &self.wait)?;
        Ok(print(&format!("savepoint {name} is checkpoint {number}, of tick {}\n", show_tick(tick)))?)
    }
}

/// What became of a command.
struct Done {
    /// The checkpoint's number.
    number: u64,
    tick: u64,
    /// How many key groups moved.
    groups: u32,
}

/// Leaves the command and waits for what becomes of it.
fn carry_out(data: &Data, command: &Command, wait: &Wait) -> Result<Done, Box<dyn Error>> {
    let place = data.path.display();
    if !data.is_in_use()? {
        return Err(format!("no job is running on {place}").into());
    }
    let (disk, path) = (&data.disk, &data.path);
    let name = unique();
    control::send(disk, path, &name, command)?;
    let progress = Progress::new("waiting for the job");
    let since = Instant::now();
    let longest = Duration::from_secs(wait.timeout);
    loop {
        // In this order: a job that answers and ends at once has answered.
        let ended = !data.is_in_use()?;
        match control::take(disk, path, &name)? {
            Some(Answer::Done { number, tick }) => return Ok(Done { number, tick, groups: 0 }),
            Some(Answer::Moved { tick, groups }) => return Ok(Done { number: 0, tick, groups }),
            Some(Answer::Refused { error }) => {
                return Err(format!("the job on {place} did not do it: {error}").into());
            }
            None => {}
        }
        let program = program_name();
        let (is_late, seconds) = (since.elapsed() >= longest, wait.timeout);
        if ended || is_late {
            let withdrawn = control::withdraw(disk, path, &name)?;
            let message = match (ended, withdrawn) {
                (true, _) => format!(
                    "the job on {place} ended before it answered; `{program} data show {place}` lists what there is"
                ),
                (false, true) => format!(
                    "the job on {place} did not take the command within {seconds} s, and it was withdrawn; raise --timeout"
                ),
                (false, false) => format!(
                    "the job on {place} took the command but was not done within {seconds} s; it may still be: \
                     `{program} data show {place}` lists what there is"
                ),
            };
            return Err(message.into());
        }
        progress.phase(format!("{} s", since.elapsed().as_secs()), wait.timeout);
        progress.done(since.elapsed().as_secs());
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
    let time = Timestamp::try_from(time).unwrap_or_default();
    time.strftime("savepoint-%Y%m%d-%H%M%S").to_string()
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
