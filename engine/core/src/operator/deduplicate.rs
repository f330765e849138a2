//! Deduplication: of the records of a key that lie close together in event time, the first passes.
//!
//! A record passes unless one of its key that passed lies less than the *horizon* away from it, earlier or
//! later. First means first in the merge order (tick, edge, source shard, sequence). Where duplicates are
//! equal it does not show which of them passed, so the result does not depend on the number of shards or the
//! cut into ticks; where they differ and come from one source partition, the first in that partition's order
//! passes.
//!
//! ```text
//!        forgotten       | remembered
//!  --------------------- | [ w - h, w ) ---- [ w, w + h ) ---- [ w + h, w + 2h ) ...    generations, h = horizon
//!                                              ^ the watermark is in here
//! ```
//!
//! What passed is remembered in one table for each generation, a stretch of event time as long as the
//! horizon, and forgotten a generation at a time as the watermark goes on: the state is bounded by the keys
//! of two horizons and of what is ahead of the watermark. A record costs a lookup in each generation that it
//! could have a duplicate in, at most three.
//!
//! A record so old that part of what it has to be compared with is forgotten is late, unless what is left
//! shows that it is a duplicate. It is counted, and goes into the late output. What is left to a record is what would be left if there were no other
//! partition than its own, so that it does not depend on how far the others are.

use crate::bounds::{BATCH, FIRE_ROWS_MAX, PANE_ROWS};
use crate::exchange::frame::Frame;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Operator, TickInfo};
use crate::record::key::Key;
use crate::record::{Record, read};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::arena::Arena;
use crate::state::risen::Risen;
use crate::state::store::StateStore;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::ops::Range;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    First,
    Duplicate,
    Late,
}

/// The memory of the operator: the keys that passed within `[number * horizon, (number + 1) * horizon)`, each with the time of its record, in
/// the table of that number. A key is in one once: a second record would be less than the horizon away.
struct Seen<K> {
    horizon: i64,
    /// Few generations as a rule, and as many as there are records at worst.
    generations: Rc<RefCell<Arena<K, i64>>>,
    /// From this time on everything is remembered that a record can be a duplicate of.
    known: Rc<RefCell<Risen>>,
}

impl<K: Key> Seen<K> {
    fn new(horizon: i64, store: &StateStore) -> Self {
        assert!(horizon > 0, "a horizon above zero");
        Seen { horizon, generations: store.arena(), known: store.risen(i64::MIN.into()) }
    }

    /// The generations that are less than the horizon away from some time of generation `number`.
    fn near(generations: &Arena<K, i64>, number: i64) -> Range<usize> {
        let from = generations.partition_point(|generation| generation < number.saturating_sub(1));
        let near = (from..generations.len())
            .take_while(|at| generations.number(*at) <= Some(number.saturating_add(1)));
        from..from + near.count()
    }

    /// Asks the processor to have at hand what records at about `at` are compared with.
    fn prefetch(&self, hashes: &[u64], at: i64) {
        let generations = self.generations.borrow();
        for generation in Self::near(&generations, at.div_euclid(self.horizon)) {
            let table = generations.table(generation);
            hashes.iter().for_each(|hash| table.prefetch(*hash));
        }
    }

    /// From which time on everything is remembered that a record can be a duplicate of, once the watermark has come to this.
    fn known(&self, watermark: i64) -> i64 {
        watermark.div_euclid(self.horizon).saturating_mul(self.horizon)
    }

    /// The first generation that is remembered then.
    fn first(&self, watermark: i64) -> i64 {
        watermark.div_euclid(self.horizon).saturating_sub(1)
    }

    /// Judges a record, and remembers it if it is the first. Its own partition has come to `watermark`, and what would be forgotten by then has no part
    /// in it.
    fn judge(
        &mut self,
        hash: u64,
        at: i64,
        watermark: i64,
        same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
    ) -> Result<Verdict, Fault> {
        let mut generations = self.generations.borrow_mut();
        let number = at.div_euclid(self.horizon);
        let first = self.first(watermark);
        for generation in Self::near(&generations, number) {
            if generations.number(generation).is_some_and(|number| number < first) {
                continue;
            }
            let (table, _) = generations.table_mut(generation);
            let passed = table.find(hash, &same);
            if passed.is_some_and(|passed| passed.abs_diff(at) < self.horizon.unsigned_abs()) {
                return Ok(Verdict::Duplicate);
            }
        }
        if at < self.known(watermark) || i128::from(at) < self.known.borrow().get() {
            return Ok(Verdict::Late);
        }
        let generation = generations.open(number);
        let (table, saver) = generations.table_mut(generation);
        table.place(hash, saver, same, || (key(), at))?;
        Ok(Verdict::First)
    }

