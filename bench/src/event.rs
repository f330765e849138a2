//! The generated event that all workloads but NEXMark's are made of.
//!
//! Event `i` is a pure function of `i`, so that any partition, on any core, in any engine, makes the same ones. It
//! costs a few nanoseconds, inside the pipeline and inside the measured time.

use crate::mix;
use crate::schedule::Schedule;

/// A bid, as a user of the engine would declare it.
#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What is bid on: one of 100,000 auctions, evenly.
    pub auction: u64,
    /// The price, below 10,000.
    pub price: u64,
    /// Who bids: one of a million users.
    pub user: u64,
    /// When, in milliseconds.
    pub time_ms: u64,
}

impl Event {
    /// Event `i` of a stream with a million events per second of event time.
    #[inline(always)]
    pub fn nth(i: u64) -> Event {
        Event::at(i, i / 1000)
    }

    /// Event `i` of an open-loop run: its time is the millisecond in which it is due.
    #[inline(always)]
    pub fn due(schedule: &Schedule, i: u64) -> Event {
        Event::at(i, schedule.time_ms(i))
    }

    /// Event `i` at a time given in milliseconds.
    #[inline(always)]
    pub(crate) fn at(i: u64, time_ms: u64) -> Event {
        let h = mix(i);
        Event { auction: h % 100_000, price: (h >> 32) % 10_000, user: mix(h) % 1_000_000, time_ms }
    }

    /// The part `partition` of `of` of the first `events` events: every `of`-th, in order.
    pub fn partition(events: u64, partition: usize, of: usize) -> impl Iterator<Item = Event> {
        (partition as u64..events).step_by(of).map(Event::nth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_zero_is_what_the_definition_says() {
        let h = 0xE220_A839_7B1D_CDAF_u64;
        let expected =
            Event { auction: h % 100_000, price: (h >> 32) % 10_000, user: mix(h) % 1_000_000, time_ms: 0 };
        assert_eq!(Event::nth(0), expected);
        assert_eq!(Event::nth(1_999).time_ms, 1);
    }

    #[test]
    fn partitions_together_are_the_whole() {
        for of in [1, 2, 3, 8] {
            let mut all: Vec<Event> = (0..of).flat_map(|p| Event::partition(100, p, of)).collect();
            let mut expected: Vec<Event> = (0..100).map(Event::nth).collect();
            all.sort_by_key(|e| (e.time_ms, e.user, e.auction, e.price));
            expected.sort_by_key(|e| (e.time_ms, e.user, e.auction, e.price));
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn an_event_of_an_open_loop_differs_only_in_its_time() {
        let schedule = Schedule { rate: 100, warmup_ms: 0, duration_ms: 1_000 };
        let event = Event::due(&schedule, 50);
        assert_eq!(event, Event { time_ms: 500, ..Event::nth(50) });
    }
}
