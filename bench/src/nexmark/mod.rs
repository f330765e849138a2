//! NEXMark: the queries of an online auction site, on the usual generator.
//!
//! A person registers, puts an item up for auction, and others bid; the queries look at the bids. Definitions are
//! those of the reference implementation in Flink SQL, <https://github.com/nexmark/nexmark>, folder
//! `nexmark-flink/src/main/resources/queries`; each file `qN.rs` quotes its own and says where and why it differs.
//! The generator is the crate `nexmark`; its events are made before a run and read in place (see `generate`).
//!
//! | query | job | state | exchanges |
//! |---|---|---|---|
//! | q0 | every bid, unchanged | | 0 |
//! | q1 | price in euros | | 0 |
//! | q2 | bids in every 123rd auction | | 0 |
//! | q5 | auctions with the most bids, 10 s every 2 s | count per auction | 2 |
//! | q7 | bids with the highest price, every 10 s | best bids per auction | 2 |
//! | q12 | bids per bidder in 10 s of processing time | count per bidder | 1 |
//! | q14 | filter, time of day, count of letters | | 0 |
//! | q21 | channel number from name or URL | | 0 |
//! | q22 | directories of the URL | | 0 |
//!
//! Every result is compared with that of a naive twin on the same events (see `twins`). Absent: the queries that join
//! streams (q3, q4, q6, q8, q9, q20, q23), read or write files beside the stream (q10, q13), or need session windows,
//! distinct counts or rankings (q11, q15 to q19).

mod generate;
mod largest;
mod made;
mod model;
mod q0;
mod q1;
mod q12;
mod q14;
mod q2;
mod q21;
mod q22;
mod q5;
mod q7;
mod row;
mod source;
#[cfg(test)]
mod tests;
mod twins;

pub use generate::{Events, Recipe};
pub use model::{ArchivedEvent, Auction, Bid, BidRef, Event, Person};

use crate::Tally;
use crate::workload::{Expected, Input, Load, Prepared, Workload};

/// Events of a run unless told otherwise.
const EVENTS_DEFAULT: u64 = 4_000_000;

/// A query and its twin.
struct Query {
    name: &'static str,
    about: &'static str,
    prepare: fn(Events) -> Prepared,
    twin: fn(&Events) -> Tally,
}

/// The queries in the order of their numbers.
const QUERIES: [Query; 9] = [
    Query { name: "nexmark_q0", about: "every bid, unchanged", prepare: q0::prepare, twin: twins::q0 },
    Query {
        name: "nexmark_q1",
        about: "every bid with its price in euros",
        prepare: q1::prepare,
        twin: twins::q1,
    },
    Query { name: "nexmark_q2", about: "bids in every 123rd auction", prepare: q2::prepare, twin: twins::q2 },
    Query {
        name: "nexmark_q5",
        about: "auctions with the most bids in windows of 10 s every 2 s",
        prepare: q5::prepare,
        twin: twins::q5,
    },
    Query {
        name: "nexmark_q7",
        about: "bids with the highest price in windows of 10 s",
        prepare: q7::prepare,
        twin: twins::q7,
    },
    Query {
        name: "nexmark_q12",
        about: "bids per bidder in windows of 10 s of processing time",
        prepare: q12::prepare,
        twin: twins::q12,
    },
    Query {
        name: "nexmark_q14",
        about: "bids of a middling price, with the time of day and a count of letters",
        prepare: q14::prepare,
        twin: twins::q14,
    },
    Query {
        name: "nexmark_q21",
        about: "bids with the number of their channel, from its name or the URL",
        prepare: q21::prepare,
        twin: twins::q21,
    },
    Query {
        name: "nexmark_q22",
        about: "every bid with the directories of its URL",
        prepare: q22::prepare,
        twin: twins::q22,
    },
];

/// The queries as workloads.
pub static WORKLOADS: &[Workload; QUERIES.len()] = &[
    workload::<0>(),
    workload::<1>(),
    workload::<2>(),
    workload::<3>(),
    workload::<4>(),
    workload::<5>(),
    workload::<6>(),
    workload::<7>(),
    workload::<8>(),
];

/// Query number `N` of the table. A workload's functions are plain pointers, so the number is part of their type.
const fn workload<const N: usize>() -> Workload {
    Workload {
        name: QUERIES[N].name,
        about: QUERIES[N].about,
        load: Load::Throughput { events: EVENTS_DEFAULT },
        input: Input::BeforeStart,
        known: &[],
        prepare: |load| Ok((QUERIES[N].prepare)(made::events(load.events())?)),
        twin: |load| {
            let tally = (QUERIES[N].twin)(&made::events(load.events())?);
            Ok(Expected { tally, ..Expected::default() })
        },
    }
}
