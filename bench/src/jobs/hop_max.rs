//! `hop_max`: every two seconds, the most bids that any auction had in the last ten, and how many auctions had as many.
//!
//! Two exchanges: counts are kept where the auction's key belongs, and the counts of one window meet again in one place.

use crate::checksum::{Tally, hop_max_term};
use crate::error::BenchError;
use crate::event::Event;
use crate::workload::{Load, Prepared, Produced};
use pelton::prelude::*;

/// A job over `load.events()` events.
pub fn prepare(load: &Load) -> Result<Prepared, BenchError> {
    let events = load.events();
    let rows = fold(Tally::default(), add, Tally::merge);
    let job = Job::new("hop_max")
        .source(generate(move |partition, of| Event::partition(events, partition, of)))
        .event_time(|event: &Event| EventTime::from_millis(event.time_ms as i64), in_order())
        .key_by(|event| event.auction)
        .window(hopping(secs(10), secs(2)))
        .aggregate(count())
        .window_all()
        .aggregate(Peak)
        .sink(rows.clone());
    Ok(Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) })
}

/// The largest count, and how many keys have it: an aggregate of one's own.
#[derive(Clone, Copy, Debug)]
pub struct Peak;

impl Aggregate<Windowed<u64, u64>> for Peak {
    /// All that has to travel is the count.
    type Item = u64;
    /// The largest count so far, and how often it occurred.
    type Acc = (u64, u64);
    type Out = (u64, u64);

    fn item(&self, row: &Windowed<u64, u64>) -> u64 {
        row.value
    }

    fn empty(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, peak: &mut (u64, u64), count: u64) {
        self.merge(peak, &(count, 1));
    }

    fn merge(&self, peak: &mut (u64, u64), other: &(u64, u64)) {
        if other.0 > peak.0 {
            *peak = *other;
        } else if other.0 == peak.0 {
            peak.1 += other.1;
        }
    }

    fn finish(&self, peak: &(u64, u64)) -> (u64, u64) {
        *peak
    }
}

/// Adds a result row to the checksum.
fn add(tally: &mut Tally, row: Windowed<(), (u64, u64)>) {
    let (max, keys) = row.value;
    tally.add(hop_max_term(row.window.end.as_millis() as u64, max, keys));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peak of counts given in two parts.
    fn peak(parts: [&[u64]; 2]) -> (u64, u64) {
        let [left, right] = parts.map(|counts| {
            let mut peak = Peak.empty();
            counts.iter().for_each(|&count| Peak.add(&mut peak, count));
            peak
        });
        let mut both = left;
        Peak.merge(&mut both, &right);
        Peak.finish(&both)
    }

    #[test]
    fn ties_are_counted_however_the_keys_are_split() {
        for parts in [[&[3, 7, 7, 1][..], &[7, 2][..]], [&[], &[7, 7, 3, 7]], [&[7], &[1, 7, 7]]] {
            assert_eq!(peak(parts), (7, 3));
        }
    }
}
