//! Starts from a savepoint: which there are, whether a start is to go back to one, and whether it did.
//!
//! A start that is cut short may have gone back or not, which is known when the next one has opened the directory: until then nobody asks for
//! another one.

use super::Chance;
use pelton_core::Tick;
use pelton_storage::{Checkpoint, Manifest};
use std::collections::BTreeSet;

pub(super) struct Savepoints {
    chance: Chance,
    /// Those that can be gone back to: name, number of the checkpoint, tick.
    known: Vec<(String, u64, Tick)>,
    /// Checkpoints that were given up: what sinks were shown before them was taken back.
    given_up: BTreeSet<u64>,
    /// How often one was asked for: each is a request of its own.
    asked: u64,
    attempt: Option<Attempt>,
}

/// A start from a savepoint of which it is not known whether it came that far.
struct Attempt {
    number: u64,
    tick: Tick,
    generation: u32,
}

impl Savepoints {
    pub(super) fn new(chance: Chance) -> Self {
        Savepoints { chance, known: Vec::new(), given_up: BTreeSet::new(), asked: 1, attempt: None }
    }

    /// These are there for good.
    pub(super) fn are(&mut self, manifest: &Manifest) {
        let is_kept = |checkpoint: &&Checkpoint| !self.given_up.contains(&checkpoint.number);
        let named = |checkpoint: &Checkpoint| {
            checkpoint.savepoint.clone().map(|name| (name, checkpoint.number, Tick(checkpoint.tick)))
        };
        self.known = manifest.checkpoints.iter().filter(is_kept).filter_map(named).collect();
    }

    /// Whether a start that was cut short may have gone back to one.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.attempt.is_some()
    }

    /// What the next start is to go back to: so often of a thousand times to some savepoint, if there is any.
    pub(super) fn ask(&mut self, per_mille: u32) -> Option<String> {
        let asks = self.chance.happens(per_mille);
        if !asks || self.known.is_empty() || self.attempt.is_some() {
            return None;
        }
        self.asked += 1;
        Some(format!("{}@{}", self.chance.choose(&self.known).0, self.asked))
    }

    /// A start has opened the directory, and asked for a savepoint or not. If an earlier one has gone back to one, though it was cut short: the
    /// savepoint's tick.
    pub(super) fn opened(&mut self, manifest: &Manifest, asked: bool) -> Option<Tick> {
        self.are(manifest);
        let base = manifest.base.and_then(|base| manifest.checkpoints.iter().find(|c| c.number == base));
        let here = |attempt: &Attempt| {
            attempt.generation == manifest.generation && Some(attempt.number) == manifest.base
        };
        let before = self.attempt.take().filter(here);
        if asked && let Some(base) = base {
            let (number, tick) = (base.number, Tick(base.tick));
            self.attempt = Some(Attempt { number, tick, generation: manifest.generation });
        }
        before.map(|attempt| self.went_back(attempt.tick))
    }

    /// The start is certain. The savepoint's tick, if it has gone back to one.
    pub(super) fn began(&mut self) -> Option<Tick> {
        self.attempt.take().map(|attempt| self.went_back(attempt.tick))
    }

    fn went_back(&mut self, to: Tick) -> Tick {
        self.given_up.extend(self.known.iter().filter(|(.., tick)| *tick > to).map(|(_, number, _)| *number));
        self.known.retain(|(.., tick)| *tick <= to);
        to
    }
}
