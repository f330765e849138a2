//! q1, currency conversion: every bid with its price in euros.
//!
//! ```sql
//! SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid
//! ```
//!
//! The reference computes the price as `DECIMAL(23, 3)`. Here it is a whole number of thousandths, which is the same
//! number exactly.

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// Dollars to euros, in thousandths.
const EUROS_PER_1000_DOLLARS: u64 = 908;

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q1")
        .source(events.source())
        .flat_map(|event| event.bid())
        .map(|bid| {
            let price = EUROS_PER_1000_DOLLARS * bid.price;
            Row::new().int(bid.auction).int(bid.bidder).int(price).int(bid.date_time_ms).text(bid.extra)
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}
