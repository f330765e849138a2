//! Every query against its twin, and both against results worked out by hand.

use super::row::Row;
use super::*;
use pelton::config::DriverKind;
use pelton::prelude::*;

/// `shards` shards on plain unpinned threads, so that the tests run anywhere.
fn config(shards: usize) -> Config {
    Config { shards, pin: false, driver: DriverKind::Threads, ..Config::default() }
}

/// What the run produced, and how many windows it closed. No event may be late: the bound is that of the events.
fn run_with(config: &Config, prepared: Prepared) -> (Tally, u64) {
    let counts = prepared.job.run_with(config).expect("the job runs").total;
    assert_eq!(counts.late, 0);
    ((prepared.produced)().tally, counts.windows)
}

fn run(prepared: Prepared, shards: usize) -> Tally {
    run_with(&config(shards), prepared).0
}

/// Events few enough to be quick, and slow enough to fill several windows.
fn recipes() -> impl Iterator<Item = Recipe> {
    let recipe = Recipe { events: 40_000, seed: 0, events_per_second: 1_000, shuffled: 1 };
    [(0, 1), (1, 200), (9, 1_000), (u16::MAX, 2)].into_iter().map(move |(seed, shuffled)| Recipe {
        seed,
        shuffled,
        ..recipe
    })
}

#[test]
fn every_query_agrees_with_its_twin_on_any_number_of_shards() {
    for recipe in recipes() {
        let events = Events::generate(&recipe);
        for query in &QUERIES {
            let expected = (query.twin)(&events);
            assert!(expected.rows > 0, "{} has nothing to compare", query.name);
            for shards in [1, 2, 3, 4, 8] {
                let tally = run((query.prepare)(events), shards);
                assert_eq!(tally, expected, "{} on {shards} shards, {recipe:?}", query.name);
            }
        }
    }
}

#[test]
fn every_query_agrees_with_its_twin_however_small_its_ticks_and_rings() {
    let events = Events::generate(&Recipe { seed: 4, shuffled: 100, ..recipes().next().expect("a recipe") });
    for (records_max, ring_bytes) in [(1, 1 << 20), (7, 1 << 14), (4_096, 1 << 14)] {
        let mut config = config(3);
        config.tick.records_max = records_max;
        config.ring_bytes = ring_bytes;
        for query in &QUERIES {
            let tally = run_with(&config, (query.prepare)(events)).0;
            assert_eq!(tally, (query.twin)(&events), "{}, {records_max}, {ring_bytes}", query.name);
        }
    }
}

#[test]
fn windows_of_processing_time_add_up_wherever_they_are_cut() {
    let events = Events::generate(&recipes().next().expect("a recipe"));
    for (length, windows_min) in
        [(Duration::from_nanos(100), 2), (Duration::from_micros(50), 2), (secs(10), 1)]
    {
        let (tally, windows) = run_with(&config(1), q12::prepare_windows(events, length));
        assert_eq!(tally, twins::q12(&events), "{length:?}");
        assert!(windows >= windows_min, "{windows} windows of {length:?}");
    }
}

#[test]
fn a_run_without_events_has_no_rows() {
    let events = Events::generate(&Recipe { events: 0, ..Recipe::default() });
    for query in &QUERIES {
        assert_eq!(run((query.prepare)(events), 2), Tally::default(), "{}", query.name);
    }
}

#[test]
fn workloads_are_the_queries_and_say_that_events_are_made_before_the_start() {
    let numbers = WORKLOADS.iter().map(|workload| workload.name.trim_start_matches("nexmark_q"));
    assert_eq!(numbers.collect::<Vec<_>>(), ["0", "1", "2", "5", "7", "12", "14", "21", "22"]);
    for workload in WORKLOADS {
        assert_eq!(workload.input, Input::BeforeStart);
        let load = Load::Throughput { events: 1_000 };
        let prepared = (workload.prepare)(&load).expect("a thousand events fit");
        assert_eq!(
            run(prepared, 2),
            (workload.twin)(&load).expect("the same thousand").tally,
            "{}",
            workload.name
        );
    }
}

/// A bid of which only some fields matter.
fn bid(auction: u64, price: u64, date_time_ms: u64) -> Bid {
    let (channel, url, extra) = ("x".to_owned(), "https://x/a/b".to_owned(), format!("cc{auction}"));
    Bid { auction, bidder: auction + 100, price, channel, url, date_time_ms, extra }
}

