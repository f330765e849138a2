//! How far one record may move a partition's watermark.
//!
//! One record with a wrong time, of tomorrow or of the year 9999, would take the watermark along, and all that follow it would be late.
//! So a record whose time lies further ahead of the newest one of its partition than a bound is *early*: it is counted, goes on with
//! the others or into an output of its own, and moves nothing. The first record of a partition sets where that begins.
//!
//! Time may really jump by more than the bound: at night nobody buys. So [`AGREE`] early records in a row are believed: time
//! goes on at the least of them. "In a row" means that none came in between that is usual, which is no further than the bound from the
//! newest time, before or after it; older ones say nothing about where the partition is. A partition whose time has jumped that far once
//! may do so again, without being doubted.
//!
//! All of this follows from the sequence of the partition's records alone, not from how they are cut into ticks.

use crate::checkpoint::notes::{Noted, Notes};
use crate::fault::Fault;
use crate::ids::EventTime;

/// Early records in a row that are believed.
pub(super) const AGREE: u32 = 8;

/// Where the records of a partition are, in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trend {
    /// The newest time that is believed; `MIN` before the first.
    pub(super) newest: EventTime,
    /// The largest jump that was believed, 0 before the first.
    jump: i64,
    /// Early records since the last usual one, and the least time of them.
    run: u32,
    least: EventTime,
}

impl Trend {
    pub(super) const NONE: Trend = Trend { newest: EventTime::MIN, jump: 0, run: 0, least: EventTime::MIN };

    /// Whether a record at this time is early. Must be asked about every record beyond [`limit`](Self::limit); the newest of the others
    /// is put into `newest` before.
    pub(super) fn is_early(&mut self, at: EventTime, bound: i64) -> bool {
        if self.newest == EventTime::MIN {
            self.newest = at;
            return false;
        }
        let reach = self.reach(bound);
        if at <= self.newest.plus(reach) {
            if at >= self.newest.minus(reach) {
                self.run = 0;
            }
            self.newest = self.newest.max(at);
            return false;
        }
        self.least = if self.run == 0 { at } else { self.least.min(at) };
        self.run += 1;
        if self.run < AGREE {
            return true;
        }
        self.jump = self.least.0.saturating_sub(self.newest.0);
        self.newest = self.least;
        let early = at > self.newest.plus(self.reach(bound));
        if early {
            (self.run, self.least) = (1, at);
        } else {
            (self.run, self.newest) = (0, at);
        }
        early
    }

    /// Records up to this time need not be asked about.
    pub(super) fn limit(&self, bound: i64) -> EventTime {
        match self.run {
            0 if self.newest > EventTime::MIN => self.newest.plus(self.reach(bound)),
            _ => EventTime::MIN,
        }
    }

    fn reach(&self, bound: i64) -> i64 {
        bound.saturating_add(self.jump)
    }

    pub(super) fn note(&self, notes: &mut Notes) {
        notes.time(self.newest);
        notes.number(self.jump as u64);
        notes.number(self.run.into());
        notes.time(self.least);
    }

