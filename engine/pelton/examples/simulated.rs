//! A job of one's own under the simulator: is anything lost or counted twice when it dies?
//!
//! The job adds up payments by account and minute. It is killed, loses power, is stopped and comes back with another number of shards, in a
//! hundred different ways, and each time its rows have to be those of a few plain lines.
//!
//! ```text
//! cargo run --example simulated
//! ```

use pelton::prelude::*;
use pelton::sim::{Scenario, crash_test};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

#[pelton::record]
#[derive(Clone)]
struct Payment {
    account: u64,
    cents: i64,
    at: EventTime,
}

/// The payments; what can be made again needs no log.
fn payments(partition: usize, of: usize) -> impl Iterator<Item = Payment> {
    let payment = |n: u64| Payment {
        account: n * n % 11,
        cents: (n % 1_000) as i64 - 100,
        at: EventTime::from_millis(n as i64 * 100),
    };
    (partition as u64..5_000).step_by(of).map(payment)
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows = collect();
    let job = Job::new("payments")
        .source(generate(payments).partitions(3))
        .event_time(|payment| payment.at, in_order())
        .key_by(|payment| payment.account)
        .window(tumbling(secs(60)))
        .sum(|payment| payment.cents)
        .sink(rows.clone());

    // The naive twin.
    let mut expected = BTreeMap::new();
    for payment in payments(0, 1) {
        *expected.entry((payment.at.as_secs() / 60, payment.account)).or_insert(0) += payment.cents;
    }

    let (mut runs, mut checkpoints) = (0, 0);
    for seed in 0..100 {
        let outcome = crash_test(&job, &Scenario { seed, ..Scenario::default() })?;
        runs += outcome.runs;
        checkpoints += outcome.checkpoints;
        // `collect` forgets nothing here, and is shown rows again: the same name is the same row.
        let named: BTreeMap<_, _> =
            rows.take_named().into_iter().map(|row| ((row.tick, row.shard, row.seq), row.row)).collect();
        let mut sums = BTreeMap::new();
        for row in named.into_values() {
            let twice = sums.insert((row.window.start.as_secs() / 60, row.key), row.value);
            assert_eq!(twice, None, "seed {seed}: a window of an account comes once");
        }
        assert_eq!(sums, expected, "seed {seed}");
    }
    writeln!(
        std::io::stdout(),
        "100 seeds, {runs} runs, {checkpoints} checkpoints: nothing lost, nothing twice"
    )?;
    Ok(())
}
