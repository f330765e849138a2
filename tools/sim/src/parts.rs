//! The files of the exactly-once file sink, on the disk that dies with the job, and somebody who reads them.
//!
//! ```text
//!  commit      the rows get their names, as those of a database do
//!  flush       the part holds all rows so far, whatever dies but the machine
//!  death       a reader looks: what counted of each part is there, byte for byte
//!  start       of each part exactly the rows are left through the tick that the sink says it has, no byte more; a killed process has not cost any
//!  the end     all parts are the rows that were shown, in the order of their names
//! ```

use crate::names::{Name, Names, Shown};
use pelton::core::sink::{Recalled, SinkNotes};
use pelton::sim::{OUTPUT, RunEnd, Simulated};
use pelton::sinks::{Sink, SinkWriter, file_with};
use pelton::{EventTime, Fault, ShardId, Tick};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A mistake that is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A checkpoint counts before the rows are durable.
    Unsynced,
}

/// The parts of a sink; a clone is a handle to the same ones.
#[derive(Clone)]
pub struct Parts {
    disk: Simulated,
    directory: PathBuf,
    mistake: Option<Mistake>,
    /// Bits of parts may turn over: then only what a start has looked at is right.
    flips: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: Names,
    /// The history of the job that there are rows of.
    generation: u32,
    /// Through which tick a part has all rows, by what the writers of this run were told.
    counted: BTreeMap<u16, Tick>,
    /// The same of a run that has ended, if what was written since the checkpoint has to be there.
    kept: BTreeMap<u16, Tick>,
}

impl State {
    /// What a part has to hold through a tick.
    fn bytes(&self, part: u16, through: Tick) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rows = self.names.seen().range(..=(through, u16::MAX, u64::MAX));
        rows.filter(|((_, shard, _), _)| *shard == part).for_each(|(_, row)| encode(row, &mut bytes));
        bytes
    }
}

fn encode([a, b, c, d]: &Shown, out: &mut Vec<u8>) {
    // Into memory.
    let _ = writeln!(out, "{a} {b} {c} {d}");
}

fn decode(line: &str) -> Option<Shown> {
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?, next()?])
}

/// Where two texts part, for people.
fn differ(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let part = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[at.min(bytes.len())..bytes.len().min(at + 40)]).into_owned()
    };
    format!(
        "{} bytes, and should be {}; from byte {at} on {:?}, and should be {:?}",
        found.len(),
        expected.len(),
        part(found),
        part(expected)
    )
}