    pub(super) fn read(notes: &mut Noted<'_>) -> Result<Self, Fault> {
        let (newest, jump) = (notes.time()?, notes.number()? as i64);
        let run = notes.number()?.min(AGREE.into()) as u32;
        Ok(Trend { newest, jump, run, least: notes.time()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: i64 = 100;

    /// The records that are early, and the newest time that is believed in the end.
    fn judged(times: &[i64]) -> (Vec<i64>, i64) {
        let mut trend = Trend::NONE;
        let early = times.iter().copied().filter(|at| trend.is_early(EventTime(*at), BOUND)).collect();
        (early, trend.newest.0)
    }

    use alloc::vec::Vec;

    #[test]
    fn the_first_record_says_where_it_begins_and_others_go_on_from_there() {
        assert_eq!(judged(&[5_000_000, 5_000_100, 5_000_030, 5_000_200]), (alloc::vec![], 5_000_200));
    }

    #[test]
    fn one_record_of_tomorrow_moves_nothing() {
        assert_eq!(judged(&[10, 20, 5_000, 30, 7_000, 40]), (alloc::vec![5_000, 7_000], 40));
        let mut times: Vec<i64> = (0..10_000).collect();
        // One in four, and two together now and then.
        times.iter_mut().filter(|at| **at % 4 == 1 || **at % 100 == 2).for_each(|at| *at += 1_000_000);
        let (early, newest) = judged(&times);
        assert_eq!((early.len(), newest), (2_600, 9_999));
    }

    #[test]
    fn a_gap_is_believed_when_enough_agree_and_the_next_one_at_once() {
        let mut times: Vec<i64> = alloc::vec![0, 10];
        times.extend((0..20).map(|n| 8_000 + n));
        let (early, newest) = judged(&times);
        assert_eq!(early, (8_000..8_007).collect::<Vec<i64>>());
        assert_eq!(newest, 8_019);
        times.push(16_000);
        assert_eq!(judged(&times), (early.clone(), 16_000), "it has done so before");
        times.extend([25_000, 15_999]);
        assert_eq!(judged(&times).0[7..], [25_000], "but not so far");
    }

    #[test]
    fn the_least_of_those_who_agree_is_believed() {
        let times = [0, 9_000_000, 5_000, 5_001, 8_000_000, 5_002, 5_003, 5_004, 5_005, 5_006];
        let (early, newest) = judged(&times);
        assert_eq!((early.len(), newest), (7, 5_006));
        let wild: Vec<i64> = (0..9).map(|n| n * 1_000_000).collect();
        let (early, newest) = judged(&wild);
        assert_eq!(
            (early.len(), newest),
            (8, 1_000_000),
            "even the last is early, seen from the first of them"
        );
    }

    #[test]
    fn what_is_far_behind_says_nothing_about_a_gap() {
        let mut times: Vec<i64> = alloc::vec![10_000];
        times.extend((0..8).flat_map(|n| [50_000 + n, 3 + n]));
        assert_eq!(judged(&times), ((50_000..50_007).collect(), 50_007));
        let mut times: Vec<i64> = alloc::vec![10_000];
        times.extend((0..8).flat_map(|n| [50_000 + n, 9_950 + n]));
        assert_eq!(judged(&times).1, 10_000, "what is near does");
    }

    #[test]
    fn nothing_overflows() {
        let (early, newest) = judged(&[i64::MIN + 1, i64::MAX, i64::MAX, 0, i64::MIN + 2]);
        assert_eq!((early.len(), newest), (3, i64::MIN + 2));
        let mut trend = Trend::NONE;
        for _ in 0..3 * AGREE {
            trend.is_early(EventTime(i64::MIN + 1), i64::MAX);
            trend.is_early(EventTime(i64::MAX), 1);
        }
    }

    /// Asked only about what lies beyond the limit, as the operator does it, it says the same.
    #[test]
    fn the_limit_is_a_shortcut() {
        let mut seed = 1u64;
        for _ in 0..200 {
            let mut at = 0i64;
            let times: Vec<i64> = (0..300)
                .map(|_| {
                    seed = crate::exchange::hash::join(seed, 7);
                    at += (seed % 30) as i64 + if seed.is_multiple_of(97) { 2_000 } else { 0 };
                    at + if seed.is_multiple_of(11) { 3_000 } else { 0 }
                        - if seed.is_multiple_of(13) { 250 } else { 0 }
                })
                .collect();
            let expected = judged(&times);
            let (mut trend, mut limit, mut early) = (Trend::NONE, EventTime::MIN, Vec::new());
            for (number, time) in times.iter().enumerate() {
                let at = EventTime(*time);
                if at > limit {
                    if trend.is_early(at, BOUND) {
                        early.push(*time);
                    }
                    limit = trend.limit(BOUND);
                } else {
                    trend.newest = trend.newest.max(at);
                }
                if number.is_multiple_of(7) {
                    // A tick ends.
                    limit = EventTime::MIN;
                }
            }
            assert_eq!((early, trend.newest.0), expected);
        }
    }
}
