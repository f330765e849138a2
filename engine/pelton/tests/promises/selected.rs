//! Aggregates that keep few of their records, and look at them where they lie.

use crate::check::{check, config};
use crate::data::{Chance, DISORDER, disorder, nanos, twin, windows_of};
use pelton::config::DriverKind;
use pelton::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A record with every kind of part that owns memory, text that lies within its archive and text that lies beside it.
#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    key: u64,
    price: u64,
    note: String,
    tags: Vec<String>,
    inner: Option<Inner>,
    time: i64,
}

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inner {
    text: Option<String>,
    numbers: Vec<(u32, String)>,
}

/// Offers of few prices, so that many tie, and some of them in everything but their text.
fn offers(seed: u64, count: usize, keys: u64, prices: u64) -> Vec<Offer> {
    let mut chance = Chance(seed);
    let mut clock = 0;
    let mut draw = |_| {
        clock += chance.below(20) as i64;
        let mut text = || "no mercy ".repeat(chance.below(4) as usize)[..].replace("mercy", "more");
        let (note, tag, text) = (text(), text(), text());
        let some = chance.below(3) == 0;
        let inner = some.then(|| Inner {
            text: (chance.below(2) == 0).then_some(text),
            numbers: (0..chance.below(3)).map(|n| (n as u32, format!("{n}, spelled out"))).collect(),
        });
        let late = chance.below(DISORDER as u64 + 1) as i64;
        let tags = vec![tag; chance.below(3) as usize];
        let (key, price) = (chance.below(keys), chance.below(prices));
        Offer { key, price, note, tags, inner, time: clock - late }
    };
    (0..count).map(&mut draw).collect()
}

fn at(offer: &Offer) -> EventTime {
    EventTime(offer.time)
}

/// The dearest and the cheapest of each window, the least of several.
fn dearest(offers: &[Offer]) -> Offer {
    offers.iter().max_by_key(|offer| (offer.price, Reverse(*offer))).unwrap().clone()
}
fn cheapest(offers: &[Offer]) -> Offer {
    offers.iter().min_by_key(|offer| (offer.price, *offer)).unwrap().clone()
}

fn items(offers: &[Offer]) -> impl Iterator<Item = (i64, u64, Offer)> {
    offers.iter().map(|offer| (offer.time, offer.key, offer.clone()))
}

/// Seeds, records, keys and prices: a few keys with many records each, many keys, and nothing but ties.
const INPUTS: [(u64, usize, u64, u64); 3] = [(1, 900, 7, 1_000), (2, 1_500, 3_000, 40), (3, 600, 3, 2)];

#[test]
fn the_dearest_and_the_cheapest_are_found_with_all_that_they_own() {
    for (seed, count, keys, prices) in INPUTS {
        let offers = offers(seed, count, keys, prices);
        let rows = collect();
        let keyed = || {
            let stream = Job::new("dearest").source(from_vec(offers.clone()));
            stream.event_time(at, disorder()).key_by(|offer: &Offer| offer.key)
        };
        let job = keyed().window(tumbling(nanos(1_000))).max_by(|offer| offer.price).sink(rows.clone());
        check(&job, &rows, twin((1_000, 1_000), items(&offers), dearest));
        let rows = collect();
        let job =
            keyed().window(hopping(nanos(1_000), nanos(300))).min_by(|offer| offer.price).sink(rows.clone());
        check(&job, &rows, twin((1_000, 300), items(&offers), cheapest));
    }
}

#[test]
fn the_dearest_of_all_keys_of_a_window_is_found() {
    let offers = offers(4, 1_000, 50, 30);
    let best = twin((500, 500), items(&offers), dearest);
    let mut all: BTreeMap<Window, Vec<Windowed<u64, Offer>>> = BTreeMap::new();
    best.into_iter().for_each(|row| all.entry(row.window).or_default().push(row));
    let twin = all.into_iter().map(|(window, mut rows)| {
        rows.sort_by_key(|row| (Reverse(row.value.price), row.clone()));
        Windowed { window, key: (), value: rows.swap_remove(0) }
    });
    let rows = collect();
    let job = Job::new("dearest of all")
        .source(from_vec(offers.clone()))
        .event_time(at, disorder())
        .key_by(|offer| offer.key)
        .window(tumbling(nanos(500)))
        .max_by(|offer| offer.price)
        .window_all()
        .max_by(|row| row.value.price)
        .sink(rows.clone());
    check(&job, &rows, twin.collect());
}

#[test]
fn the_greatest_text_is_found_where_it_lies() {
    let offers = offers(5, 800, 9, 10);
    let of = |offers: &[Offer]| {
        let notes = || offers.iter().map(|offer| offer.note.clone());
        (notes().min().unwrap(), notes().max().unwrap())
    };
    let rows = collect();
    let job = Job::new("notes")
        .source(from_vec(offers.clone()))
        .event_time(at, disorder())
        .key_by(|offer| offer.key)
        .window(tumbling(nanos(700)))
        .aggregate((min(|offer: &Offer| offer.note.clone()), max(|offer: &Offer| offer.note.clone())))
        .sink(rows.clone());
    check(&job, &rows, twin((700, 700), items(&offers), of));
}

/// With one record in each tick, what is late follows from the definition: and it is counted, whether it could have added anything or not.
#[test]
fn every_late_record_is_counted() {
    for (seed, size, slide) in [(6, 300, 300), (7, 300, 100), (8, 40, 40)] {
        let offers = offers(seed, 600, 4, 50);
        let (mut watermark, mut late, mut in_time) = (i64::MIN, 0, BTreeMap::new());
        for offer in &offers {
            let windows = windows_of(size, slide, offer.time);
            let open: Vec<_> = windows.into_iter().filter(|window| window.end.0 > watermark).collect();
            late += u64::from(open.is_empty());
            for window in open {
                in_time.entry((window, offer.key)).or_insert_with(Vec::new).push(offer.clone());
            }
            watermark = watermark.max(offer.time - 20);
        }
        assert!(late > 100, "{late}");
        let rows = collect();
        let windowed = || {
            let stream = Job::new("late").source(from_vec(offers.clone()));
            let keyed = stream.event_time(at, out_of_order(nanos(20))).key_by(|offer: &Offer| offer.key);
            keyed.window(hopping(nanos(size as u64), nanos(slide as u64)))
        };
        let config = config(DriverKind::Threads, 1, 1, 1, 65_536);
        let found =
            windowed().max_by(|offer| offer.price).sink(rows.clone()).run_with(&config).unwrap().total.late;
        assert_eq!(found, late);
        let mut best: Vec<_> = rows.take().into_iter().map(|row| (row.window, row.key, row.value)).collect();
        best.sort();
        let twin: Vec<_> =
            in_time.into_iter().map(|((window, key), offers)| (window, key, dearest(&offers))).collect();
        assert_eq!(best, twin);
        // With the late ones as a second stream all records cross.
        let lost = collect();
        let (windows, late_stream) = windowed().aggregate_with_late(max_by(|offer: &Offer| offer.price));
        let _ = late_stream.sink(lost.clone());
        let found = windows.sink(rows.clone()).run_with(&config).unwrap().total.late;
        assert_eq!((found, lost.take().len() as u64), (late, late));
        let mut again: Vec<_> = rows.take().into_iter().map(|row| (row.window, row.key, row.value)).collect();
        again.sort();
        assert_eq!(again, twin);
    }
}
