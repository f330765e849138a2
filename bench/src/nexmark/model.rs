//! The three kinds of NEXMark event, as they lie in memory and as a query reads them.
//!
//! Events are archived once, before anything is measured, and read in place afterwards: a query sees a
//! [`BidRef`], plain integers and string slices that point into the archive, and copies no text. The owned
//! structs exist to be archived and are never built while a query runs.
//!
//! The fields are those of the reference implementation (`nexmark-flink/src/main/resources/queries/ddl_gen.sql`
//! in <https://github.com/nexmark/nexmark>). `Person` and `Auction` are boxed: 46 of 50 events are bids, and so an
//! archived event takes 64 bytes, a cache line's worth, plus its text.

use pelton::prelude::EventTime;

/// One event of the auction site.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody registers.
    Person(Box<Person>),
    /// Somebody puts an item up for auction.
    Auction(Box<Auction>),
    /// Somebody bids for an item.
    Bid(Bid),
}

/// A person who sells or bids.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Who it is.
    pub id: u64,
    /// First and last name.
    pub name: String,
    /// Where mail goes.
    pub email_address: String,
    /// Sixteen digits in groups of four.
    pub credit_card: String,
    /// The city of residence.
    pub city: String,
    /// The state of residence, two letters.
    pub state: String,
    /// Event time in milliseconds.
    pub date_time_ms: u64,
    /// Padding that brings the record to its usual size.
    pub extra: String,
}

/// An item up for auction.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub struct Auction {
    /// Which auction it is.
    pub id: u64,
    /// The name of the item.
    pub item_name: String,
    /// What the item is.
    pub description: String,
    /// The first price, in cents.
    pub initial_bid: u64,
    /// The price below which the item is not sold, in cents.
    pub reserve: u64,
    /// Event time in milliseconds.
    pub date_time_ms: u64,
    /// When the auction ends, in milliseconds.
    pub expires_ms: u64,
    /// The person who sells.
    pub seller: u64,
    /// What kind of item it is.
    pub category: u64,
    /// Padding that brings the record to its usual size.
    pub extra: String,
}

/// A bid for an item.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub struct Bid {
    /// The auction bid in.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// The price offered, in cents.
    pub price: u64,
    /// Where the bidder came from.
    pub channel: String,
    /// The page the bid was made on.
    pub url: String,
    /// Event time in milliseconds.
    pub date_time_ms: u64,
    /// Padding that brings the record to its usual size.
    pub extra: String,
}

/// A bid read in place: the text still lies in the archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BidRef<'a> {
    /// The auction bid in.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// The price offered, in cents.
    pub price: u64,
    /// Where the bidder came from.
    pub channel: &'a str,
    /// The page the bid was made on.
    pub url: &'a str,
    /// Event time in milliseconds.
    pub date_time_ms: u64,
    /// Padding that brings the record to its usual size.
    pub extra: &'a str,
}

impl ArchivedEvent {
    /// When the event happened, in milliseconds.
    pub fn date_time_ms(&self) -> u64 {
        match self {
            ArchivedEvent::Person(person) => person.date_time_ms.to_native(),
            ArchivedEvent::Auction(auction) => auction.date_time_ms.to_native(),
            ArchivedEvent::Bid(bid) => bid.date_time_ms.to_native(),
        }
    }

    /// When the event happened, as the engine counts time.
    pub fn time(&self) -> EventTime {
        EventTime::from_millis(self.date_time_ms() as i64)
    }

    /// The bid, where the event is one: the reference's `bid` view.
    pub fn bid(&self) -> Option<BidRef<'_>> {
        match self {
            ArchivedEvent::Bid(bid) => Some(BidRef {
                auction: bid.auction.to_native(),
                bidder: bid.bidder.to_native(),
                price: bid.price.to_native(),
                channel: &bid.channel,
                url: &bid.url,
                date_time_ms: bid.date_time_ms.to_native(),
                extra: &bid.extra,
            }),
            ArchivedEvent::Person(_) | ArchivedEvent::Auction(_) => None,
        }
    }
}

impl From<nexmark::event::Event> for Event {
    fn from(event: nexmark::event::Event) -> Self {
        match event {
            nexmark::event::Event::Person(person) => Event::Person(Box::new(person.into())),
            nexmark::event::Event::Auction(auction) => Event::Auction(Box::new(auction.into())),
            nexmark::event::Event::Bid(bid) => Event::Bid(bid.into()),
        }
    }
}

impl From<nexmark::event::Person> for Person {
    fn from(person: nexmark::event::Person) -> Self {
        Person {
            id: person.id as u64,
            name: person.name,
            email_address: person.email_address,
            credit_card: person.credit_card,
            city: person.city,
            state: person.state,
            date_time_ms: person.date_time,
            extra: person.extra,
        }
    }
}

impl From<nexmark::event::Auction> for Auction {
    fn from(auction: nexmark::event::Auction) -> Self {
        Auction {
            id: auction.id as u64,
            item_name: auction.item_name,
            description: auction.description,
            initial_bid: auction.initial_bid as u64,
            reserve: auction.reserve as u64,
            date_time_ms: auction.date_time,
            expires_ms: auction.expires,
            seller: auction.seller as u64,
            category: auction.category as u64,
            extra: auction.extra,
        }
    }
}

impl From<nexmark::event::Bid> for Bid {
    fn from(bid: nexmark::event::Bid) -> Self {
        Bid {
            auction: bid.auction as u64,
            bidder: bid.bidder as u64,
            price: bid.price as u64,
            channel: bid.channel,
            url: bid.url,
            date_time_ms: bid.date_time,
            extra: bid.extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archived_event_takes_a_cache_line() {
        assert_eq!(size_of::<ArchivedEvent>(), 64);
    }
}
