//! All aggregates at once: on any number of shards, in any ticks, added up before they cross or not, through crashes and checkpoints, with rows of any
//! size.

use crate::check::check;
use crate::data::{DISORDER, Event, disorder, events, nanos, twin};
use pelton::prelude::*;
use pelton::sim::{Scenario, crash_test};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Key, time, value, the bits of a price: an order that a float has not.
type Sale = (u64, i64, i64, u64);

fn sale(event: &Event) -> Sale {
    (event.key, event.time, event.value, event.price.to_bits())
}

fn name(sale: &Sale) -> String {
    format!("no. {}", sale.2 % 13)
}

fn price(sale: &Sale) -> f64 {
    f64::from_bits(sale.3)
}

/// What there is, in two tuples.
fn all() -> impl Aggregate<Sale, Out: std::fmt::Debug + 'static> {
    let values = (
        count_if(|s: &Sale| s.2 > 0),
        filtered(|s: &Sale| s.2 > 900, min(|s: &Sale| s.2)),
        filtered(|s: &Sale| s.2 > 900, sum(|s: &Sale| s.2)).or_default(),
        distinct(|s: &Sale| s.2),
        distinct(name),
        approx_distinct(|s: &Sale| s.2),
        filtered(|s: &Sale| s.2 < 0, distinct(name)).or_default(),
        collect_set(name),
        most_frequent(3, name),
        collect_list(|s: &Sale| s.2),
    );
    let records = (
        collect_map(name, (arg_max(|s: &Sale| s.1, |s: &Sale| s.2), arg_min(|s: &Sale| s.1, name))),
        count_by(|s: &Sale| s.2 > 0),
        top_k(3, |s: &Sale| s.2),
        bottom_k(2, name),
        bottom_k_by(2, |s: &Sale| s.2 % 7),
        top_k_by(4, name),
        quantiles(|s: &Sale| s.2 / 2, [0.0, 0.5, 0.99]),
        (var_pop(|s: &Sale| s.2), var_samp(|s: &Sale| s.2)),
        (stddev_pop(|s: &Sale| s.2), stddev_samp(|s: &Sale| s.2)),
        quantiles(price, [0.5]),
        var_samp(price),
    );
    (values, records)
}

/// The same by definition, but for the last two: floats are compared with what one accumulator makes of the window.
fn by_definition(sales: &[Sale]) -> String {
    let sorted = |values: Vec<i64>| {
        let mut values = values;
        values.sort_unstable();
        values
    };
    let values = sorted(sales.iter().map(|s| s.2).collect());
    let names: Vec<String> = sales.iter().map(name).collect();
    let large: Vec<i64> = values.iter().copied().filter(|value| *value > 900).collect();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    let of_negative: BTreeSet<String> = sales.iter().filter(|s| s.2 < 0).map(name).collect();
    let different = values.iter().collect::<BTreeSet<_>>().len();
    let mut frequent: Vec<(String, u64)> = set
        .iter()
        .map(|one| (one.clone(), names.iter().filter(|other| *other == one).count() as u64))
        .collect();
    frequent.sort_by_key(|(name, count)| (Reverse(*count), name.clone()));
    frequent.truncate(3);
    let positive = values.iter().filter(|value| **value > 0).count() as u64;
    let first = (
        positive,
        large.first(),
        large.iter().sum::<i64>(),
        different,
        set.len(),
        different,
        of_negative.len(),
        set.iter().collect::<Vec<_>>(),
        frequent,
        &values,
    );
    let map: BTreeMap<String, (i64, String)> = set
        .iter()
        .map(|one| {
            let last = sales.iter().filter(|s| name(s) == *one).max_by_key(|s| (s.1, Reverse(s.2)));
            (one.clone(), (last.expect("a sale").2, one.clone()))
        })
        .collect();
    let others = values.len() as u64 - positive;
    let signs: BTreeMap<bool, u64> =
        [(false, others), (true, positive)].into_iter().filter(|(_, count)| *count > 0).collect();
    let greatest: Vec<i64> = values.iter().rev().take(3).copied().collect();
    let mut least_names = names.clone();
    least_names.sort();
    let mut by_rest = sales.to_vec();
    by_rest.sort_by_key(|s| (s.2 % 7, *s));
    let mut by_name = sales.to_vec();
    by_name.sort_by_key(|s| (Reverse(name(s)), *s));
    let halves = sorted(values.iter().map(|value| value / 2).collect());
    let of_rank = |q: f64| halves[((q * halves.len() as f64).ceil() as usize).max(1) - 1] as f64;
    let (count, total) = (values.len() as i128, values.iter().map(|v| i128::from(*v)).sum::<i128>());
    let distance = count * values.iter().map(|v| i128::from(*v).pow(2)).sum::<i128>() - total * total;
    // Both are integers below 2^53, so the division is the one rounding.
    let population = distance as f64 / (count * count) as f64;
    let sample = (count > 1).then(|| distance as f64 / (count * (count - 1)) as f64);
    let floats = (quantiles(price, [0.5]), var_samp(price));
    let mut acc = Aggregate::<Sale>::empty(&floats);
    sales.iter().for_each(|sale| floats.add(&mut acc, floats.item(sale)));
    let (median, variance) = Aggregate::<Sale>::finish(&floats, &acc);
    let second = (
        map,
        signs,
        greatest,
        &least_names[..2.min(names.len())],
        &by_rest[..2.min(sales.len())],
        &by_name[..4.min(sales.len())],
        [0.0, 0.5, 0.99].map(of_rank),
        (population, sample),
        (population.sqrt(), sample.map(f64::sqrt)),
        median,
        variance,
    );
    format!("{:?}", (first, second))
}