    /// No record that matters is older than `watermark` any more: forgets what only such a one could be a
    /// duplicate of, within `budget` rows' worth of time; true when all of it is forgotten.
    fn advance(&mut self, watermark: i64, budget: &mut usize) -> bool {
        self.known.borrow_mut().raise(self.known(watermark).into());
        let mut generations = self.generations.borrow_mut();
        loop {
            generations.clear_some(budget);
            let expired = |generation: i64| generation < self.first(watermark);
            if generations.is_clean() && !generations.number(0).is_some_and(expired) {
                return true;
            }
            if *budget == 0 {
                return false;
            }
            *budget = budget.saturating_sub(PANE_ROWS);
            if generations.number(0).is_some_and(expired) {
                generations.retire_first();
            }
        }
    }
}

/// The deduplicating operator behind an exchange by `K`. First records go to `next`, late ones to `late`,
/// duplicates nowhere.
pub struct DeduplicateOperator<K, T, N> {
    seen: Seen<K>,
    next: N,
    late: SideOutput<T>,
    context: Rc<StageContext>,
    _records: PhantomData<T>,
}

impl<K: Key, T: Record, N: Push<T>> DeduplicateOperator<K, T, N> {
    /// An operator that has seen nothing. Records of a key less than `horizon` nanoseconds apart are
    /// duplicates.
    ///
    /// # Panics
    /// When the horizon is not above zero.
    pub fn new(horizon: i64, at: OperatorContext, next: N, late: SideOutput<T>) -> Self {
        let seen = Seen::new(horizon, &at.store);
        DeduplicateOperator { seen, next, late, context: at.context, _records: PhantomData }
    }

    #[cold]
    fn late(&mut self, keyed: &ArchivedKeyed<K, T>) {
        self.context.stats.late.add(1);
        self.late.push(EventTime(keyed.at.into()), read(&keyed.item));
    }

    fn take(&mut self, hash: u64, keyed: &ArchivedKeyed<K, T>, watermark: i64) -> Result<(), Fault> {
        let at: i64 = keyed.at.into();
        match self.seen.judge(hash, at, watermark, |key| key.is(&keyed.key), || read(&keyed.key))? {
            Verdict::First => self.next.push(EventTime(at), read(&keyed.item)),
            Verdict::Duplicate => self.context.stats.duplicates.add(1),
            Verdict::Late => self.late(keyed),
        }
        Ok(())
    }

    /// Up to [`BATCH`] records of fixed size: where they are of about one time, their lookups overlap.
    fn take_batch(&mut self, batch: &[ArchivedKeyed<K, T>], watermark: i64) -> Result<(), Fault> {
        let mut hashes = [0; BATCH];
        for (hash, keyed) in hashes.iter_mut().zip(batch) {
            *hash = read::<K>(&keyed.key).hash();
        }
        self.seen.prefetch(&hashes[..batch.len()], batch[0].at.into());
        hashes.iter().zip(batch).try_for_each(|(hash, keyed)| self.take(*hash, keyed, watermark))
    }
}

impl<K: Key, T: Record, N: Push<T>> Operator for DeduplicateOperator<K, T, N> {
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        let batch = frame.batch::<Keyed<K, T>>();
        let overdue = frame.overdue();
        if overdue.is_some() {
            self.next.overdue(overdue);
        }
        let watermark = overdue.unwrap_or(EventTime::MIN).0;
        match batch.fixed() {
            Some(records) => records.chunks(BATCH).try_for_each(|batch| self.take_batch(batch, watermark))?,
            None => batch.entries().try_for_each(|(hash, keyed)| self.take(hash, keyed, watermark))?,
        }
        if overdue.is_some() {
            self.next.overdue(None);
        }
        self.context.check()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        let done = self.seen.advance(tick.watermark.0, &mut { FIRE_ROWS_MAX });
        self.context.check().map(|()| done)
    }
}

