//! q0, pass through: every bid, unchanged. What it costs to get a record in and out.
//!
//! ```sql
//! SELECT auction, bidder, price, dateTime, extra FROM bid
//! ```

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q0")
        .source(events.source())
        .flat_map(|event| event.bid())
        .map(|bid| {
            Row::new().int(bid.auction).int(bid.bidder).int(bid.price).int(bid.date_time_ms).text(bid.extra)
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}
