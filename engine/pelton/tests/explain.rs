//! A job's plan: what it says of the job, where its places are, and which uids cannot be.

use pelton::JobError;
use pelton::prelude::*;

#[pelton::record]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    shop: u64,
    cents: u64,
    second: i64,
}

fn orders() -> Vec<Order> {
    vec![Order { shop: 1, cents: 250, second: 1 }, Order { shop: 2, cents: 100, second: 2 }]
}

/// A job with most of what there is.
fn job() -> Job {
    let job = Job::new("revenue \"live\"");
    let (all, large) = job
        .source(from_iter(orders))
        .uid("orders")
        .filter(|order| order.cents > 0)
        .event_time(
            |order| EventTime::from_secs(order.second),
            out_of_order(millis(1_500)).idle_after(secs(5)),
        )
        .side_output(|order| order.cents > 10_000);
    let (revenue, late) = all
        .key_by(|order| order.shop)
        .window(hopping(secs(60), secs(10)))
        .aggregate_with_late((sum(|order: &Order| order.cents), count()));
    let _ = revenue.uid("per-shop").map(|row| row.value).sink_with_uid("revenue", collect());
    let _ = late.rebalance().union(large).sort().sink(for_each(drop));
    let (clicks, source) = inlet::<u64>(16);
    std::mem::forget(clicks);
    let _ = job.source(source).ingestion_time().key_by(|n| *n).deduplicate(secs(60)).sink(collect());
    job
}

/// Lines of this file without their numbers: so it may grow.
fn without_lines(text: &str) -> String {
    let mut parts = text.split("tests/explain.rs:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(first, |told, part| {
            told + "here" + part.trim_start_matches(|letter: char| letter.is_ascii_digit())
        })
        .replace("engine/pelton/", "")
}

#[test]
fn a_job_is_told_as_text() {
    assert_eq!(without_lines(&job().explain().to_string()), include_str!("explain/job.txt"));
}

#[test]
fn a_job_is_drawn() {
    let drawing = job().explain().graphviz();
    assert_eq!(without_lines(&drawing), include_str!("explain/job.dot"));
    // What a parser would trip over first.
    let (mut depth, mut in_string, mut escaped) = (0i32, false, false);
    let mut declared = Vec::new();
    for line in drawing.lines() {
        if let Some((id, _)) = line.trim_start().split_once(" [label=").filter(|(id, _)| !id.contains("->")) {
            declared.push(id.to_owned());
        }
        for letter in line.chars() {
            match letter {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                '{' | '[' if !in_string => depth += 1,
                '}' | ']' if !in_string => depth -= 1,
                _ => {}
            }
        }
        assert!(depth >= 0 && !in_string, "{line}");
    }
    assert_eq!(depth, 0);
    let mut unique = declared.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), declared.len(), "{declared:?}");
    let arrows: Vec<&str> = drawing.lines().filter(|line| line.contains(" -> ")).collect();
    assert!(arrows.len() > 10, "{arrows:?}");
    for arrow in arrows {
        let ends: Vec<&str> =
            arrow.trim().split([' ', ';']).filter(|word| word.starts_with('n')).take(2).collect();
        assert!(ends.len() == 2 && ends.iter().all(|end| declared.iter().any(|id| id == end)), "{arrow}");
    }
}

#[test]
fn places_are_those_of_the_closures() {
    let line = line!();
    let timed = Job::new("places")
        .source(from_iter(|| 0..3u64))
        .map(|n| n + 1)
        .filter(|n| *n > 1)
        .event_time(|n| EventTime::from_secs(*n as i64), in_order());
    let keyed = timed.key_by(|n| *n);
    let job = keyed.window(tumbling(secs(1))).count().sink(collect());
    let told = job.explain().to_string();
    let expected = [
        ("source-0: source, ", 2),
        ("map at ", 3),
        ("filter at ", 4),
        ("source-0.event_time: event_time, ", 5),
        ("by key u64 (", 6),
        ("window-0: window, ", 7),
        ("sink-0: sink, ", 7),
    ];
    for (what, further) in expected {
        let place = format!("{what}{}:{}", file!(), line + further);
        assert!(told.contains(&place), "{place} in {told}");
    }
}

#[test]
fn operators_without_a_uid_are_not_renamed_by_a_map() {
    let uids = |job: &Job| {
        let explained = job.explain();
        explained.plan().uids().into_iter().filter(|uid| !uid.starts_with("chain")).collect::<Vec<_>>()
    };
    let plain = Job::new("job").source(from_iter(orders)).rebalance().sink(collect());
    let mapped = Job::new("job")
        .source(from_iter(orders))
        .filter(|_| true)
        .map(|order| order)
        .rebalance()
        .inspect(|_, _| ())
        .sink(collect());
    assert_eq!(uids(&plain), uids(&mapped));
    assert_eq!(uids(&plain), ["source-0", "rebalance-0", "sink-0"]);
}

#[test]
fn two_operators_of_one_uid_are_refused_with_both_places() {
    let line = line!();
    let source = Job::new("twice").source(from_iter(orders)).uid("orders");
    let spread = source.rebalance().uid("orders");
    let job = spread.sink(collect());
    let error = job.run_with(&Config::default()).unwrap_err();
    assert!(matches!(error, JobError::Uid { .. }));
    let told = error.to_string();
    for further in [1, 2] {
        assert!(told.contains(&format!("{}:{}", file!(), line + further)), "{told}");
    }
    // A sink, too, and what an operator is called that was given none.
    let job = Job::new("twice").source(from_iter(orders)).sink_with_uid("source-0", collect());
    assert!(job.run_with(&Config::default()).unwrap_err().to_string().contains("`source-0`"));
}
