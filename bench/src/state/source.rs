//! Many keys at once, and then a steady load on them.
//!
//! The events are one row, the same in every life of the job: first one for each key, as fast as they are taken, then the paced ones, each
//! due at its time after the first. Partition `w` of `p` has every `p`-th of them.
//!
//! ```text
//!  event         0 .. keys                    keys .. and so on
//!  key           each once                    drawn from the first `hot`
//!  event time    0                            the millisecond in which it is due
//! ```
//!
//! After a restart the paced ones go on where they were: the next one of whichever partition is first asked for something new is due then.

use crate::clock::now_ns;
use crate::mix;
use pelton::prelude::*;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u128 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// No moment.
const NEVER: u64 = u64::MAX;

/// An event of a key.
#[pelton::record]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The key.
    pub key: u64,
    /// When, in milliseconds; 0 while the keys are being filled in.
    pub time_ms: u64,
}

/// How many, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Keys.
    pub keys: u64,
    /// Of them those that are touched by the paced events.
    pub hot: u64,
    /// Paced events for a second.
    pub rate: u64,
    /// Partitions, whatever the number of shards.
    pub partitions: usize,
}

impl Keys {
    /// Paced events whose time is from one millisecond on, and before another.
    pub fn paced_between(&self, from_ms: u64, to_ms: u64) -> u64 {
        let before = |ms: u64| (u128::from(ms) * u128::from(self.rate)).div_ceil(1_000) as u64;
        before(to_ms) - before(from_ms)
    }
}

/// What partitions and onlookers share.
#[derive(Debug)]
struct SourceState {
    /// Keys that have been filled in, in this life or an earlier one.
    filled: AtomicU64,
    /// When event `keys` is or was due.
    start_ns: AtomicU64,
    /// When anything was first taken in that is new in this life.
    live_ns: AtomicU64,
    /// The event time of that, in milliseconds.
    live_ms: AtomicU64,
}

/// The source; a clone is a handle to the same.
#[derive(Clone, Debug)]
pub struct Touches {
    keys: Keys,
    shared: Arc<SourceState>,
}

impl Touches {
    /// A source whose paced part begins when all keys are filled in.
    pub fn new(keys: Keys) -> Touches {
        let shared = SourceState {
            filled: AtomicU64::new(0),
            start_ns: AtomicU64::new(NEVER),
            live_ns: AtomicU64::new(NEVER),
            live_ms: AtomicU64::new(NEVER),
        };
        Touches { keys, shared: Arc::new(shared) }
    }

    /// Keys that are filled in.
    pub fn filled(&self) -> u64 {
        self.shared.filled.load(Ordering::Relaxed)
    }

    /// When the moment 0 of event time is or was, once that is known.
    pub fn start_ns(&self) -> Option<u64> {
        known(&self.shared.start_ns)
    }

    /// When the first event was taken in that is new in this life, and its event time in milliseconds.
    pub fn live(&self) -> Option<(u64, u64)> {
        Some((known(&self.shared.live_ns)?, known(&self.shared.live_ms)?))
    }

    /// Event `i`.
    #[inline]
    fn event(&self, i: u64) -> Touch {
        match i.checked_sub(self.keys.keys) {
            None => Touch { key: i, time_ms: 0 },
            Some(paced) => {
                Touch { key: mix(paced) % self.keys.hot, time_ms: self.due_ns(paced) / MILLISECOND }
            }
        }
    }

    /// When paced event `i` is due, after the start.
    #[inline]
    fn due_ns(&self, i: u64) -> u64 {
        (u128::from(i) * SECOND / u128::from(self.keys.rate)) as u64
    }
}

fn known(number: &AtomicU64) -> Option<u64> {
    Some(number.load(Ordering::Acquire)).filter(|number| *number != NEVER)
}

/// Sets a moment that is not known yet.
fn set_once(number: &AtomicU64, value: u64) {
    let _ = number.compare_exchange(NEVER, value, Ordering::AcqRel, Ordering::Acquire);
}

impl Source for Touches {
    type Item = Touch;
    type Partition = TouchPartition;

    fn partitions(&self, _: usize) -> usize {
        self.keys.partitions
    }

    fn open(&self, index: usize, of: usize) -> TouchPartition {
        TouchPartition {
            source: self.clone(),
            step: of as u64,
            next: index as u64,
            watermark: EventTime::MIN,
            asked: false,
        }
    }

    fn is_replayable(&self) -> bool {
        true
    }
}

/// One partition of [`Touches`].
#[derive(Debug)]
pub struct TouchPartition {
    source: Touches,
    step: u64,
    next: u64,
    watermark: EventTime,
    /// Whether it was asked for anything new.
    asked: bool,
}

impl TouchPartition {
    fn fill(&mut self, records_max: usize, out: &mut impl FnMut(Touch)) -> u64 {
        let (keys, mut filled) = (self.source.keys.keys, 0);
        while self.next < keys && filled < records_max as u64 {
            out(self.source.event(self.next));
            self.next += self.step;
            filled += 1;
        }
        self.source.shared.filled.fetch_add(filled, Ordering::Relaxed);
        filled
    }
}