/// One run through all of `check`, of records of some keys in windows of `size` every `slide`.
fn check_all(events: Vec<Event>, (size, slide): (i64, i64), before: bool) {
    let timed = events.iter().map(|event| (event.time, event.key, sale(event)));
    let twin = twin((size, slide), timed, by_definition);
    let rows = collect();
    let windows = Job::new("all aggregates")
        .source(from_vec(events))
        .map(|event| sale(&event))
        .event_time(|sale| EventTime(sale.1), disorder())
        .key_by(|sale| sale.0)
        .window(hopping(nanos(size as u64), nanos(slide as u64)));
    let text = |row: Windowed<u64, String>| row;
    let job = match before {
        true => windows
            .aggregate(pre_aggregated(all()))
            .map(move |row| {
                text(Windowed { window: row.window, key: row.key, value: format!("{:?}", row.value) })
            })
            .sink(rows.clone()),
        false => windows
            .aggregate(all())
            .map(move |row| {
                text(Windowed { window: row.window, key: row.key, value: format!("{:?}", row.value) })
            })
            .sink(rows.clone()),
    };
    check(&job, &rows, twin);
}

#[test]
fn all_of_them_as_the_definitions_say() {
    check_all(events(301, 250, 7), (1_000, 1_000), false);
    check_all(events(302, 120, 3), (900, 300), false);
}

#[test]
fn all_of_them_added_up_before_they_cross() {
    check_all(events(303, 120, 3), (900, 300), true);
}

/// Values of 1 MB, which no ring holds here.
#[test]
fn values_of_a_megabyte() {
    let text =
        |event: &Event| char::from(b'a' + (event.value % 3).unsigned_abs() as u8).to_string().repeat(1 << 20);
    let events = events(305, 12, 2);
    let timed = events.iter().map(|event| (event.time, event.key, text(event)));
    let brief = |text: &String| (text.len(), text.chars().next());
    let twin = twin((1_000, 1_000), timed, move |texts| {
        let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
        texts.iter().for_each(|text| *counts.entry(text).or_default() += 1);
        let counts: Vec<_> = counts.into_iter().map(|(text, count)| (brief(text), count)).collect();
        let greatest = texts.iter().max().map(brief).expect("a text");
        (texts.len() as u64, counts.len() as u64, counts.len() as u64, greatest, counts)
    });
    let rows = collect();
    let job = Job::new("megabytes")
        .source(from_vec(events))
        .map(move |event| (event.key, event.time, text(&event)))
        .event_time(|(_, time, _)| EventTime(*time), disorder())
        .key_by(|(key, ..)| *key)
        .window(tumbling(nanos(1_000)))
        .aggregate((
            count(),
            distinct(|(.., text): &(u64, i64, String)| text.clone()),
            approx_distinct(|(.., text): &(u64, i64, String)| text.clone()),
            top_k(1, |(.., text): &(u64, i64, String)| text.clone()),
            count_by(|(.., text): &(u64, i64, String)| text.clone()),
        ))
        .map(move |row| {
            let (all, different, about, greatest, counts) = row.value;
            let counts: Vec<_> = counts.iter().map(|(text, count)| (brief(text), *count)).collect();
            let value = (all, different, about, brief(&greatest[0]), counts);
            Windowed { window: row.window, key: row.key, value }
        })
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// What is kept goes through checkpoints, logs and other numbers of shards, and comes back as it was.
#[test]
fn all_of_them_through_crashes() {
    let events = events(304, 700, 9);
    let timed = events.iter().map(|event| (event.time, event.key, sale(event)));
    let mut twin = twin((2_000, 1_000), timed, by_definition);
    twin.sort();
    let rows = collect();
    let job = Job::new("all aggregates")
        .source(from_vec(events))
        .map(|event| sale(&event))
        .event_time(|sale| EventTime(sale.1), out_of_order(nanos(DISORDER as u64)))
        .key_by(|sale| sale.0)
        .window(hopping(nanos(2_000), nanos(1_000)))
        .aggregate(all())
        .map(|row| Windowed { window: row.window, key: row.key, value: format!("{:?}", row.value) })
        .sink(rows.clone());
    for seed in 0..12 {
        crash_test(&job, &Scenario { seed, ..Scenario::default() })
            .unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        let named: BTreeMap<_, _> =
            rows.take_named().into_iter().map(|row| ((row.tick, row.shard, row.seq), row.row)).collect();
        let mut found: Vec<Windowed<u64, String>> = named.into_values().collect();
        found.sort();
        crate::check::same_rows(&found, &twin);
    }
}
