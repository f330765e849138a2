//! Timers and the state of keys, over restarts with other numbers of shards.

use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// Has each number come again after a second of event time, with how many of its key there were; some by the wall clock as well.
#[derive(Clone)]
struct Again;

/// (which clock, number, how many of its key there were when its timer was set)
type Row = (bool, u64);

impl ProcessFunction<u64, u64> for Again {
    type State = ValueState<u64>;
    type Out = Row;
    const PROCESSING_TIMERS: bool = true;

    fn record(&self, number: u64, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, Row>) {
        *state.get_or_insert_default() += 1;
        key.set_timer(key.time() + secs(1), number);
        if number.is_multiple_of(50) {
            key.set_processing_timer(key.processing_time() + millis(number % 40), number);
        }
    }

    fn timer(&self, timer: FiredTimer, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, Row>) {
        assert!(state.is_some_and(|count| count > 0), "the state has come along");
        key.emit((timer.kind == TimerKind::Event, timer.tag));
    }
}

#[test]
fn each_timer_fires_once_whatever_is_stopped() {
    let (scratch, rows, numbers) = (Scratch::new("timers"), collect(), 1_200_000u64);
    let source = generate(move |w, of| (w as u64..numbers).step_by(of)).partitions(3);
    let job = Job::new("again")
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| n % 97)
        .process(Again)
        .sink(rows.clone());
    let (mut seen, mut ended, mut rounds) = (BTreeMap::new(), false, 0);
    while !ended {
        let shards = [2, 3, 1, 8, 4][rounds % 5];
        let mut config = config(scratch.path(), Durability::Process, shards);
        config.checkpoint.interval_s = 1;
        let running = job.start_with(&config).unwrap();
        ended = running.wait_for(Duration::from_millis(10 + rounds as u64 % 5 * 30));
        if !ended && rounds % 3 == 0 {
            drop(running.checkpoint(None)); // unless the job ends first
        }
        running.stop(if rounds % 4 == 1 { Stop::Suspend } else { Stop::Now });
        running.wait().unwrap();
        for row in rows.take_named() {
            let before = seen.insert((row.tick, row.shard, row.seq), row.row);
            assert!(before.is_none_or(|before| before == row.row), "{before:?} came again as {row:?}");
        }
        rounds += 1;
        assert!(rounds < 400, "it makes headway");
    }
    let mut found: Vec<Row> = seen.into_values().collect();
    found.sort_unstable();
    let event = (0..numbers).map(|number| (true, number));
    let processing = (0..numbers).step_by(50).map(|number| (false, number));
    assert!(found == processing.chain(event).collect::<Vec<_>>(), "{} rows in {rounds} runs", found.len());
    assert!(rounds > 3, "{rounds} runs");
}
