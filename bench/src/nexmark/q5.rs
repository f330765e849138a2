//! q5, hot items: which auctions had the most bids in the last ten seconds, every two seconds.
//!
//! ```sql
//! WITH counts AS (
//!   SELECT auction, count(*) AS num, window_start, window_end
//!   FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
//!   GROUP BY auction, window_start, window_end)
//! SELECT auction, num FROM counts NATURAL JOIN
//!   (SELECT max(num) AS maxn, window_start, window_end FROM counts GROUP BY window_start, window_end)
//! WHERE num >= maxn
//! ```
//!
//! The reference joins the counts with their maximum. Grouping the counts once more by window, and keeping all that
//! share the largest, is the same and needs no join. A row also has its window's end, so that equal rows of
//! two windows are told apart.

use pelton::prelude::*;

use super::generate::Events;
use super::largest::largest;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q5")
        .source(events.source())
        .event_time(|event| event.time(), out_of_order(events.disorder()))
        .flat_map(|event| event.bid())
        .key_by(|bid| bid.auction)
        .window(hopping(secs(10), secs(2)))
        .aggregate(count())
        .window_all()
        .aggregate(largest(
            |row: &Windowed<u64, u64>| row.value,
            |row: &Windowed<u64, u64>| Some((row.key, row.value)),
        ))
        .flat_map(|hottest| {
            let end_ms = hottest.window.end.as_millis() as u64;
            hottest.value.into_iter().map(move |(auction, num)| Row::new().int(end_ms).int(auction).int(num))
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}
