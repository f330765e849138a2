//! Shapes of jobs: forks, unions, side outputs, diamonds.

use crate::check::check;
use crate::data::{Event, at, disorder, events, nanos, total, twin};
use pelton::prelude::*;

#[test]
fn fork_and_union_in_one_stage() {
    let events = events(40, 1_000, 20);
    let items = events.iter().flat_map(|e| {
        let even = (e.value % 2 == 0).then_some((e.time, e.key, -e.value));
        [Some((e.time, e.key, e.value)), even]
    });
    let twin = twin((1_000, 500), items.flatten(), |values| (values.len() as u64, total(values)));
    let rows = collect();
    let (left, right) = Job::new("fork").source(from_vec(events)).event_time(at, disorder()).fork();
    let right = right.filter(|e| e.value % 2 == 0).map(|e| Event { value: -e.value, ..e });
    let job = left
        .union(right)
        .key_by(|e| e.key)
        .window(hopping(nanos(1_000), nanos(500)))
        .aggregate((count(), sum(|e: &Event| e.value)))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// The side output, the main output, and a fork of a fork, each to its own sink.
#[test]
fn side_outputs_and_forks_of_forks() {
    let events = events(41, 900, 20);
    let keyed = |e: &Event, mark: u64| (mark, e.key, e.time, e.value);
    let mut twin = Vec::new();
    for event in &events {
        let (main, side) = (event.value >= 0, event.value < 0);
        twin.extend(main.then(|| keyed(event, 0)));
        twin.extend(side.then(|| keyed(event, 1)));
        twin.extend(side.then(|| keyed(event, 2)));
    }
    let rows = collect();
    let (main, side) = Job::new("side").source(from_vec(events)).side_output(|e| e.value < 0);
    let (first, second) = side.fork();
    let _ = second.rebalance_chunks(3).map(move |e| keyed(&e, 2)).sink(rows.clone());
    let _ = main.map(move |e| keyed(&e, 0)).sink(rows.clone());
    let job = first.map(move |e| keyed(&e, 1)).sink(rows.clone());
    check(&job, &rows, twin);
}

/// One way straight, the other through an exchange, together again where ticks merge, and into a window.
#[test]
fn a_diamond_over_stages() {
    let events = events(42, 900, 15);
    let items = events.iter().flat_map(|e| [(e.time, e.key, e.value), (e.time, e.key, 1)]);
    let twin = twin((1_000, 500), items.collect::<Vec<_>>(), total);
    let rows = collect();
    let (straight, round) = Job::new("diamond").source(from_vec(events)).event_time(at, disorder()).fork();
    let round = round.rebalance().map(|e| Event { value: 1, ..e });
    let job = straight
        .union(round)
        .key_by(|e| e.key)
        .window(hopping(nanos(1_000), nanos(500)))
        .sum(|e| e.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// Records beside the windows that they are in, both into a further window: two exchanges against none.
#[test]
fn a_diamond_over_windows() {
    let events = events(43, 800, 12);
    let counts = twin((200, 200), events.iter().map(|e| (e.time, e.key, ())), |items| items.len() as i64);
    let rows_of_counts = counts.iter().map(|row| (row.window.end.0 - 1, row.key % 4, row.value * 1_000_000));
    let items = events.iter().map(|e| (e.time, e.key % 4, e.value)).chain(rows_of_counts);
    let twin = twin((1_000, 1_000), items.collect::<Vec<_>>(), total);
    let rows = collect();
    let (records, counted) = Job::new("diamond").source(from_vec(events)).event_time(at, disorder()).fork();
    let counted = counted
        .key_by(|e| e.key)
        .window(tumbling(nanos(200)))
        .count()
        .map(|row| (row.key % 4, row.value as i64 * 1_000_000));
    let job = counted
        .union(records.map(|e| (e.key % 4, e.value)))
        .key_by(|(key, _)| *key)
        .window(tumbling(nanos(1_000)))
        .sum(|(_, value)| *value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// Two exchanges out of one stage and two into another, with windows that write to both.
#[test]
fn a_window_that_feeds_two_windows() {
    let events = events(44, 900, 25);
    let counts = twin((200, 200), events.iter().map(|e| (e.time, e.key, ())), |items| items.len() as i64);
    let items = |by: u64| counts.iter().map(move |row| (row.window.end.0 - 1, row.key % by, row.value));
    let mut twin_rows: Vec<_> =
        twin((1_000, 1_000), items(3), total).into_iter().map(|row| (3, row)).collect();
    twin_rows.extend(twin((1_000, 500), items(7), total).into_iter().map(|row| (7, row)));
    let rows = collect();
    let (left, right) = Job::new("split")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .window(tumbling(nanos(200)))
        .count()
        .fork();
    let by_three = left.key_by(|row| row.key % 3).window(tumbling(nanos(1_000))).sum(|row| row.value as i64);
    let by_seven =
        right.key_by(|row| row.key % 7).window(hopping(nanos(1_000), nanos(500))).sum(|row| row.value as i64);
    let job = by_three.map(|row| (3, row)).union(by_seven.map(|row| (7, row))).sink(rows.clone());
    check(&job, &rows, twin_rows);
}

/// Streams without event time keep it that way over exchanges, and may be given one there.
#[test]
fn event_time_given_behind_an_exchange() {
    let mut events = events(45, 700, 12);
    // Every partition's records enter the exchange at their own pace, so only a bound on the whole stream is true.
    let span = 2 * events.iter().map(|e| e.time.unsigned_abs()).max().unwrap() + 1;
    events.sort_by_key(|e| e.time);
    let twin = twin((1_000, 1_000), events.iter().map(|e| (e.time, e.key, e.value)), total);
    let rows = collect();
    let job = Job::new("later")
        .source(from_vec(events))
        .rebalance_chunks(5)
        .event_time(at, out_of_order(nanos(span)))
        .key_by(|e| e.key)
        .window(tumbling(nanos(1_000)))
        .sum(|e| e.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// A stream that is given its event time anew behind a window or an exchange makes progress there, not only at the end.
#[test]
fn time_given_anew_moves_on() {
    let mut events = events(46, 2_000, 12);
    events.sort_by_key(|e| e.time);
    let rows = collect();
    let job = Job::new("anew")
        .source(from_vec(events))
        .event_time(at, in_order())
        .key_by(|e| e.key)
        .window(tumbling(nanos(100)))
        .count()
        .map(|row| (row.window.end, row.value))
        .event_time(|row| row.0, in_order())
        .key_by(|_| ())
        .window(tumbling(nanos(1_000)))
        .sum(|row| row.1)
        .sink(rows.clone());
    for shards in [1, 3] {
        let settings =
            pelton::sim::Simulation { shards, records_max: 16, ..pelton::sim::Simulation::default() };
        let (recording, found) = crate::check::simulated(&job, &rows, &settings);
        assert_eq!(found.iter().map(|row| row.row.value).sum::<u64>(), 2_000);
        let last = recording.logs.iter().flatten().map(|entry| entry.tick).max().unwrap();
        let early = found.iter().filter(|row| row.tick.0 < last.0 / 2).count();
        assert!(early > 2, "{early} of {} rows in the first half", found.len());
        crate::check::replays(&job, &rows, &recording, &found, settings);
    }
}
