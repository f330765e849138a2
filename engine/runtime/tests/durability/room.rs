//! The log's room in one tick: what is too large for it is refused, and nobody keeps another waiting.

use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::core::ingress::source::{Partition, Poll, Polled, Source};
use pelton::prelude::*;
use pelton::sources::{InletError, inlet};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn what_the_log_has_no_room_for_is_refused_and_stops_nobody() {
    for durability in [Durability::Process, Durability::Disk] {
        let (scratch, rows) = (Scratch::new("too-large"), collect());
        let mut config = config(scratch.path(), durability, 2);
        config.log.segment_bytes = 128 << 10;
        let (texts, source) = inlet::<String>(1_000);
        let job =
            Job::new("too-large").source(source).map(|text: String| text.len() as u64).sink(rows.clone());
        let running = job.start_with(&config).unwrap();
        let mut a = texts.producer("a").unwrap();
        let mut b = texts.producer("b").unwrap();
        let largest = a.transaction_bytes_max();
        assert!((50 << 10..64 << 10).contains(&largest), "{largest}");

        let error = a.send("x".repeat(largest)).unwrap_err();
        assert!(
            matches!(error, InletError::TooLarge { bytes, largest: most } if bytes > most && most == largest)
        );
        let error = a.send_all((0..70).map(|_| "y".repeat(1_000))).unwrap_err();
        assert!(error.to_string().contains("`log.segment`"), "{error}");
        assert_eq!(a.next_sequence(), Ok(1));
        let last = b.send("b".into()).unwrap();
        b.wait_acknowledged(last, LONG).unwrap();

        // As large as may be, again and again, wherever in a segment the log is.
        let most = largest - 100;
        let mut last = 0;
        for _ in 0..20 {
            last = a.send("z".repeat(most)).unwrap();
            b.send("b".into()).unwrap();
        }
        a.wait_acknowledged(last, LONG).unwrap();
        texts.close();
        running.wait().unwrap();
        let mut seen = rows.take();
        seen.sort_unstable();
        assert_eq!(seen, [vec![1; 21], vec![most as u64; 20]].concat());
    }
}

/// Partitions that log as much as they may: each `count` records of `bytes` bytes.
#[derive(Clone)]
struct Greedy {
    each: Vec<(u64, usize)>,
}

struct GreedyPartition {
    count: u64,
    bytes: usize,
}

impl Source for Greedy {
    type Item = u64;
    type Partition = GreedyPartition;

    fn partitions(&self, _: usize) -> usize {
        self.each.len()
    }

    fn open(&self, index: usize, _: usize) -> GreedyPartition {
        let (count, bytes) = self.each[index];
        GreedyPartition { count, bytes }
    }

    fn is_replayable(&self) -> bool {
        true
    }
}

impl Partition for GreedyPartition {
    type Item = u64;

    fn poll(&mut self, _: Poll, _: &mut impl FnMut(u64)) -> Polled {
        unreachable!("the job has durability")
    }

    fn poll_logged(&mut self, poll: Poll, log: &mut Vec<u8>, out: &mut impl FnMut(u64)) -> Polled {
        let start = log.len();
        for _ in 0..poll.records_max {
            if self.count == 0 {
                return Polled::Done;
            }
            if log.len() - start + self.bytes > poll.logged_max {
                return Polled::Waits(self.bytes);
            }
            log.resize(log.len() + self.bytes, 7);
            self.count -= 1;
            out(self.bytes as u64);
        }
        Polled::Open
    }
}

/// However much the one that is read first has to log, the others have their parts, be it all that there is room for at once.
#[test]
fn a_busy_source_starves_nobody() {
    for large in [1_000, 20_000, 28_000] {
        let (scratch, rows) = (Scratch::new("starves"), collect());
        let mut config = config(scratch.path(), Durability::Disk, 1);
        config.log.segment_bytes = 64 << 10;
        config.tick.records_max = 1 << 20;
        let each = vec![(2_000, 500), (10, large), (2_000, 500), (10, large)];
        let sizes = Job::new("starves").source(Greedy { each }).sink(rows.clone());
        sizes.run_with(&config).unwrap();
        let rows = rows.take_named();
        assert_eq!(rows.len(), 4_020);
        let last = rows.iter().rposition(|row| row.row == large as u64).unwrap();
        assert!(last < 2_000, "the last one of {large} bytes came after {last} others");
    }
}

#[test]
fn what_could_never_be_logged_ends_the_job() {
    let scratch = Scratch::new("never");
    let mut config = config(scratch.path(), Durability::Disk, 1);
    config.log.segment_bytes = 64 << 10;
    let job = Job::new("never").source(Greedy { each: vec![(3, 70_000)] }).sink(collect());
    let error = job.run_with(&config).unwrap_err().to_string();
    assert!(error.contains("70000 bytes") && error.contains("`log.segment`"), "{error}");
}

#[test]
fn segments_of_a_size_that_cannot_be_are_refused() {
    for bytes in [0, 1 << 15, 100_000, 1 << 31] {
        let scratch = Scratch::new("segments");
        let mut config = config(scratch.path(), Durability::Process, 1);
        config.log.segment_bytes = bytes;
        let error =
            Job::new("segments").source(from_iter(|| 0..1u64)).sink(collect()).run_with(&config).unwrap_err();
        assert!(matches!(error, pelton::JobError::Size { .. }), "{error}");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing was made");
    }
}

#[test]
fn more_partitions_than_an_entry_has_room_for_are_refused() {
    let (scratch, rows) = (Scratch::new("partitions"), collect());
    let mut config = config(scratch.path(), Durability::Process, 1);
    config.log.segment_bytes = 64 << 10;
    let numbers = generate(|w, of| (w as u64..10).step_by(of)).partitions(5_000);
    let job = Job::new("partitions").source(numbers).sink(rows.clone());
    let error = job.start_with(&config).unwrap_err().to_string();
    assert!(error.contains("5000 source partitions") && error.contains("`log.segment`"), "{error}");
    assert!(rows.take().is_empty());
}
