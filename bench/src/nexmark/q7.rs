//! q7, highest bid: all bids that offer the highest price of their ten seconds.
//!
//! ```sql
//! SELECT B.auction, B.price, B.bidder, B.dateTime, B.extra FROM bid B JOIN (
//!   SELECT max(price) AS maxprice, window_end AS dateTime
//!   FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
//!   GROUP BY window_start, window_end) B1
//! ON B.price = B1.maxprice
//! WHERE B.dateTime BETWEEN B1.dateTime - INTERVAL '10' SECOND AND B1.dateTime
//! ```
//!
//! All bids have one key, so the highest of each tick are found on the shard that has read them, and only these cross. The
//! reference's `BETWEEN` also takes a bid made exactly at a window's end, which belongs to the next window;
//! here a bid counts in its own window only.

use pelton::prelude::*;

use super::generate::Events;
use super::largest::largest;
use super::model::BidRef;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// A bid as the result has it.
#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    auction: u64,
    price: u64,
    bidder: u64,
    date_time_ms: u64,
    extra: String,
}

impl From<&BidRef<'_>> for Offer {
    fn from(bid: &BidRef<'_>) -> Offer {
        let &BidRef { auction, price, bidder, date_time_ms, extra, .. } = bid;
        Offer { auction, price, bidder, date_time_ms, extra: extra.to_owned() }
    }
}

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q7")
        .source(events.source())
        .event_time(|event| event.time(), out_of_order(events.disorder()))
        .flat_map(|event| event.bid())
        .key_by(|_| ())
        .window(tumbling(secs(10)))
        .aggregate(pre_aggregated(largest(|bid: &BidRef| bid.price, |bid: &BidRef| Some(Offer::from(bid)))))
        .flat_map(|highest| highest.value)
        .map(|offer| {
            let row = Row::new().int(offer.auction).int(offer.price).int(offer.bidder);
            row.int(offer.date_time_ms).text(&offer.extra)
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}
