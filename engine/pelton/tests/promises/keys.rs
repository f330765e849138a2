//! Kinds of keys.

use crate::check::check;
use crate::data::{at, disorder, events, nanos, twin};
use pelton::prelude::*;
use std::fmt::Debug;

/// Counts by the keys that `key` makes of the numbers below 60.
fn counts_by<K: Key + Debug + Send>(key: fn(u64) -> K) {
    let events = events(20, 700, 60);
    let twin =
        twin((1_000, 500), events.iter().map(|e| (e.time, key(e.key), ())), |items| items.len() as u64);
    let rows = collect();
    let job = Job::new("keys")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(move |event| key(event.key))
        .window(hopping(nanos(1_000), nanos(500)))
        .count()
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[pelton::record(key)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    country: Option<String>,
    zone: (i16, bool),
    code: [u8; 3],
}

#[pelton::record(key)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell(i32, u8);

#[test]
fn strings() {
    counts_by(|n| format!("a prefix longer than eight bytes {}", n % 20));
    counts_by(|n| "x".repeat(n as usize % 7));
}

#[test]
fn tuples_options_and_arrays() {
    counts_by(|n| (n % 3, (n / 3) as i8 - 10));
    counts_by(|n| (format!("{}", n % 5), n % 2 == 0, 'a', n as u16));
    counts_by(|n| (n % 4 > 0).then_some(n as i64 - 30));
    counts_by(|n| [n % 2, n % 3, n % 5]);
    counts_by(|n| (n % 3 > 0).then(|| "é".repeat(n as usize % 4)));
}

#[test]
fn structs() {
    counts_by(|n| Cell(n as i32 - 30, (n % 2) as u8));
    counts_by(|n| Place {
        country: (n % 3 > 0).then(|| format!("land {}", n % 4)),
        zone: (-(n as i16), n % 2 == 0),
        code: [n as u8; 3],
    });
}

#[test]
fn wide_and_narrow_numbers() {
    counts_by(|n| i128::from(n) << 70);
    counts_by(|n| -(n as i128));
    counts_by(|n| n % 2 == 0);
    counts_by(|n| char::from(b'A' + n as u8));
    counts_by(|n| EventTime(n as i64 - 30));
    counts_by(|_| ());
}
