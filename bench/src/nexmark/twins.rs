//! The queries again, as plain programs: one pass, one thread, ordered maps, no engine.
//!
//! Each twin reads the events that its query reads and says what the result must be. A twin shares nothing with its
//! query but the events and the checksum of a row; where a query is clever, its twin is dull. They run outside of
//! the measured part.

use std::collections::BTreeMap;

use super::generate::Events;
use super::model::BidRef;
use super::row::Row;
use crate::Tally;

/// Every bid, in order of arrival.
fn bids(events: &Events) -> impl Iterator<Item = BidRef<'static>> {
    events.iter().filter_map(|event| event.bid())
}

/// Sums the rows.
fn tally(rows: impl IntoIterator<Item = Row>) -> Tally {
    let mut tally = Tally::default();
    rows.into_iter().for_each(|row| tally.add(row.term()));
    tally
}

/// Every bid as it is.
pub(super) fn q0(events: &Events) -> Tally {
    tally(bids(events).map(|bid| {
        Row::new().int(bid.auction).int(bid.bidder).int(bid.price).int(bid.date_time_ms).text(bid.extra)
    }))
}

/// Every bid with its price in thousandths of a euro-cent.
pub(super) fn q1(events: &Events) -> Tally {
    tally(bids(events).map(|bid| {
        Row::new().int(bid.auction).int(bid.bidder).int(bid.price * 908).int(bid.date_time_ms).text(bid.extra)
    }))
}

/// Bids in every 123rd auction.
pub(super) fn q2(events: &Events) -> Tally {
    tally(
        bids(events)
            .filter(|bid| bid.auction.is_multiple_of(123))
            .map(|bid| Row::new().int(bid.auction).int(bid.price)),
    )
}

/// Counts each bid in each of the five windows it falls into, then looks for the largest count of every window.
pub(super) fn q5(events: &Events) -> Tally {
    let mut windows: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for bid in bids(events) {
        let first_end = bid.date_time_ms / 2_000 * 2_000 + 2_000;
        for end in (first_end..first_end + 10_000).step_by(2_000) {
            *windows.entry(end).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    let mut result = Tally::default();
    for (end, counts) in windows {
        let most = *counts.values().max().expect("a window exists because of a bid");
        for (auction, count) in counts {
            if count == most {
                result.add(Row::new().int(end).int(auction).int(count).term());
            }
        }
    }
    result
}

/// Finds the highest price of every window in a first pass, and the bids that offer it in a second.
pub(super) fn q7(events: &Events) -> Tally {
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    for bid in bids(events) {
        let price = highest.entry(bid.date_time_ms / 10_000).or_default();
        *price = bid.price.max(*price);
    }
    tally(bids(events).filter(|bid| highest[&(bid.date_time_ms / 10_000)] == bid.price).map(|bid| {
        Row::new().int(bid.auction).int(bid.price).int(bid.bidder).int(bid.date_time_ms).text(bid.extra)
    }))
}

/// Counts the bids of each bidder over the whole run: what the windows of a bidder must add up to, wherever the
/// processing time happened to cut them.
pub(super) fn q12(events: &Events) -> Tally {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for bid in bids(events) {
        *counts.entry(bid.bidder).or_default() += 1;
    }
    tally(counts.into_iter().map(|(bidder, count)| Row::new().int(bidder).int(count)))
}

/// Bids of a middling price, with the time of day and the number of letters c.
pub(super) fn q14(events: &Events) -> Tally {
    let mut result = Tally::default();
    for bid in bids(events) {
        // 0.908 * price between 1,000,000 and 50,000,000, in thousandths.
        let price = bid.price * 908;
        if price <= 1_000_000_000 || price >= 50_000_000_000 {
            continue;
        }
        let hour = bid.date_time_ms % 86_400_000 / 3_600_000;
        let time_type = ["nightTime"; 7]
            .into_iter()
            .chain(["otherTime"])
            .chain(["dayTime"; 11])
            .chain(["otherTime"])
            .chain(["nightTime"; 4])
            .nth(hour as usize)
            .expect("a day has 24 hours");
        let letters = bid.extra.chars().filter(|&letter| letter == 'c').count() as u64;
        result.add(
            Row::new()
                .int(bid.auction)
                .int(bid.bidder)
                .int(price)
                .text(time_type)
                .int(bid.date_time_ms)
                .text(bid.extra)
                .int(letters)
                .term(),
        );
    }
    result
}

/// Bids from a known channel or with a channel in the URL, which is taken apart at every `&`.
pub(super) fn q21(events: &Events) -> Tally {
    let known = BTreeMap::from([("apple", "0"), ("google", "1"), ("facebook", "2"), ("baidu", "3")]);
    let mut result = Tally::default();
    for bid in bids(events) {
        let lower = bid.channel.to_lowercase();
        let in_url = || bid.url.split('&').find_map(|part| part.strip_prefix("channel_id="));
        if let Some(channel_id) = known.get(lower.as_str()).copied().or_else(in_url) {
            let row = Row::new().int(bid.auction).int(bid.bidder).int(bid.price);
            result.add(row.text(bid.channel).text(channel_id).term());
        }
    }
    result
}

/// Every bid with the three directories of its URL.
pub(super) fn q22(events: &Events) -> Tally {
    tally(bids(events).map(|bid| {
        let parts: Vec<&str> = bid.url.split('/').collect();
        let row = Row::new().int(bid.auction).int(bid.bidder).int(bid.price).text(bid.channel);
        (3..6).fold(row, |row, index| row.nullable(parts.get(index).copied()))
    }))
}