impl Partition for TouchPartition {
    type Item = Touch;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Touch)) -> Polled {
        if !self.asked && poll.records_max > 0 {
            self.asked = true;
            let now = now_ns();
            set_once(&self.source.shared.live_ms, self.source.event(self.next).time_ms);
            set_once(&self.source.shared.live_ns, now);
        }
        let keys = self.source.keys.keys;
        if self.next < keys {
            self.fill(poll.records_max, out);
            return Polled::Open;
        }
        if self.source.filled() < keys {
            return Polled::Open;
        }
        let shared = &self.source.shared;
        set_once(&shared.start_ns, poll.now.0.saturating_sub(self.source.due_ns(self.next - keys)));
        let start_ns = shared.start_ns.load(Ordering::Acquire);
        let Some(now_ns) = poll.now.0.checked_sub(start_ns) else { return Polled::Open };
        let mut left = poll.records_max;
        while left > 0 && self.source.due_ns(self.next - keys) <= now_ns {
            out(self.source.event(self.next));
            self.next += self.step;
            left -= 1;
        }
        // While events are waiting that were due before now, time has only come as far as the next of them.
        let reached_ns = self.source.due_ns(self.next - keys).min(now_ns);
        let reached = EventTime::from_millis((reached_ns / MILLISECOND) as i64);
        self.watermark = self.watermark.max(reached);
        Polled::Open
    }

    fn watermark(&self) -> EventTime {
        self.watermark
    }

    fn replay(&mut self, poll: Poll, _: &[u8], out: &mut impl FnMut(Touch)) -> Result<(), String> {
        let filled = self.fill(poll.records_max, out);
        for _ in filled..poll.records_max as u64 {
            out(self.source.event(self.next));
            self.next += self.step;
        }
        Ok(())
    }

    fn resume(&mut self, records: u64, _: &[u8]) -> Result<(), String> {
        let to_fill = self.source.keys.keys.saturating_sub(self.next).div_ceil(self.step);
        self.source.shared.filled.fetch_add(records.min(to_fill), Ordering::Relaxed);
        self.next += records * self.step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::{Nanos, Tick};

    const KEYS: Keys = Keys { keys: 10, hot: 4, rate: 1_000, partitions: 3 };

    fn poll(partition: &mut TouchPartition, now: u64, records_max: usize) -> Vec<Touch> {
        let mut touches = Vec::new();
        let poll = Poll { now: Nanos(now), tick: Tick(1), records_max, logged_max: 0 };
        partition.poll(poll, &mut |touch| touches.push(touch));
        touches
    }

    #[test]
    fn all_keys_come_first_and_then_what_is_due() {
        let source = Touches::new(KEYS);
        let mut partitions: Vec<_> = (0..3).map(|index| source.open(index, 3)).collect();
        let filled: Vec<Touch> = poll(&mut partitions[0], 50, 100);
        assert_eq!(filled.iter().map(|touch| touch.key).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert_eq!(poll(&mut partitions[0], 50, 100), []);
        assert_eq!(source.start_ns(), None, "others are not done");
        poll(&mut partitions[1], 60, 100);
        poll(&mut partitions[2], 60, 100);
        assert_eq!(source.filled(), KEYS.keys);
        // Event 10 is the first paced one, and partition 1 has it.
        assert_eq!(poll(&mut partitions[1], 100, 100).len(), 1);
        assert_eq!(source.start_ns(), Some(100));
        assert_eq!(poll(&mut partitions[2], 100 + 999_999, 100), []);
        let touch = poll(&mut partitions[2], 100 + 1_000_000, 100)[0];
        assert_eq!((touch.time_ms, touch.key < KEYS.hot), (1, true));
        assert_eq!(partitions[2].watermark(), EventTime::from_millis(1));
    }

    #[test]
    fn events_of_a_stretch_of_time_are_counted_without_making_them() {
        for rate in [1, 333, 100_000] {
            let source = Touches::new(Keys { rate, ..KEYS });
            let times: Vec<u64> = (10..5_000).map(|i| source.event(i).time_ms).collect();
            for (from, to) in [(0, 1), (3, 17), (0, 49), (48, 49)] {
                let counted = times.iter().filter(|time| (from..to).contains(*time)).count() as u64;
                assert_eq!(source.keys.paced_between(from, to), counted, "{rate}/s from {from} to {to}");
            }
        }
    }

    #[test]
    fn a_later_life_goes_on_with_the_next_event() {
        for records in 0..9 {
            let source = Touches::new(KEYS);
            let (mut before, mut after) = (source.open(1, 3), Touches::new(KEYS).open(1, 3));
            let whole = Poll { now: Nanos(0), tick: Tick(1), records_max: 9, logged_max: 0 };
            let (mut all, mut rest) = (Vec::new(), Vec::new());
            before.replay(whole, &[], &mut |touch| all.push(touch)).unwrap();
            after.resume(records, &[]).unwrap();
            let left = Poll { records_max: 9 - records as usize, ..whole };
            after.replay(left, &[], &mut |touch| rest.push(touch)).unwrap();
            assert_eq!(rest, all[records as usize..]);
            assert_eq!((before.source.filled(), after.source.filled()), (3, 3), "keys 1, 4 and 7");
        }
    }
}
