//! q21, channel id: bids whose channel is well known or stands in the URL, with the channel's number.
//!
//! ```sql
//! SELECT auction, bidder, price, channel,
//!   CASE WHEN lower(channel) = 'apple' THEN '0'
//!        WHEN lower(channel) = 'google' THEN '1'
//!        WHEN lower(channel) = 'facebook' THEN '2'
//!        WHEN lower(channel) = 'baidu' THEN '3'
//!        ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id
//! FROM bid WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) IS NOT NULL
//!   OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')
//! ```

use pelton::prelude::*;

use super::generate::Events;
use super::row::{Row, answer};
use crate::workload::{Prepared, Produced};

/// The number of a channel that is well known, in whatever case it is written.
fn known(channel: &str) -> Option<&'static str> {
    let is = |name: &str| channel.eq_ignore_ascii_case(name);
    match channel {
        _ if is("apple") => Some("0"),
        _ if is("google") => Some("1"),
        _ if is("facebook") => Some("2"),
        _ if is("baidu") => Some("3"),
        _ => None,
    }
}

/// What the regular expression `(&|^)channel_id=([^&]*)` finds in its second group.
fn in_url(url: &str) -> Option<&str> {
    const NAME: &str = "channel_id=";
    let at =
        url.match_indices(NAME).map(|(at, _)| at).find(|&at| at == 0 || url.as_bytes()[at - 1] == b'&')?;
    let value = &url[at + NAME.len()..];
    Some(&value[..value.find('&').unwrap_or(value.len())])
}

/// The query over `events`.
pub(super) fn prepare(events: Events) -> Prepared {
    let rows = answer();
    let job = Job::new("nexmark_q21")
        .source(events.source())
        .flat_map(|event| event.bid())
        .flat_map(|bid| Some((bid, known(bid.channel).or_else(|| in_url(bid.url))?)))
        .map(|(bid, channel_id)| {
            let row = Row::new().int(bid.auction).int(bid.bidder).int(bid.price);
            row.text(bid.channel).text(channel_id)
        })
        .sink(rows.clone());
    Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_channels_have_their_numbers_in_any_case() {
        assert_eq!(["Apple", "GOOGLE", "facebook", "Baidu"].map(known), ["0", "1", "2", "3"].map(Some));
        assert_eq!(known("channel-7"), None);
    }

    #[test]
    fn the_url_is_searched_as_the_regular_expression_does() {
        assert_eq!(in_url("https://x/item.htm?query=1&channel_id=42"), Some("42"));
        assert_eq!(in_url("channel_id=7&query=1"), Some("7"));
        assert_eq!(in_url("https://x/?my_channel_id=1&channel_id=2&channel_id=3"), Some("2"));
        assert_eq!(in_url("https://x/?a=1&channel_id="), Some(""));
        assert_eq!(in_url("https://x/?channel_id=1"), None);
        assert_eq!(in_url("https://x/item.htm?query=1"), None);
    }
}
