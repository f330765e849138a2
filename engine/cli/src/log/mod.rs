//! `pelton log`: what the logs of a data directory hold.
//!
//! All of it only reads, and keeps no job out. Beside a running job the files are shown as they are now: the job writes
//! behind, and may recycle a file under the reader. One that begins meanwhile is noticed and said. Only `verify` insists on
//! a directory that stands still, and looks again if a job has come and gone.

mod export;
mod hashes;
mod inspect;
mod replay;
mod times;
mod verify;

use std::error::Error;

use clap::{Args, Subcommand};
use pelton_storage::{GroupFacts, LogScan, Look, Manifest, Presence, StorageError};

use crate::data::{Data, DataArg, LogPlace};
use crate::exit::Misused;
use crate::moment::Moment;
use crate::output::note;
use crate::program::Program;
use crate::progress::Progress;
use times::Ticks;

/// Look at the logs of a job.
#[derive(Args)]
pub struct LogCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print what each shard's log holds.
    Inspect {
        #[command(flatten)]
        selection: Selection,
        /// Print one line for each entry, too.
        #[arg(long)]
        entries: bool,
    },
    /// Check every byte of manifest, snapshots and logs; ends with exit code 1 if anything is damaged.
    Verify {
        #[command(flatten)]
        data: DataArg,
    },
    /// Print each entry as a line of JSON.
    Export {
        #[command(flatten)]
        selection: Selection,
    },
    /// Print the hashes of the state that the run recorded (see `log.hash_ticks`).
    Hashes {
        #[command(flatten)]
        selection: Selection,
    },
    /// Rebuild the state from a checkpoint and the logs, print its hash after each tick, and compare it with what the run
    /// recorded.
    Replay {
        #[command(flatten)]
        selection: Selection,
        /// Print a line for each shard and stage, not only one for each tick.
        #[arg(long)]
        step: bool,
    },
}

/// What of the logs to look at.
#[derive(Args)]
struct Selection {
    #[command(flatten)]
    data: DataArg,
    /// Only this shard.
    #[arg(long, value_name = "N")]
    shard: Option<u16>,
    /// Nothing before this tick, or this time: 345, 14:03 (today), "2026-11-24 14:03", 2026-11-24T14:03:05Z.
    #[arg(long, value_name = "TICK|TIME", allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Nothing after this tick, or this time.
    #[arg(long, value_name = "TICK|TIME", allow_hyphen_values = true)]
    to: Option<Moment>,
}

impl LogCommand {
    /// Runs the command; a replay is the `program`'s.
    ///
    /// # Errors
    /// When there is no such directory, or it is damaged.
    pub fn run(self, program: &dyn Program) -> Result<(), Box<dyn Error>> {
        match self.action {
            Action::Inspect { selection, entries } => shown(&selection, |logs| inspect::run(logs, entries)),
            Action::Verify { data } => verify::run(&data.open()?),
            Action::Export { selection } => shown(&selection, export::run),
            Action::Hashes { selection } => shown(&selection, hashes::run),
            Action::Replay { selection, step } => {
                shown(&selection, |logs| replay::run(logs, &selection, step, program))
            }
        }
    }
}

/// Shows something of the logs that were selected.
fn shown(
    selection: &Selection,
    show: impl FnOnce(&Logs) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let logs = Logs::of(selection)?;
    show(&logs)?;
    logs.conclude();
    Ok(())
}

/// The logs that were selected.
struct Logs {
    data: Data,
    manifest: Manifest,
    places: Vec<Selected>,
    look: Look,
    /// Who was at work when the looking began.
    before: Presence,
}

/// A log, and what of it.
#[derive(Clone, Debug)]
struct Selected {
    place: LogPlace,
    ticks: Ticks,
}

impl Selected {
    fn has(&self, tick: u64) -> bool {
        (self.ticks.from..=self.ticks.to).contains(&tick)
    }

    /// Whether the log is looked at to its end.
    fn to_the_end(&self) -> bool {
        self.ticks.to == u64::MAX
    }
}

