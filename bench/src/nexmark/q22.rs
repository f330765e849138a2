//! q22, URL directories: every bid with the first three directories of its URL.
//!
//! ```sql
//! SELECT auction, bidder, price, channel,
//!   SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2, SPLIT_INDEX(url, '/', 5) AS dir3
//! FROM bid
//! ```

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// Parts 3, 4 and 5 of a URL cut at every `/`, counted from 0; a part that is not there is NULL.
fn directories(url: &str) -> [Option<&str>; 3] {
    let mut parts = url.split('/').skip(3);
    [parts.next(), parts.next(), parts.next()]
}

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q22")
        .source(events.source())
        .flat_map(|event| event.bid())
        .map(|bid| {
            let row = Row::new().int(bid.auction).int(bid.bidder).int(bid.price).text(bid.channel);
            directories(bid.url).into_iter().fold(row, Row::nullable)
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_cut_at_slashes_and_may_be_missing() {
        assert_eq!(directories("https://www.x.com/a/b/c/item.htm"), [Some("a"), Some("b"), Some("c")]);
        assert_eq!(directories("https://www.x.com//b"), [Some(""), Some("b"), None]);
        assert_eq!(directories("x"), [None; 3]);
    }
}
