//! What is sent in a crash test: a pure function of the seed, so that anything can be sent again, and checked, without being kept.
//!
//! The input is a row of units, each a single record or a transaction, of one producer. Producers take turns at random and number their own
//! records; event time rises with the units, so a producer alone in its inlet is in order, however often it sends. An inlet takes several in turn, each
//! with all that it has sent: they come out of order by as many units as wait there at most, and with that [bound](disorder_ms) none is ever late.

use super::protocol::{NEVER, Order, Sent};
use pelton_bench::mix;

/// Records have this many keys.
pub const KEYS: u64 = 499;
/// The windows' length.
pub const WINDOW_MS: u64 = 100;
/// Units on their way to the inlets, at most.
const UNITS_SENT: u64 = 8_192;
/// Units with the same event time.
const UNITS_PER_MS: u64 = 8;
/// The most records of a transaction.
const TRANSACTION_MAX: u64 = 12;
/// One unit in so many is a transaction.
const TRANSACTION_EVERY: u64 = 8;
/// One unit in so many comes after a transaction that is given up.
const ABORT_EVERY: u64 = 32;

/// How far the records of a partition come out of order: not at all, if no two producers share one.
pub fn disorder_ms(producers: u32, partitions: u64, capacity: usize) -> u64 {
    if u64::from(producers) <= partitions {
        return 0;
    }
    // A unit is a record at least.
    (partitions * capacity as u64 + UNITS_SENT) / UNITS_PER_MS
}

/// Draws numbers from a seed; each use has a stream of its own.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    state: u64,
}

impl Draw {
    /// The stream `name` of `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        let state = name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Draw { state }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A single record or a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Whose.
    pub producer: u32,
    /// Its records.
    pub count: u32,
    /// The number of the first.
    pub first: u64,
    /// Its event time.
    pub time_ms: u64,
    /// A transaction of so many records comes before it, and is given up.
    pub aborted: u32,
}

impl Unit {
    /// The number of its last record.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// The units so far; there is always a next one.
#[derive(Debug)]
pub struct CrashPlan {
    seed: u64,
    draw: Draw,
    units: Vec<Unit>,
    /// The last number of each producer.
    last: Vec<u64>,
}

impl CrashPlan {
    /// A plan for so many producers.
    pub fn new(seed: u64, producers: u32) -> Self {
        CrashPlan {
            seed,
            draw: Draw::new(seed, "units"),
            units: Vec::new(),
            last: vec![0; producers as usize],
        }
    }

    /// The units that have been planned.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The last planned number of each producer.
    pub fn last(&self) -> &[u64] {
        &self.last
    }

    /// Plans one more unit.
    pub fn next(&mut self) -> Unit {
        let draw = &mut self.draw;
        let producer = draw.below(self.last.len() as u64) as u32;
        let transaction = draw.once_in(TRANSACTION_EVERY);
        let count = if transaction { 2 + draw.below(TRANSACTION_MAX - 1) as u32 } else { 1 };
        let aborted = if draw.once_in(ABORT_EVERY) { 1 + draw.below(TRANSACTION_MAX) as u32 } else { 0 };
        let last = &mut self.last[producer as usize];
        let time_ms = self.units.len() as u64 / UNITS_PER_MS;
        let unit = Unit { producer, count, first: *last + 1, time_ms, aborted };
        *last += u64::from(count);
        self.units.push(unit);
        unit
    }

    /// The record `sequence` of a unit.
    pub fn record(&self, unit: &Unit, sequence: u64) -> Sent {
        let value = mix(self.seed ^ mix(u64::from(unit.producer) << 48 ^ sequence));
        Sent {
            producer: unit.producer,
            sequence,
            key: value % KEYS,
            time_ms: unit.time_ms,
            value: value >> 32,
        }
    }

    /// Gives the orders that send a unit, one after the other.
    ///
    /// # Errors
    /// The first one of `order`.
    pub fn orders<E>(&self, unit: &Unit, mut order: impl FnMut(Order) -> Result<(), E>) -> Result<(), E> {
        let Unit { producer, count, first, aborted, .. } = *unit;
        for _ in 0..aborted {
            order(Order::Part(Sent { sequence: NEVER, ..self.record(unit, first) }))?;
        }
        if aborted > 0 {
            order(Order::Abort { producer })?;
        }
        if count == 1 {
            return order(Order::Single(self.record(unit, first)));
        }
        for sequence in first..=unit.last() {
            order(Order::Part(self.record(unit, sequence)))?;
        }
        order(Order::Commit { producer, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_seed_and_leaves_no_number_out() {
        let plan = |seed| {
            let mut plan = CrashPlan::new(seed, 3);
            (0..1_000).for_each(|_| _ = plan.next());
            plan
        };
        let (one, two) = (plan(7), plan(7));
        assert_eq!(one.units(), two.units());
        assert_ne!(one.units(), plan(8).units());
        let mut next = [1; 3];
        for unit in one.units() {
            assert_eq!(unit.first, next[unit.producer as usize]);
            next[unit.producer as usize] = unit.last() + 1;
        }
        assert_eq!(next.map(|next| next - 1), one.last());
        assert!(
            one.units().iter().any(|unit| unit.count > 1) && one.units().iter().any(|unit| unit.aborted > 0)
        );
    }

    #[test]
    fn a_record_that_is_given_up_bears_no_number() {
        let mut plan = CrashPlan::new(1, 2);
        let unit = std::iter::repeat_with(|| plan.next()).find(|unit| unit.aborted > 0).unwrap();
        let mut orders = Vec::new();
        let keep = |order| {
            orders.push(order);
            Ok::<(), ()>(())
        };
        plan.orders(&unit, keep).unwrap();
        let never =
            orders.iter().filter(|order| matches!(order, Order::Part(sent) if sent.sequence == NEVER));
        assert_eq!(never.count() as u32, unit.aborted);
        assert_eq!(orders[unit.aborted as usize], Order::Abort { producer: unit.producer });
    }
}