impl Logs {
    fn of(selection: &Selection) -> Result<Self, Box<dyn Error>> {
        let data = selection.data.open()?;
        let disordered = match (selection.from, selection.to) {
            (Some(Moment::Tick(from)), Some(Moment::Tick(to))) => from > to,
            (Some(Moment::Time(from)), Some(Moment::Time(to))) => from > to,
            _ => false,
        };
        if let (true, Some(from), Some(to)) = (disordered, selection.from, selection.to) {
            return Err(Misused(format!("--from: {from} comes after {to}, which --to gives")).into());
        }
        let before = data.presence()?;
        let manifest = data.manifest()?;
        let look = if before.is_in_use { Look::Beside } else { Look::Alone };
        if look == Look::Beside {
            note(&format!("a job is at work in {}; this is what is in its files now", data.path.display()));
        }
        let mut places = data.logs()?;
        if let Some(shard) = selection.shard {
            let shards = places.iter().map(|place| place.shard).max().map_or(0, |last| u32::from(last) + 1);
            places.retain(|place| place.shard == shard);
            if places.is_empty() {
                return Err(Misused(format!(
                    "--shard: {} has no log of shard {shard}; it has {shards}, counted from 0",
                    data.path.display()
                ))
                .into());
            }
        }
        let places = places.into_iter().map(|place| Selected { place, ticks: Ticks::ALL }).collect();
        let mut logs = Logs { data, manifest, places, look, before };
        times::select(&mut logs, selection.from, selection.to)?;
        Ok(logs)
    }

    fn scan(&self, place: &LogPlace) -> Result<Option<LogScan>, Box<dyn Error>> {
        let scan = self.data.scan(place, &self.manifest, self.look).map_err(|error| self.explain(error))?;
        if let Some(unseen) = scan.as_ref().and_then(LogScan::unseen) {
            let shard = place.shard;
            note(&format!("what shard {shard} has only in memory cannot be shown: {unseen}"));
        }
        Ok(scan)
    }

    /// The next group that may hold something of these ticks.
    fn group(&self, scan: &mut LogScan, ticks: Ticks) -> Result<Option<GroupFacts>, Box<dyn Error>> {
        loop {
            let group = scan.group().map_err(|error| self.explain(error))?;
            match group {
                Some(group) if group.last_tick < ticks.from => {}
                // Ticks never fall within a log.
                Some(group) if group.tick_before > ticks.to => return Ok(None),
                group => return Ok(group),
            }
        }
    }

    fn explain(&self, error: StorageError) -> String {
        match self.look {
            Look::Alone if !self.has_changed() => error.to_string(),
            Look::Alone => {
                format!("{error} A job has begun here meanwhile, so this may be no damage: try once more.")
            }
            Look::Beside => format!(
                "{error} The job that is at work may have used the file again meanwhile: try once more, or when it has ended."
            ),
        }
    }

    /// Whether a job has begun here since the looking began.
    fn has_changed(&self) -> bool {
        // Where that cannot be told any more, what was seen is as good as it was.
        self.data.presence().is_ok_and(|now| now != self.before)
    }

    /// Says so if what was shown may be of two times.
    fn conclude(&self) {
        if self.look == Look::Alone && self.has_changed() {
            let place = self.data.path.display();
            note(&format!(
                "a job has begun in {place} meanwhile; what was shown is in part of before, in part of after"
            ));
        }
    }
}

/// How far a walk through several logs is, for a person who waits.
struct Walked {
    progress: Progress,
    /// Bytes of the logs that were walked through.
    before: u64,
    /// Bytes of the segments in use of the one that is walked through now, and where it begins.
    now: u64,
    begins: u64,
}

impl Walked {
    fn of(logs: &Logs, progress: Progress) -> Self {
        let bytes = |selected: &Selected| logs.data.bytes_in(&selected.place.directory).unwrap_or(0);
        Self::new(progress, logs.places.iter().map(bytes).sum())
    }

    fn new(progress: Progress, bytes: u64) -> Self {
        progress.phase("", bytes);
        Walked { progress, before: 0, now: 0, begins: 0 }
    }

    /// Goes on to the next log.
    fn begin(&mut self, place: &LogPlace, scan: &LogScan) {
        self.before += self.now;
        self.now = scan.segments().map(|segment| segment.bytes).sum();
        let first = scan.segments().map(|segment| segment.number).min().unwrap_or(0);
        self.begins = first * scan.options().segment_bytes;
        let LogPlace { generation, shard, .. } = place;
        self.progress.at(self.before, format!("log of shard {shard}, generation {generation}"));
    }

    fn group(&self, group: &GroupFacts) {
        self.progress.done(self.before + group.position.saturating_sub(self.begins));
    }
}

/// The file and place of a position, for messages.
fn place_of(scan: &LogScan, position: u64) -> String {
    let segment_bytes = scan.options().segment_bytes;
    let (number, at) = (position / segment_bytes, position % segment_bytes);
    match scan.segments().find(|segment| segment.number == number) {
        Some(segment) => format!("{} at byte {at} (position {position})", segment.path.display()),
        None => format!("position {position}"),
    }
}