/// Checks query and twin on events made by hand against rows worked out by hand.
fn check(name: &str, bids: Vec<Bid>, rows: &[Row]) {
    let events = Events::by_hand(bids.into_iter().map(Event::Bid).collect());
    let query = QUERIES.iter().find(|query| query.name == name).expect("a query");
    let mut expected = Tally::default();
    rows.iter().for_each(|row| expected.add(row.term()));
    assert_eq!((query.twin)(&events), expected, "the twin of {name}");
    for shards in [1, 3] {
        assert_eq!(run((query.prepare)(events), shards), expected, "{name} on {shards} shards");
    }
}

#[test]
fn q0_q1_and_q2_by_hand() {
    let bids = || vec![bid(123, 1_000, 5), bid(124, 7, 6)];
    let row = |price: u64, more: u64| {
        [
            Row::new().int(123).int(223).int(price).int(5).text("cc123"),
            Row::new().int(124).int(224).int(more).int(6).text("cc124"),
        ]
    };
    check("nexmark_q0", bids(), &row(1_000, 7));
    check("nexmark_q1", bids(), &row(908_000, 6_356));
    check("nexmark_q2", bids(), &[Row::new().int(123).int(1_000)]);
}

#[test]
fn q5_by_hand_has_every_auction_that_shares_the_largest_count() {
    // Windows end at 2, 4, … 10 s with two bids each on 1 and 2; at 12 s with one bid, on 3, made at 10 s; and so on to 20 s.
    let bids = vec![
        bid(1, 9, 0),
        bid(2, 9, 1),
        bid(1, 9, 500),
        bid(2, 9, 1_999),
        bid(3, 9, 1_500),
        bid(3, 9, 10_000),
    ];
    let tied = (1..=5).flat_map(|n| [1, 2].map(|auction| Row::new().int(n * 2_000).int(auction).int(2)));
    let alone = (6..=10).map(|n| Row::new().int(n * 2_000).int(3).int(1));
    check("nexmark_q5", bids, &tied.chain(alone).collect::<Vec<_>>());
}

#[test]
fn q7_by_hand_has_every_bid_that_shares_the_highest_price() {
    let bids = vec![
        bid(1, 50, 0),
        bid(2, 70, 1),
        bid(3, 70, 9_999),
        bid(2, 70, 4),
        bid(4, 70, 10_000),
        bid(5, 69, 10_001),
    ];
    let row = |auction: u64, time: u64| {
        let row = Row::new().int(auction).int(70).int(auction + 100).int(time);
        row.text(&format!("cc{auction}"))
    };
    check("nexmark_q7", bids, &[row(2, 1), row(3, 9_999), row(2, 4), row(4, 10_000)]);
}

#[test]
fn q12_by_hand_has_one_row_for_each_bidder() {
    let bids = vec![bid(1, 1, 0), bid(2, 1, 1), bid(1, 1, 2)];
    check("nexmark_q12", bids, &[Row::new().int(101).int(2), Row::new().int(102).int(1)]);
}

#[test]
fn q14_by_hand_leaves_both_limits_out() {
    // 0.908 * price is 999,999.468, 1,000,000.376, 49,999,999.732 and 50,000,000.64.
    let bids = vec![bid(1, 1_101_321, 0), bid(2, 1_101_322, 0), bid(3, 55_066_079, 0), bid(4, 55_066_080, 0)];
    let row = |auction: u64, price: u64| {
        let row = Row::new().int(auction).int(auction + 100).int(price).text("nightTime").int(0);
        row.text(&format!("cc{auction}")).int(2)
    };
    check("nexmark_q14", bids, &[row(2, 1_000_000_376), row(3, 49_999_999_732)]);
}

#[test]
fn q21_by_hand_drops_what_has_no_channel_number() {
    let with =
        |channel: &str, url: &str| Bid { channel: channel.to_owned(), url: url.to_owned(), ..bid(1, 9, 0) };
    let bids = vec![
        with("APPLE", "https://x/?query=1&channel_id=8"),
        with("channel-5", "https://x/?query=1&channel_id=8"),
        with("channel-6", "https://x/?query=1"),
    ];
    let row = |channel, channel_id| Row::new().int(1).int(101).int(9).text(channel).text(channel_id);
    check("nexmark_q21", bids, &[row("APPLE", "0"), row("channel-5", "8")]);
}

#[test]
fn q22_by_hand_has_null_for_a_directory_that_is_not_there() {
    let row = Row::new().int(1).int(101).int(9).text("x");
    check("nexmark_q22", vec![bid(1, 9, 0)], &[row.nullable(Some("a")).nullable(Some("b")).nullable(None)]);
}
