//! A job says who keeps its windows from closing, and what was odd about its records.

use pelton::config::DriverKind;
use pelton::prelude::*;
use pelton::{HeldBy, Origin, Running};
use std::time::Instant;

fn config(shards: usize) -> Config {
    Config { shards, driver: DriverKind::Threads, ..Config::default() }
}

/// Asks until that is so.
fn until(running: &Running, is_so: impl Fn(&pelton::Waiting) -> bool) -> pelton::Waiting {
    let begun = Instant::now();
    loop {
        let progress = running.progress();
        let waiting = &progress.waiting[0];
        if is_so(waiting) {
            return waiting.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{waiting}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn origin(waiting: &pelton::Waiting) -> Option<Origin> {
    waiting.held_by.as_ref().map(|held_by| held_by.origin.clone())
}

#[test]
fn a_silent_source_of_a_union_is_named() {
    for shards in [1, 3] {
        let ((quick, first), (slow, second)) = (channel::<i64>(16), channel::<i64>(16));
        let job = Job::new("union");
        let at = |seconds: &i64| EventTime(*seconds * 1_000_000_000);
        let second = job.source(second).event_time(at, in_order());
        let rows = collect();
        let running = job
            .source(first)
            .event_time(at, in_order())
            .union(second)
            .key_by(|_| ())
            .window(tumbling(secs(10)))
            .count()
            .map(|row| row.value)
            .sink(rows.clone())
            .start_with(&config(shards))
            .unwrap();
        quick.send(5).unwrap();
        quick.send(25).unwrap();
        let silent = Origin::Source { source: 0, partition: 0 };
        let waiting = until(&running, |waiting| {
            origin(waiting).as_ref() == Some(&silent) && waiting.held_by.iter().all(|h| h.since.0 > 0)
        });
        let Some(HeldBy { watermark, since, since_ago, .. }) = waiting.held_by.clone() else {
            unreachable!()
        };
        assert_eq!((waiting.watermark, watermark), (EventTime::MIN, EventTime::MIN));
        assert!(waiting.operator.ends_with("> window"), "{waiting}");
        assert!(waiting.to_string().contains("held back by partition 0 of source 0, which has said nothing"));
        let later = until(&running, |now| now.held_by.as_ref().is_some_and(|h| h.since_ago > since_ago));
        assert_eq!(later.held_by.map(|held_by| held_by.since), Some(since), "it has said nothing since");
        assert!(rows.take().is_empty(), "so no row can have come");

        slow.send(40).unwrap();
        let other = Origin::Source { source: 1, partition: 0 };
        let waiting = until(&running, |waiting| origin(waiting).as_ref() == Some(&other));
        assert_eq!(waiting.held_by.unwrap().watermark, at(&25));
        until(&running, |waiting| waiting.watermark == at(&25));
        drop((quick, slow));
        let progress = running.wait().unwrap();
        assert_eq!((progress.waiting[0].watermark, &progress.waiting[0].held_by), (EventTime::MAX, &None));
        assert!(progress.remarks().is_empty());
    }
}

#[test]
fn behind_an_exchange_the_shard_is_named_and_idle_partitions_are_not() {
    let (numbers, source) = channel::<i64>(16);
    let running = Job::new("exchange")
        .source(source)
        .rebalance()
        .event_time(|at| EventTime(*at), in_order())
        .key_by(|_| ())
        .sort()
        .sink(for_each(|_| ()))
        .start_with(&config(2))
        .unwrap();
    numbers.send(7).unwrap();
    // It went to shard 0, so nothing has reached the other one.
    let waiting = until(&running, |waiting| origin(waiting) == Some(Origin::Stage { stage: 1, shard: 1 }));
    assert!(waiting.operator.ends_with("> sort"), "{waiting}");
    drop(numbers);
    running.wait().unwrap();

    let (numbers, source) = channel::<i64>(16);
    let running = Job::new("idle")
        .source(source)
        .event_time(|at| EventTime(*at), in_order().idle_after(millis(5)))
        .sort()
        .sink(for_each(|_| ()))
        .start_with(&config(1))
        .unwrap();
    numbers.send(7).unwrap();
    let waiting = until(&running, |waiting| waiting.watermark == EventTime(7) && waiting.held_by.is_none());
    assert!(waiting.to_string().ends_with("held back by nobody: whoever might is idle or has ended"));
    drop(numbers);
    running.wait().unwrap();
}

/// One record of tomorrow among many: nothing is late for it, it is in the result, and the job says that it came.
#[test]
fn one_record_of_tomorrow_makes_nobody_late() {
    let day = 86_400_000i64;
    let times = move || (0..20_000i64).map(move |n| if n == 10_000 { n + day } else { n });
    let run = |watermarks| {
        let rows = collect();
        let progress = Job::new("tomorrow")
            .source(from_iter(times))
            .event_time(|ms| EventTime::from_millis(*ms), watermarks)
            .key_by(|_| ())
            .window(tumbling(secs(1)))
            .count()
            .map(|row| row.value)
            .sink(rows.clone())
            .run_with(&config(2))
            .unwrap();
        (rows.take(), progress)
    };
    let (rows, progress) = run(in_order());
    assert_eq!((progress.total.early, progress.total.late), (1, 0));
    assert_eq!(rows.len(), 21);
    assert_eq!(rows.iter().sum::<u64>(), 20_000);
    let remarks = progress.remarks();
    assert!(remarks.len() == 1 && remarks[0].starts_with("1 of 20000 records were early"), "{remarks:?}");

    let (_, progress) = run(in_order().never_early());
    let (early, late) = (progress.total.early, progress.total.late);
    assert!(early == 0 && late > 5_000, "without a bound {late} are late");
    assert!(progress.remarks()[0].contains("records were late"));
}
