//! Kinds of records, and records larger than rings.

use crate::check::check;
use crate::data::{Chance, at, disorder, events, nanos, twin};
use pelton::prelude::*;
use std::collections::BTreeMap;

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Point,
    Line(i32, i32),
    Named { name: String, tags: Vec<Option<String>> },
}

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Document {
    id: u128,
    title: String,
    shapes: Vec<Shape>,
    index: BTreeMap<String, Vec<u32>>,
    inner: Option<Box<Inner>>,
}

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inner {
    weights: [i16; 5],
    note: (char, bool, String),
}

fn text(chance: &mut Chance, longest: u64) -> String {
    (0..chance.below(longest)).map(|_| char::from(b'a' + chance.below(26) as u8)).collect()
}

fn document(chance: &mut Chance, id: u128) -> Document {
    let shape = |chance: &mut Chance| match chance.below(3) {
        0 => Shape::Point,
        1 => Shape::Line(chance.below(9) as i32, -7),
        _ => {
            let tags =
                (0..chance.below(4)).map(|_| (chance.below(2) == 0).then(|| text(chance, 12))).collect();
            Shape::Named { name: text(chance, 40), tags }
        }
    };
    let numbers = |chance: &mut Chance| (0..chance.below(5)).map(|n| n as u32).collect();
    Document {
        id,
        title: text(chance, 60),
        shapes: (0..chance.below(4)).map(|_| shape(chance)).collect(),
        index: (0..chance.below(4)).map(|_| (text(chance, 6), numbers(chance))).collect(),
        inner: (chance.below(2) == 0)
            .then(|| Box::new(Inner { weights: [-2; 5], note: ('é', true, text(chance, 9)) })),
    }
}

#[test]
fn strings_lists_maps_and_nested_structs_arrive_as_they_left() {
    let mut chance = Chance(30);
    let documents: Vec<_> = (0..400).map(|id| document(&mut chance, id << 100)).collect();
    for chunk in [1, 50] {
        let rows = collect();
        let job = Job::new("copy")
            .source(from_vec(documents.clone()))
            .rebalance_chunks(chunk)
            .filter(|document| document.id > 0)
            .rebalance()
            .sink(rows.clone());
        check(&job, &rows, documents[1..].to_vec());
    }
}

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair<A, B>
where
    A: Clone,
    B: Clone,
{
    left: A,
    right: B,
}

#[test]
fn generic_records() {
    let pairs: Vec<_> =
        (0..300u64).map(|n| Pair { left: n, right: Pair { left: n.to_string(), right: () } }).collect();
    let rows = collect();
    let job = Job::new("copy").source(from_vec(pairs.clone())).rebalance().sink(rows.clone());
    check(&job, &rows, pairs);
}

/// Text of all lengths up to far beyond the smallest ring, with short ones after long ones.
#[test]
fn text_larger_than_a_ring() {
    let mut chance = Chance(31);
    let texts: Vec<_> = (0..150)
        .map(|n| {
            let longest = [8, 500, 5_000, 70_000][n % 4];
            let fill = char::from(b'a' + (n % 26) as u8);
            std::iter::repeat_n(fill, chance.below(longest) as usize).collect::<String>()
        })
        .collect();
    let rows = collect();
    let job = Job::new("texts").source(from_vec(texts.clone())).rebalance().sink(rows.clone());
    check(&job, &rows, texts);
}

/// Records of fixed size larger than the smallest ring, and a window that closes with such rows.
#[test]
fn fixed_records_larger_than_a_ring() {
    let events = events(32, 200, 10);
    let twin = twin((1_000, 1_000), events.iter().map(|e| (e.time, e.key, e.value)), |values| {
        [*values.iter().max().unwrap(); 700]
    });
    let rows = collect();
    let job = Job::new("wide")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|event| event.key)
        .window(tumbling(nanos(1_000)))
        .max(|event| event.value)
        .map(|row| Windowed { window: row.window, key: row.key, value: [row.value; 700] })
        .rebalance()
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// One record becomes very many within its tick: what the ring cannot hold travels as oversized frames, in order.
#[test]
fn one_record_becomes_a_hundred_thousand() {
    let events = events(33, 40, 5);
    let copies = |event: &crate::data::Event| if event.key == 0 { 20_000 } else { 3 };
    let most = events.iter().position(|event| event.key == 0).unwrap();
    let copies = move |event: &crate::data::Event, number: usize| {
        if number == most { 100_000 } else { copies(event) / 20 }
    };
    let numbered: Vec<_> = events.into_iter().enumerate().collect();
    let items = numbered.iter().flat_map(|(number, event)| {
        (0..copies(event, *number)).map(|copy| (event.time, copy as u64 % 1_000, copy as i64))
    });
    let twin = twin((1_000, 1_000), items.collect::<Vec<_>>(), |values| {
        (values.len() as u64, values.iter().sum::<i64>())
    });
    let input: Vec<(u64, crate::data::Event)> = numbered.into_iter().map(|(n, e)| (n as u64, e)).collect();
    let rows = collect();
    let job = Job::new("explosion")
        .source(from_vec(input))
        .event_time(|(_, event)| at(event), disorder())
        .flat_map(move |(number, event)| {
            (0..copies(&event, number as usize)).map(|copy| (copy as u64 % 1_000, copy as i64))
        })
        .key_by(|(key, _)| *key)
        .window(tumbling(nanos(1_000)))
        .aggregate((count(), sum(|(_, copy): &(u64, i64)| *copy)))
        .sink(rows.clone());
    check(&job, &rows, twin);
}
