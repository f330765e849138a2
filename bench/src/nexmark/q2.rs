//! q2, selection: the price of bids in every 123rd auction.
//!
//! ```sql
//! SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0
//! ```

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q2")
        .source(events.source())
        .flat_map(|event| event.bid())
        .filter(|bid| bid.auction % 123 == 0)
        .map(|bid| Row::new().int(bid.auction).int(bid.price))
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}
