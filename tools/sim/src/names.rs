//! The rows that a sink was shown, by their names: a name must always mean the same row.

use pelton::Tick;
use std::collections::BTreeMap;

/// A row as a sink is shown it; what the numbers mean is the job's business.
pub type Shown = [i64; 4];

/// The name of a row: its tick, its shard, its number.
pub type Name = (Tick, u16, u64);

/// Rows by their names.
#[derive(Default)]
pub struct Names {
    /// Every row that was ever shown.
    seen: BTreeMap<Name, Shown>,
    /// The same, of rows that were taken back: their names do not come again.
    taken_back: BTreeMap<Name, Shown>,
    /// The first thing that must not be.
    broken: Option<String>,
    /// The last tick that these shards have shown.
    latest: Tick,
}

impl Names {
    /// The rows of a tick are shown by a shard.
    pub fn show(&mut self, tick: Tick, shard: u16, rows: &[Shown]) {
        self.latest = self.latest.max(tick);
        for (row, seq) in rows.iter().zip(0..) {
            let name = (tick, shard, seq);
            let before = self.seen.insert(name, *row).or(self.taken_back.get(&name).copied());
            if before.is_some_and(|before| before != *row) {
                let name = (tick.0, shard, seq);
                self.is_broken(format!("{name:?} (tick, shard, number) was {before:?} and is now {row:?}"));
            }
        }
    }

    /// Rows of ticks behind this one are taken back.
    pub fn take_back(&mut self, to: Tick) {
        let behind = self.seen.split_off(&(Tick(to.0 + 1), 0, 0));
        self.taken_back.extend(behind);
    }

    /// Shards begin, and nothing is durable yet as far as they know.
    pub fn began(&mut self) {
        self.latest = Tick(0);
    }

    /// Something that must not be.
    pub fn is_broken(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// What must not be, if it is.
    pub fn check(&self, durable_through: Tick) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if self.latest > durable_through {
            return Err(format!(
                "rows of tick {} were shown when only {} is durable",
                self.latest.0, durable_through.0
            ));
        }
        Ok(())
    }

    /// All rows that were shown and not taken back.
    pub fn seen(&self) -> &BTreeMap<Name, Shown> {
        &self.seen
    }
}
