//! q12, processing-time windows: how many bids each user makes in ten seconds of our time.
//!
//! ```sql
//! SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
//! FROM TABLE(TUMBLE(TABLE (SELECT *, PROCTIME() AS p_time FROM bid), DESCRIPTOR(p_time), INTERVAL '10' SECOND))
//! GROUP BY bidder, window_start, window_end
//! ```
//!
//! No operator reads a clock: the time at which a bid enters is part of the job's input and becomes the bid's event time.
//! Where a window is cut depends on when the bids happened to enter. What does not is what the windows of a bidder
//! add up to, and that is the result that is checked: one row for each bidder, with the sum of the bidder's windows.

use std::collections::BTreeMap;

use pelton::prelude::*;

use super::generate::Events;
use super::row::Row;
use crate::Tally;
use crate::workload::{Prepared, Produced};

/// How long a window is.
const WINDOW: Duration = secs(10);

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    prepare_windows(events, WINDOW)
}

/// The query with windows of another length.
pub(super) fn prepare_windows(events: Events, length: Duration) -> Prepared {
    let totals = fold(Totals::new(), add, merge);
    let job = Job::new("nexmark_q12")
        .source(events.source())
        .ingestion_time()
        .flat_map(|event| event.bid())
        .key_by(|bid| bid.bidder)
        .window(tumbling(length))
        .aggregate(count())
        .sink(totals.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(tally(&totals.take()))) }
}

/// Bids by bidder.
type Totals = BTreeMap<u64, u64>;

/// Adds up the windows of each bidder.
fn add(totals: &mut Totals, row: Windowed<u64, u64>) {
    *totals.entry(row.key).or_default() += row.value;
}

/// Puts together what two shards added up; all windows of a bidder are on one of them.
fn merge(mut totals: Totals, mut more: Totals) -> Totals {
    totals.append(&mut more);
    totals
}

fn tally(totals: &Totals) -> Tally {
    let mut tally = Tally::default();
    totals.iter().for_each(|(&bidder, &count)| tally.add(Row::new().int(bidder).int(count).term()));
    tally
}
