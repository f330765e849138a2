//! Which program a start is with, where a scenario has several.
//!
//! | a start                                      | is with                                                               |
//! |----------------------------------------------|-----------------------------------------------------------------------|
//! | after a suspension, or from a savepoint      | any program: none may be refused                                      |
//! | after one that was cut short before it began | that one's program once more; if it is refused, the one before it     |
//! | otherwise                                    | the program of before, now and then another one, which may be refused |
//!
//! The program that the directory is of is never refused.

use super::Chance;
use pelton_core::Tick;
use pelton_storage::Manifest;

/// Of a thousand starts where the program may change, so many draw one.
const CHANGES: u32 = 800;
/// The same where it may not.
const ATTEMPTS: u32 = 100;

pub(super) struct Programs {
    chance: Chance,
    count: usize,
    /// Those that the directory may be of, the one that was tried last first.
    may_be: Vec<usize>,
    /// The job was suspended with a checkpoint, and no start has come far enough since to be another beginning.
    suspended: bool,
    /// After such a suspension it was begun with, and cut short: so it goes on either way.
    surely: Option<usize>,
    /// The last that began, and the generation of its shards.
    begun: Option<(usize, u32)>,
}

impl Programs {
    pub(super) fn new(chance: Chance, count: usize) -> Self {
        Programs { chance, count, may_be: vec![0], suspended: false, surely: None, begun: None }
    }

    /// Whether there are several.
    pub(super) fn change(&self) -> bool {
        self.count > 1
    }

    /// Whether nothing else is to end a run that is to be suspended: otherwise hardly any program ever changed.
    pub(super) fn wait_for_suspensions(&mut self) -> bool {
        self.change() && self.chance.happens(CHANGES)
    }

    /// The program of the next start: one from a savepoint, or one of which it is not known whether an earlier one has gone back to one.
    pub(super) fn next(&mut self, goes_back: bool, in_doubt: bool) -> usize {
        let is_known = self.may_be.len() == 1 && !in_doubt;
        if !self.change() || !goes_back && !is_known {
            return self.may_be[0];
        }
        let changes = if goes_back || self.suspended { CHANGES } else { ATTEMPTS };
        if self.chance.happens(changes) {
            self.chance.below(self.count as u64) as usize
        } else {
            self.may_be[0]
        }
    }

    /// A start said that the directory is another job's. The program to try instead. If the disk was damaged, a suspension may not be seen.
    ///
    /// # Errors
    /// What must not be, where the program should not have been refused.
    pub(super) fn refused(
        &mut self,
        program: usize,
        goes_back: bool,
        damaged: bool,
    ) -> Result<usize, String> {
        if goes_back {
            return Err(format!("program {program} was to begin from a savepoint"));
        }
        if (self.suspended || self.surely == Some(program)) && !damaged {
            return Err(format!("the job was suspended, and program {program} was to go on"));
        }
        self.may_be.retain(|other| *other != program);
        let next = self.may_be.first();
        next.copied()
            .ok_or_else(|| format!("the directory is of program {program}, or of one refused before it"))
    }

    /// The directory was opened with it: from now on it may be this one's.
    pub(super) fn opened(&mut self, program: usize) {
        if std::mem::take(&mut self.suspended) || self.surely.is_some() {
            self.surely = Some(program);
        }
        self.may_be.retain(|other| *other != program);
        self.may_be.insert(0, program);
    }

    /// It is this one's. If it has begun a history of its own: the tick behind which that begins.
    pub(super) fn began(&mut self, program: usize, manifest: &Manifest) -> Option<Tick> {
        (self.may_be, self.surely) = (vec![program], None);
        let before = self.begun.replace((program, manifest.generation));
        if before == self.begun {
            return None;
        }
        // It is there when its generation begins.
        let base = manifest.checkpoints.iter().find(|known| Some(known.number) == manifest.base);
        Some(Tick(base.map_or(0, |base| base.tick)))
    }

    /// The program that began last.
    pub(super) fn last(&self) -> Option<usize> {
        self.begun.map(|(program, _)| program)
    }

    /// The job was suspended, with a checkpoint of all that it had taken in.
    pub(super) fn are_suspended(&mut self) {
        self.suspended = true;
    }
}