impl Parts {
    /// Those of a job's sink number `number`, of which there are none yet.
    pub fn new(disk: &Simulated, number: usize, mistake: Option<Mistake>, flips: bool) -> Self {
        let directory = PathBuf::from(OUTPUT).join(number.to_string());
        Parts { disk: disk.clone(), directory, mistake, flips, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a reader finds in a part.
    fn found(&self, part: u16) -> Vec<u8> {
        self.disk.seen(&self.directory.join(format!("part-{part:04}.rows"))).unwrap_or_default()
    }

    /// Shards begin.
    pub fn began(&self) {
        self.state().names.began();
    }

    /// The process is gone, and a reader looks at what it has left.
    pub fn ended(&self, run_end: RunEnd) {
        let mut state = self.state();
        let counted = std::mem::take(&mut state.counted);
        state.kept.clear();
        // After the loss of power what was not durable may be there or not, until a start has looked at it; and where the job was suspended, the
        // machine may have been restarted.
        if !matches!(run_end, RunEnd::Killed | RunEnd::Stopped) || self.flips {
            return;
        }
        for (part, through) in &counted {
            let (found, expected) = (self.found(*part), state.bytes(*part, *through));
            if !found.starts_with(&expected) {
                let what = format!(
                    "the process has ended, and part {part} of tick {} is not what it was: {}",
                    through.0,
                    differ(&found, &expected)
                );
                state.names.is_broken(what);
            }
        }
        state.kept = counted;
    }

    /// What must not be, if it is.
    pub fn check(&self, durable_through: Tick) -> Result<(), String> {
        self.state().names.check(durable_through)
    }

    /// Rows that were shown, by their names.
    pub fn seen(&self) -> BTreeMap<Name, Shown> {
        self.state().names.seen().clone()
    }

    /// The rows of all parts, as a reader finds them in the end.
    ///
    /// # Errors
    /// When a part is not the rows that were shown, in the order of their names.
    pub fn rows(&self) -> Result<Vec<Shown>, String> {
        let state = self.state();
        let mut rows = Vec::new();
        for part in 0..PARTS_MAX {
            let (found, expected) = (self.found(part), state.bytes(part, Tick::END));
            if found != expected {
                return Err(format!("part {part} is not what was shown: {}", differ(&found, &expected)));
            }
            let text = String::from_utf8(found).map_err(|error| format!("part {part}: {error}"))?;
            for line in text.lines() {
                rows.push(decode(line).ok_or_else(|| format!("part {part}: `{line}` is no row"))?);
            }
        }
        Ok(rows)
    }
}

/// There are never more shards.
const PARTS_MAX: u16 = 16;

impl Sink<Shown> for Parts {
    type Writer = PartWriter;

    fn open(&self, shard: ShardId) -> PartWriter {
        // A process has the disk for as long as it runs: what it drops later changes nothing.
        let files = file_with(&self.directory, "rows", encode).on_disk(Arc::new(self.disk.of_this_process()));
        let inner = Box::new(Sink::<Shown>::open(&files, shard));
        let (rows, found) = (Vec::new(), None);
        PartWriter { shard: shard.0, rows, shown: Tick(0), found, inner, parts: self.clone() }
    }

    fn is_transactional(&self) -> bool {
        true
    }
}

/// The writing end on one shard: that of the files, and a witness.
pub struct PartWriter {
    shard: u16,
    /// Of the tick in progress.
    rows: Vec<Shown>,
    /// The last tick of which it has rows.
    shown: Tick,
    /// The history, the checkpoint and the tick that a start which is not certain yet goes on from.
    found: Option<(u32, Tick, Tick)>,
    inner: Box<dyn SinkWriter<Shown>>,
    parts: Parts,
}

impl PartWriter {
    fn counts(&self) {
        self.parts.state().counted.insert(self.shard, self.shown);
    }
}

impl SinkWriter<Shown> for PartWriter {
    fn write(&mut self, at: EventTime, row: Shown) {
        self.rows.push(row);
        self.inner.write(at, row);
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        self.shown = tick;
        self.parts.state().names.show(tick, self.shard, &std::mem::take(&mut self.rows));
        self.inner.commit(tick)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.inner.flush()?;
        self.counts();
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.inner.close()?;
        self.counts();
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), Fault> {
        self.inner.suspend()
    }

    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        self.inner.note(notes)?;
        self.counts();
        if self.parts.mistake == Some(Mistake::Unsynced) {
            notes.syncs.clear();
        }
        Ok(())
    }

    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        let kept = self.inner.recall(recalled)?;
        let mut state = self.parts.state();
        let before = state.kept.get(&self.shard).copied().unwrap_or_default();
        let goes_on = state.generation == recalled.generation && !recalled.begins;
        if kept < recalled.checkpoint || goes_on && kept < before {
            let what = format!(
                "part {} says that it has the rows through {}; it had them through {}, and the checkpoint is of {}",
                self.shard, kept.0, before.0, recalled.checkpoint.0
            );
            state.names.is_broken(what);
        }
        self.found = Some((recalled.generation, recalled.checkpoint, kept));
        Ok(kept)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.inner.begin()?;
        let Some((generation, checkpoint, kept)) = self.found.take() else { return Ok(()) };
        self.shown = kept;
        let mut state = self.parts.state();
        if std::mem::replace(&mut state.generation, generation) != generation {
            state.names.take_back(checkpoint);
        }
        let (found, expected) = (self.parts.found(self.shard), state.bytes(self.shard, kept));
        if found != expected {
            let what = format!(
                "part {} goes on from tick {} and is not what it was: {}",
                self.shard,
                kept.0,
                differ(&found, &expected)
            );
            state.names.is_broken(what);
        }
        state.counted.insert(self.shard, kept);
        Ok(())
    }
}
