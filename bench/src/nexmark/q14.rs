//! q14, calculation: bids of a middling price, with the time of day and a count of letters.
//!
//! ```sql
//! SELECT auction, bidder, 0.908 * price AS price,
//!   CASE WHEN HOUR(dateTime) >= 8 AND HOUR(dateTime) <= 18 THEN 'dayTime'
//!        WHEN HOUR(dateTime) <= 6 OR HOUR(dateTime) >= 20 THEN 'nightTime'
//!        ELSE 'otherTime' END AS bidTimeType,
//!   dateTime, extra, count_char(extra, 'c') AS c_counts
//! FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000
//! ```
//!
//! Prices are exact, in thousandths, as in q1. Hours are those of UTC.

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// What the hour of a bid is called.
fn time_type(date_time_ms: u64) -> &'static str {
    match date_time_ms / 3_600_000 % 24 {
        8..=18 => "dayTime",
        0..=6 | 20.. => "nightTime",
        _ => "otherTime",
    }
}

/// How often `letter` occurs.
fn count_char(text: &str, letter: u8) -> u64 {
    text.bytes().filter(|&byte| byte == letter).count() as u64
}

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q14")
        .source(events.source())
        .flat_map(|event| event.bid())
        .map(|bid| (bid, 908 * bid.price))
        .filter(|&(_, price)| price > 1_000_000_000 && price < 50_000_000_000)
        .map(|(bid, price)| {
            let row =
                Row::new().int(bid.auction).int(bid.bidder).int(price).text(time_type(bid.date_time_ms));
            row.int(bid.date_time_ms).text(bid.extra).int(count_char(bid.extra, b'c'))
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_have_their_types() {
        let types: Vec<_> = (0..24).map(|hour| &time_type(hour * 3_600_000 + 3_599_999)[..1]).collect();
        assert_eq!(types.concat(), "nnnnnnnodddddddddddonnnn");
    }

    #[test]
    fn letters_are_counted() {
        assert_eq!(count_char("accacé", b'c'), 3);
        assert_eq!(count_char("", b'c'), 0);
    }
}