impl<K: 'static, T: 'static, N: Pipe> Pipe for DeduplicateOperator<K, T, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::{HeapMemory, Memory};
    use crate::state::slab::Slabs;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    fn seen(horizon: i64) -> Seen<u64> {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        Seen::new(horizon, &StateStore::new(memory.clone(), Slabs::new(memory)))
    }

    /// By definition: all that passed, compared with one by one, and nothing forgotten.
    struct Twin {
        horizon: i64,
        passed: Vec<(u64, i64)>,
    }

    impl Twin {
        fn judge(&mut self, key: u64, at: i64) -> Verdict {
            let near = |(k, t): &(u64, i64)| {
                *k == key && (i128::from(*t) - i128::from(at)).abs() < i128::from(self.horizon)
            };
            if self.passed.iter().any(near) {
                return Verdict::Duplicate;
            }
            self.passed.push((key, at));
            Verdict::First
        }
    }

    fn judge(seen: &mut Seen<u64>, key: u64, at: i64) -> Verdict {
        seen.judge(key.hash(), at, i64::MIN, |k| *k == key, || key).unwrap()
    }

    /// In steps of a generation.
    fn advance(seen: &mut Seen<u64>, watermark: i64) {
        while !seen.advance(watermark, &mut 3) {}
    }

    /// Records up to `disorder` behind the newest, with the watermark as far behind as is honest.
    fn check(seed: u64, horizon: i64, disorder: i64, keys: u64, start: i64) {
        let mut seen = self::seen(horizon);
        let mut twin = Twin { horizon, passed: Vec::new() };
        let (mut now, mut held) = (start, 0);
        for draw in 0..1_500 {
            let chance = join(seed, draw);
            now += (chance % 4) as i64;
            let (key, at) = ((chance >> 8) % keys, now - (chance >> 16) as i64 % (disorder + 1));
            let expected = twin.judge(key, at);
            assert_eq!(judge(&mut seen, key, at), expected, "seed {seed}, horizon {horizon}: {key} at {at}");
            if chance >> 60 == 0 {
                advance(&mut seen, now - disorder);
            }
            held = held.max(seen.generations.borrow().len());
        }
        // Two horizons and what is ahead, in whole generations; between two advances time goes on by at most
        // a few hundred.
        assert!(
            held as i64 <= 4 + (disorder + 600) / horizon,
            "{held} generations of {horizon} at disorder {disorder}"
        );
    }

    #[test]
    fn agrees_with_the_definition_and_forgets() {
        for seed in 0..20 {
            for (horizon, disorder) in
                [(1, 0), (1, 7), (10, 0), (10, 3), (10, 200), (100, 40), (5_000, 100), (i64::MAX, 9)]
            {
                check(seed, horizon, disorder, 8, 0);
                check(seed, horizon, disorder, 40, -2_000);
            }
        }
    }

    #[test]
    fn the_borders_are_exact() {
        let mut seen = self::seen(10);
        assert_eq!(judge(&mut seen, 1, 20), Verdict::First);
        assert_eq!(judge(&mut seen, 1, 29), Verdict::Duplicate);
        assert_eq!(judge(&mut seen, 1, 11), Verdict::Duplicate);
        assert_eq!(judge(&mut seen, 1, 30), Verdict::First, "a horizon away is not within it");
        assert_eq!(judge(&mut seen, 1, 10), Verdict::First);
        assert_eq!(judge(&mut seen, 2, 20), Verdict::First);
    }

    #[test]
    fn what_cannot_be_known_is_late() {
        let mut seen = self::seen(10);
        assert_eq!(judge(&mut seen, 1, 25), Verdict::First);
        advance(&mut seen, 35);
        assert_eq!(
            judge(&mut seen, 2, 30),
            Verdict::First,
            "behind the watermark, but all that matters is remembered"
        );
        assert_eq!(judge(&mut seen, 1, 24), Verdict::Duplicate, "late, and known to be a duplicate");
        assert_eq!(judge(&mut seen, 3, 29), Verdict::Late);
        advance(&mut seen, 40);
        assert_eq!(judge(&mut seen, 1, 25), Verdict::Late, "forgotten");
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for horizon in [1, 1_000, i64::MAX] {
            let mut seen = self::seen(horizon);
            advance(&mut seen, i64::MIN);
            for at in [i64::MIN, -1, 0, i64::MAX] {
                assert_eq!(judge(&mut seen, at as u64, at), Verdict::First);
                assert_eq!(judge(&mut seen, at as u64, at), Verdict::Duplicate);
            }
            advance(&mut seen, i64::MAX);
            let first = seen.generations.borrow().number(0);
            assert!(first.is_none_or(|generation| generation >= i64::MAX / horizon - 1));
        }
    }
}
