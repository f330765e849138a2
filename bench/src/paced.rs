//! The open-loop source: it emits events when they are due, whatever becomes of them.
//!
//! Partition `w` of `p` emits the events `i` with `i % p == w`, in order, each at the first read at or after its time.
//! Reads come as often as the engine polls; an engine that polls late gets the events late, their latency counted
//! from when they were due. The watermark follows the clock while nothing is due, in whole milliseconds like the
//! event times, so that a window closes at its end and not when the next event happens to come.

use crate::event::Event;
use crate::schedule::Schedule;
use pelton::prelude::*;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MILLISECOND: u64 = 1_000_000;

/// Events on a schedule that starts at a moment of the engine's clock.
#[derive(Clone, Debug)]
pub struct Paced {
    schedule: Schedule,
    start_ns: u64,
    /// How long after the start the last event was emitted.
    emitted_ns: Arc<AtomicU64>,
}

impl Paced {
    /// A source whose schedule starts at `start_ns`.
    pub fn new(schedule: Schedule, start_ns: u64) -> Paced {
        Paced { schedule, start_ns, emitted_ns: Arc::default() }
    }

    /// How long after the start the last event was emitted, once all have been.
    pub fn emitted_ns(&self) -> u64 {
        self.emitted_ns.load(Ordering::Relaxed)
    }
}

impl Source for Paced {
    type Item = Event;
    type Partition = PacedPartition;

    fn partitions(&self, shards: usize) -> usize {
        shards
    }

    fn open(&self, index: usize, of: usize) -> PacedPartition {
        PacedPartition {
            source: self.clone(),
            events: self.schedule.events(),
            step: of as u64,
            next: index as u64,
            next_due_ns: self.schedule.due_ns(index as u64),
            watermark: EventTime::MIN,
        }
    }

    fn is_replayable(&self) -> bool {
        // Event `i` is the same in every life; only when it comes depends on the clock.
        true
    }
}

/// One partition of a [`Paced`] source.
#[derive(Debug)]
pub struct PacedPartition {
    source: Paced,
    events: u64,
    step: u64,
    next: u64,
    /// When event `next` is due, after the start.
    next_due_ns: u64,
    watermark: EventTime,
}

impl Partition for PacedPartition {
    type Item = Event;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Event)) -> Polled {
        let Some(now_ns) = poll.now.0.checked_sub(self.source.start_ns) else { return Polled::Open };
        let mut left = poll.records_max;
        while self.next < self.events && self.next_due_ns <= now_ns && left > 0 {
            out(Event::at(self.next, self.next_due_ns / MILLISECOND));
            left -= 1;
            self.next += self.step;
            self.next_due_ns = self.source.schedule.due_ns(self.next);
            if self.next >= self.events {
                self.source.emitted_ns.fetch_max(now_ns, Ordering::Relaxed);
            }
        }
        // While events are waiting that were due before now, time has only come as far as the next of them.
        let behind = self.next < self.events && self.next_due_ns <= now_ns;
        let reached_ns = if behind { self.next_due_ns } else { now_ns };
        self.watermark = EventTime::from_millis((reached_ns / MILLISECOND) as i64);
        // The stream lasts as long as its schedule: ending with the last event would close the last window early.
        let over = self.next >= self.events && now_ns / MILLISECOND >= self.source.schedule.total_ms();
        if over { Polled::Done } else { Polled::Open }
    }

    fn watermark(&self) -> EventTime {
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::{Nanos, Tick};

    const START: u64 = 5_000_000_000;

    fn source(rate: u64) -> Paced {
        Paced::new(Schedule { rate, warmup_ms: 0, duration_ms: 100 }, START)
    }

    /// What a read at `at_ns` after the start gives.
    fn read(partition: &mut PacedPartition, at_ns: i64, records_max: usize) -> (Vec<u64>, Polled) {
        let mut times = Vec::new();
        let now = Nanos(START.checked_add_signed(at_ns).unwrap());
        let poll = Poll { now, tick: Tick(1), records_max, logged_max: 0 };
        let polled = partition.poll(poll, &mut |event| times.push(event.time_ms));
        (times, polled)
    }

    #[test]
    fn events_come_when_they_are_due_and_not_before() {
        let mut partition = source(1_000).open(0, 1);
        assert_eq!(read(&mut partition, -1, 9), (vec![], Polled::Open));
        assert_eq!(partition.watermark(), EventTime::MIN);
        assert_eq!(read(&mut partition, 0, 9).0, [0]);
        assert_eq!(read(&mut partition, 999_999, 9), (vec![], Polled::Open));
        assert_eq!(read(&mut partition, 3_000_000, 9).0, [1, 2, 3]);
        assert_eq!(partition.watermark(), EventTime::from_millis(3));
    }

    #[test]
    fn the_watermark_follows_the_clock_only_when_nothing_is_due() {
        let mut partition = source(1_000).open(0, 1);
        assert_eq!(read(&mut partition, 50_500_000, 10).0.len(), 10);
        assert_eq!(partition.watermark(), EventTime::from_millis(10));
        assert_eq!(read(&mut partition, 50_500_000, 100).0.len(), 41);
        assert_eq!(partition.watermark(), EventTime::from_millis(50));
    }

    #[test]
    fn no_event_is_older_than_an_earlier_watermark() {
        for (rate, of) in [(100_000, 1), (99_991, 2), (333, 3)] {
            for index in 0..of {
                let mut partition = source(rate).open(index, of);
                for at in (0..110_000_000).step_by(7_919) {
                    let before = partition.watermark();
                    let (times, _) = read(&mut partition, at, 3);
                    assert!(times.iter().all(|&time| EventTime::from_millis(time as i64) >= before));
                }
            }
        }
    }

    #[test]
    fn partitions_together_emit_every_event_and_end_with_the_schedule() {
        let source = source(12_345);
        let mut events = 0;
        for index in 0..3 {
            let mut partition = source.open(index, 3);
            let (times, polled) = read(&mut partition, 99_999_999, 10_000);
            assert_eq!(polled, Polled::Open, "the schedule has a nanosecond left");
            assert_eq!(read(&mut partition, 100_000_000, 10_000), (vec![], Polled::Done));
            events += times.len() as u64;
        }
        assert_eq!(events, source.schedule.events());
        assert_eq!(source.emitted_ns(), 99_999_999);
    }
}
