//! The partition and its producers by hand, through restarts.

use super::*;
use crate::bounds::STRIPES;
use pelton_core::ingress::source::{OpenContext, Partition, Poll, Polled};
use pelton_core::{Nanos, Tick};

mod ends;
mod memory;
mod retired;
mod threads;

/// The position of a partition that knows no producer.
const NOBODY: [u8; 8] = [2, 0, 0, 0, 0, 0, 0, 0];
const NOW: Duration = Duration::ZERO;
const MUCH: usize = 64 << 20;

fn poll(tick: u64, records_max: usize, logged_max: usize) -> Poll {
    Poll { now: Nanos(0), tick: Tick(tick), records_max, logged_max }
}

/// What a tick took in and logged.
type Entry = (u64, Vec<String>, Vec<u8>);

/// One tick of at most `records_max` records and `logged_max` bytes.
fn step(partition: &mut InletPartition<String>, tick: u64, records_max: usize, logged_max: usize) -> Entry {
    let (entry, polled) = try_step(partition, tick, records_max, logged_max);
    assert_ne!(polled, Polled::Done);
    entry
}

fn try_step(
    partition: &mut InletPartition<String>,
    tick: u64,
    records_max: usize,
    logged_max: usize,
) -> (Entry, Polled) {
    let (mut records, mut logged) = (Vec::new(), b"before".to_vec());
    let polled =
        partition.poll_logged(poll(tick, records_max, logged_max), &mut logged, &mut |r| records.push(r));
    let logged = logged.strip_prefix(b"before").unwrap().to_vec();
    assert!(logged.len() <= logged_max);
    ((tick, records, logged), polled)
}

fn new(capacity: usize) -> (Inlet<String>, InletSource<String>, InletPartition<String>) {
    let (inlet, source) = inlet(capacity);
    let partition = source.open(0, 1);
    (inlet, source, partition)
}

/// The same in a process that has not taken in anything.
fn live(capacity: usize) -> (Inlet<String>, InletSource<String>, InletPartition<String>) {
    let (inlet, source, mut partition) = new(capacity);
    assert!(step(&mut partition, 1, 10, MUCH).1.is_empty());
    (inlet, source, partition)
}

fn replay(partition: &mut InletPartition<String>, (tick, records, logged): &Entry) {
    let mut again = Vec::new();
    partition.replay(poll(*tick, records.len(), 0), logged, &mut |record| again.push(record)).unwrap();
    assert_eq!(again, *records);
}

#[test]
fn records_are_numbered_taken_in_and_acknowledged() {
    let (inlet, _, mut partition) = live(10);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    let mut b = inlet.producer_within("b", NOW).unwrap();
    assert_eq!(a.send("1".into()), Ok(1));
    assert_eq!(b.send("x".into()), Ok(1));
    assert_eq!(a.try_send("2".into()), Ok(2));
    assert_eq!(a.next_sequence(), Ok(3));
    assert_eq!(step(&mut partition, 5, 2, MUCH).1, ["1", "2"], "one queue after the other");
    assert_eq!(step(&mut partition, 6, 2, MUCH).1, ["x"]);
    assert_eq!((a.acknowledged(), b.acknowledged()), (0, 0));
    partition.released(Tick(4));
    assert_eq!((a.acknowledged(), b.acknowledged()), (0, 0));
    partition.released(Tick(5));
    assert_eq!((a.acknowledged(), b.acknowledged()), (2, 0));
    assert_eq!(b.wait_acknowledged(1, NOW), Err(InletError::TimedOut));
    partition.released(Tick::END);
    assert_eq!(b.wait_acknowledged(1, NOW), Ok(()));
    assert_eq!(inlet.counts(), InletCounts { sent: 3, transactions: 3, duplicates: 0, waiting: 0 });
}

#[test]
fn what_does_not_be_durable_is_acknowledged_when_it_is_taken_in() {
    let (inlet, source) = inlet::<String>(10);
    let mut partition = source.open(0, 1);
    assert_eq!(partition.poll(poll(1, 10, 0), &mut drop), Polled::Open);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send_all(["1".into(), "2".into()]).unwrap();
    assert_eq!(a.acknowledged(), 0);
    let mut taken = 0;
    partition.poll(poll(2, 10, 0), &mut |_| taken += 1);
    assert_eq!((taken, a.acknowledged()), (2, 2));
    drop((inlet, a));
    assert_eq!(partition.poll(poll(3, 10, 0), &mut drop), Polled::Done, "there are no later runs");
}

#[test]
fn a_transaction_is_never_divided() {
    let (inlet, _, mut partition) = live(1_000);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send("0".into()).unwrap();
    let mut transaction = a.begin();
    (0..20).for_each(|n| transaction.send(format!("a record of some length, number {n}")));
    assert_eq!((transaction.len(), transaction.commit()), (20, Ok(21)));
    a.send("22".into()).unwrap();
    assert_eq!(step(&mut partition, 1, 5, MUCH).1, ["0"], "it does not fit beside another");
    assert_eq!(step(&mut partition, 2, 5, 300).1.len(), 0, "nor into a log without room");
    assert_eq!(step(&mut partition, 3, 5, MUCH).1.len(), 20, "alone it goes in whole");
    assert_eq!(step(&mut partition, 4, 5, MUCH).1, ["22"]);
}

#[test]
fn what_is_not_committed_leaves_no_trace() {
    let (inlet, _, mut partition) = live(10);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    let mut transaction = a.begin();
    transaction.send("dropped".into());
    drop(transaction);
    let mut transaction = a.begin();
    transaction.send("aborted".into());
    transaction.abort();
    assert_eq!(a.begin().commit(), Ok(0), "nothing at all is no transaction");
    assert_eq!(a.send("kept".into()), Ok(1));
    assert_eq!(step(&mut partition, 2, 10, MUCH).1, ["kept"]);
}

#[test]
fn what_is_too_large_is_refused_at_commit() {
    let (inlet, _, mut partition) = live(10);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    let large = "x".repeat(TRANSACTION_BYTES_MAX / 4);
    assert_eq!(a.send_all(vec![large.clone(); 3]), Ok(3));
    let error = a.send_all(vec![large.clone(); 4]).unwrap_err();
    assert!(
        matches!(error, InletError::TooLarge { bytes, largest: TRANSACTION_BYTES_MAX } if bytes > TRANSACTION_BYTES_MAX),
        "{error}"
    );
    assert!(matches!(a.send(large.repeat(4)), Err(InletError::TooLarge { .. })));
    assert!(matches!(a.try_send(large.repeat(4)), Err(TrySendError::Failed(_, InletError::TooLarge { .. }))));
    assert_eq!(a.next_sequence(), Ok(4));
    let (_, records, logged) = step(&mut partition, 2, 10, MUCH);
    assert_eq!(records.len(), 3);
    assert!(logged.len() <= TRANSACTION_BYTES_MAX + HEAD_AND_NAME);
}

/// What could never be logged is refused where it is sent, and leaves no trace; what just fits is taken in.
#[test]
fn what_is_too_large_for_the_log_is_refused_at_the_producer() {
    let (inlet, _, mut partition) = new(10);
    partition.begin(OpenContext { logged_max: 1_000, is_rescale: false });
    assert!(step(&mut partition, 1, 10, 1_000).1.is_empty());
    let mut a = inlet.producer_within("gateway", NOW).unwrap();
    let largest = 1_000 - super::log::HEAD - "gateway".len();
    assert_eq!(a.transaction_bytes_max(), largest);
    let bytes = |text: &String| {
        let mut bytes = Vec::new();
        pelton_core::record::rows::encode_one(&mut bytes, text).unwrap();
        super::log::HEAD + super::log::RECORD_HEAD + bytes.len()
    };
    let texts = (1..1_000).map(|len| "x".repeat(len));
    let fits = texts.clone().rfind(|text| bytes(text) <= largest).unwrap();
    let large = texts.clone().find(|text| bytes(text) > largest).unwrap();

    let error = a.send(large.clone()).unwrap_err();
    assert_eq!(error, InletError::TooLarge { bytes: bytes(&large), largest });
    let (text, is) = (error.to_string(), bytes(&large));
    assert!(
        text.contains(&format!("{is} bytes"))
            && text.contains(&largest.to_string())
            && text.contains("`log.segment`"),
        "{text}"
    );
    assert!(matches!(a.try_send(large.clone()), Err(TrySendError::Failed(record, _)) if record == large));
    let mut transaction = a.begin();
    transaction.send("first".into());
    assert_eq!(transaction.error(), None);
    transaction.send(fits.clone());
    assert!(matches!(transaction.error(), Some(InletError::TooLarge { .. })), "said before the commit, too");
    assert!(matches!(transaction.commit(), Err(InletError::TooLarge { .. })));
    assert_eq!((a.next_sequence(), inlet.counts().sent), (Ok(1), 0), "no trace");

    assert_eq!(a.send(fits.clone()), Ok(1));
    let needs = super::log::HEAD + "gateway".len() + bytes(&fits);
    let (entry, polled) = try_step(&mut partition, 2, 10, needs - 1);
    assert_eq!((entry.1.len(), polled), (0, Polled::Waits(needs)), "it says how much it waits for");
    assert_eq!(step(&mut partition, 3, 10, 1_000).1, [fits]);
}

/// As many that wait for room in the queue of `producer`.
fn in_line(inlet: &Inlet<String>, place: usize, count: usize) {
    while inlet.shared.stripes.lock(place % STRIPES).line.len() != count {
        std::thread::yield_now();
    }
}

/// Two that share a queue: one that needs all of it has its turn, however many smaller ones come.
#[test]
fn who_waits_for_room_has_it_before_those_who_come_later() {
    let (inlet, _, mut partition) = live(2);
    let mut all: Vec<_> =
        (0..=STRIPES).map(|n| inlet.producer_within(&format!("p{n}"), NOW).unwrap()).collect();
    let (mut small, mut large) = (all.remove(STRIPES), all.remove(0));
    assert_eq!(small.send("1".into()), Ok(1));
    let large = std::thread::spawn(move || large.send_all(["a", "b", "c"].map(String::from)));
    in_line(&inlet, 0, 1);
    assert_eq!(small.try_send("2".into()), Err(TrySendError::Full("2".into())), "though there is room");
    let small = std::thread::spawn(move || small.send("2".into()));
    in_line(&inlet, 0, 2);
    assert_eq!(all[0].try_send("x".into()), Ok(1), "another queue is another queue");
    let mut taken = Vec::new();
    let mut tick = 2;
    while taken.len() < 6 {
        taken.extend(step(&mut partition, tick, 10, MUCH).1);
        tick += 1;
    }
    taken.retain(|record| record != "x");
    assert_eq!(taken, ["1", "a", "b", "c", "2"]);
    assert_eq!((large.join().unwrap(), small.join().unwrap()), (Ok(3), Ok(2)));
    in_line(&inlet, 0, 0);
}

#[test]
fn who_waits_for_room_is_told_when_the_job_ends_or_the_input() {
    for close in [false, true] {
        let (inlet, _, mut partition) = live(1);
        let mut a = inlet.producer_within("a", NOW).unwrap();
        a.send("1".into()).unwrap();
        let waits = std::thread::spawn(move || a.send("2".into()));
        in_line(&inlet, 0, 1);
        assert_eq!(step(&mut partition, 2, 0, 0).1.len(), 0);
        if close {
            inlet.close();
        } else {
            drop(partition);
        }
        assert_eq!(waits.join().unwrap(), Err(InletError::Closed));
        in_line(&inlet, 0, 0);
    }
}

/// A start with other shards runs the earlier ones once more, and then the new ones: who waits for a producer waits for these.
#[test]
fn a_run_that_makes_way_for_another_is_no_end() {
    let (inlet, source, mut partition) = new(10);
    partition.begin(OpenContext { logged_max: MUCH, is_rescale: true });
    let waits = {
        let inlet = inlet.clone();
        std::thread::spawn(move || inlet.producer("a").map(|a| a.next_sequence()))
    };
    drop(partition);
    assert!(matches!(inlet.producer_within("b", NOW), Err(InletError::NotStarted)));
    std::thread::sleep(Duration::from_millis(20));
    let mut partition = source.open(0, 1);
    partition.begin(OpenContext { logged_max: MUCH, is_rescale: false });
    assert!(step(&mut partition, 1, 10, MUCH).1.is_empty());
    assert_eq!(waits.join().unwrap().unwrap(), Ok(1));
}

const HEAD_AND_NAME: usize = super::log::HEAD + PRODUCER_ID_BYTES_MAX;

#[test]
fn a_number_counts_once_and_gaps_are_refused() {
    let (inlet, _, mut partition) = live(10);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    assert_eq!(a.send_numbered(1, "1".into()), Ok(Sent::New));
    assert_eq!(a.send_numbered(1, "1".into()), Ok(Sent::Duplicate));
    for found in [0, 3, u64::MAX] {
        assert_eq!(a.send_numbered(found, "?".into()), Err(InletError::Gap { expected: 2, found }));
    }
    let mut three = |first| {
        let mut transaction = a.begin();
        ["2", "3", "4"].iter().for_each(|record| transaction.send((*record).into()));
        transaction.commit_numbered(first)
    };
    assert_eq!(three(2), Ok(Sent::New));
    assert_eq!(three(2), Ok(Sent::Duplicate));
    assert_eq!(three(3), Err(InletError::Divided { first: 3, last: 5, known: 4 }));
    assert_eq!(three(6), Err(InletError::Gap { expected: 5, found: 6 }));
    assert_eq!(step(&mut partition, 2, 10, MUCH).1, ["1", "2", "3", "4"]);
    assert_eq!(inlet.counts().duplicates, 4);
}

#[test]
fn a_full_inlet_gives_the_record_back_or_waits() {
    let (inlet, _, mut partition) = live(2);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send_all(["1".into(), "2".into()]).unwrap();
    assert_eq!(a.try_send("3".into()), Err(TrySendError::Full("3".into())));
    let waiting = std::thread::spawn(move || {
        let sent = a.send_all(["3".into(), "4".into(), "5".into()]);
        (sent, a.send("6".into()), a)
    });
    let mut taken = Vec::new();
    let mut tick = 2;
    while taken.len() < 6 {
        taken.extend(step(&mut partition, tick, 10, MUCH).1);
        tick += 1;
        std::thread::yield_now();
    }
    assert_eq!(taken, ["1", "2", "3", "4", "5", "6"]);
    let (sent, then, mut a) = waiting.join().unwrap();
    assert_eq!((sent, then), (Ok(5), Ok(6)));
    drop(partition);
    assert_eq!(a.send("7".into()), Err(InletError::Closed));
    assert!(matches!(a.try_send("7".into()), Err(TrySendError::Failed(_, InletError::Closed))));
    assert_eq!(a.wait_acknowledged(6, Duration::MAX), Err(InletError::Closed));
}

#[test]
fn a_producer_waits_for_the_job() {
    let (inlet, source) = inlet::<String>(10);
    assert_eq!(inlet.producer_within("a", NOW).err(), Some(InletError::NotStarted));
    let mut partition = source.open(0, 1);
    assert_eq!(inlet.producer_within("a", NOW).err(), Some(InletError::Recovering));
    assert!(!inlet.is_recovered());
    let other = inlet.clone();
    let waiting = std::thread::spawn(move || other.producer("a").unwrap().send("1".into()));
    while step(&mut partition, 1, 10, MUCH).1.is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(waiting.join().unwrap(), Ok(1));
    assert!(inlet.is_recovered());
    let a = inlet.producer_within("a", NOW).unwrap();
    assert_eq!(inlet.producer_within("a", NOW).err(), Some(InletError::InUse { id: "a".into() }));
    drop(a);
    assert!(inlet.producer_within("a", NOW).is_ok());
    assert_eq!(inlet.producer_within("", NOW).err(), Some(InletError::BadId { bytes: 0 }));
    assert!(inlet.producer_within(&"x".repeat(257), NOW).is_err());
    drop(partition);
    assert_eq!(inlet.producer_within("b", NOW).err(), Some(InletError::Closed));
}

#[test]
fn numbers_go_on_after_a_restart_of_the_process() {
    let (inlet, _, mut partition) = live(100);
    let (mut a, mut b) = (inlet.producer_within("a", NOW).unwrap(), inlet.producer_within("b", NOW).unwrap());
    b.send("b1".into()).unwrap();
    let before = step(&mut partition, 2, 10, MUCH);
    let position = partition.position();
    a.send_all(["a1".into(), "a2".into()]).unwrap();
    b.send("b2".into()).unwrap();
    let behind = [step(&mut partition, 3, 2, MUCH), step(&mut partition, 4, 2, MUCH)];
    assert_eq!((before.1.len(), behind[0].1.len(), behind[1].1.len()), (1, 2, 1));
    a.send("a3, sent and not taken in".into()).unwrap();

    // Once from the checkpoint, once from the very beginning.
    for checkpoint in [true, false] {
        let (inlet, _, mut partition) = new(100);
        if checkpoint {
            partition.resume(1, &position).unwrap();
        } else {
            partition.resume(0, &NOBODY).unwrap();
            replay(&mut partition, &before);
        }
        behind.iter().for_each(|entry| replay(&mut partition, entry));
        partition.released(Tick(3));
        assert!(!inlet.is_recovered());
        let (_, none, logged) = step(&mut partition, 9, 10, MUCH);
        assert!(none.is_empty() && logged.is_empty());
        let mut a = inlet.producer_within("a", NOW).unwrap();
        let b = inlet.producer_within("b", NOW).unwrap();
        assert_eq!((a.acknowledged(), b.acknowledged()), (2, 1));
        partition.released(Tick(9));
        assert_eq!((a.acknowledged(), b.acknowledged()), (2, 2));
        assert_eq!((a.next_sequence(), b.next_sequence()), (Ok(3), Ok(3)));
        assert_eq!(a.send_numbered(2, "a2".into()), Ok(Sent::Duplicate));
        assert_eq!(a.send_numbered(3, "a3".into()), Ok(Sent::New));
        let mut c = inlet.producer_within("c", NOW).unwrap();
        c.send("c1".into()).unwrap();
        let third = step(&mut partition, 10, 10, MUCH);
        assert_eq!(third.1, ["a3", "c1"]);

        // And once more.
        let (_, _, mut again) = new(100);
        again.resume(1, &position).unwrap();
        behind.iter().chain([&third]).for_each(|entry| replay(&mut again, entry));
        assert_eq!(again.position(), partition.position());
    }
}

#[test]
fn a_job_started_again_tells_the_producers() {
    let (inlet, source, partition) = live(100);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send("lost with the run".into()).unwrap();
    drop(partition);
    let mut partition = source.open(0, 1);
    assert_eq!(a.send("1".into()), Err(InletError::Restarted));
    assert!(
        step(&mut partition, 1, 10, MUCH).1.is_empty(),
        "what was not acknowledged is sent again by those who want it"
    );
    let mut anew = inlet.producer_within("a", NOW).unwrap();
    drop(a);
    assert_eq!(inlet.producer_within("a", NOW).err(), Some(InletError::InUse { id: "a".into() }));
    assert_eq!(anew.send("1".into()), Ok(1));
    assert_eq!(step(&mut partition, 2, 10, MUCH).1, ["1"]);
}

fn logged() -> (Entry, Vec<u8>) {
    let (inlet, _, mut partition) = live(100);
    let mut a = inlet.producer_within("gateway-1", NOW).unwrap();
    a.send("one".into()).unwrap();
    a.send_all(["two, which is longer than what is kept inline".into(), "three".into()]).unwrap();
    let mut b = inlet.producer_within("b", NOW).unwrap();
    b.send(String::new()).unwrap();
    (step(&mut partition, 2, 10, MUCH), partition.position())
}

#[test]
fn a_damaged_log_is_refused_or_read_and_never_panics() {
    let (entry, _) = logged();
    let read = |bytes: &[u8], records: usize| {
        let (_, _, mut partition) = new(1);
        let mut again = Vec::new();
        partition.replay(poll(2, records, 0), bytes, &mut |record| again.push(record)).map(|()| again)
    };
    assert_eq!(read(&entry.2, 4).as_ref(), Ok(&entry.1));
    assert!(read(&entry.2, 3).is_err() && read(&entry.2, 5).is_err() && read(&[], 1).is_err());
    for len in 0..entry.2.len() {
        assert!(read(&entry.2[..len], 4).is_err(), "cut to {len}");
    }
    for bit in 0..entry.2.len() * 8 {
        let mut bytes = entry.2.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(again) = read(&bytes, 4) {
            assert_eq!(again.len(), 4);
        }
    }
    let twice = [entry.2.clone(), entry.2.clone()].concat();
    assert!(read(&twice, 8).is_err(), "the same numbers again");
}

#[test]
fn a_damaged_position_is_refused_or_read_and_never_panics() {
    let (_, position) = logged();
    let read = |bytes: &[u8]| new(1).2.resume(4, bytes);
    assert_eq!(read(&position), Ok(()));
    for len in 0..position.len() {
        assert!(read(&position[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..position.len() * 8 {
        let mut bytes = position.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&bytes);
    }
}

/// Random producers, transactions, budgets, checkpoints, crashes and releases: the engine has each acknowledged record once, in the order
/// of its producer, and whole transactions in one tick.
#[test]
fn acknowledged_records_count_once_whatever_happens() {
    for seed in 0..200u64 {
        let mut word = seed;
        let mut roll = move |sides: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 33) % sides
        };
        let (mut position, mut log, mut tick): (Option<Vec<u8>>, Vec<Entry>, u64) = (None, Vec::new(), 0);
        let mut before: Vec<Entry> = Vec::new();
        let mut acknowledged = [0u64; 2];
        for _ in 0..6 {
            let (inlet, _, mut partition) = new(20);
            if let Some(position) = &position {
                partition.resume(before.iter().map(|entry| entry.1.len() as u64).sum(), position).unwrap();
            }
            log.iter().for_each(|entry| replay(&mut partition, entry));
            step(&mut partition, tick, 1, MUCH);
            let mut producers = ["a", "b"].map(|id| inlet.producer_within(id, NOW).unwrap());
            for (producer, acknowledged) in producers.iter().zip(acknowledged) {
                assert!(
                    producer.next_sequence().unwrap() > acknowledged,
                    "seed {seed}: what was acknowledged is there"
                );
            }
            for _ in 0..roll(40) {
                match roll(4) {
                    0 | 1 => {
                        let producer = roll(2) as usize;
                        let next = producers[producer].next_sequence().unwrap();
                        // Now and then one that the engine has already.
                        let first = next.saturating_sub(roll(2)).max(1);
                        let count = if first < next { 1 } else { roll(5) + 1 };
                        if inlet.counts().waiting + count <= 20 {
                            let mut transaction = producers[producer].begin();
                            (first..first + count)
                                .for_each(|n| transaction.send(format!("{producer}:{n}:{count}")));
                            transaction.commit_numbered(first).unwrap();
                        }
                    }
                    2 => {
                        tick += 1 + roll(3);
                        let entry =
                            step(&mut partition, tick, roll(8) as usize + 1, 150 + roll(500) as usize);
                        if !entry.1.is_empty() {
                            log.push(entry);
                        }
                    }
                    _ => {
                        partition.released(Tick(tick.saturating_sub(roll(4))));
                        acknowledged = [producers[0].acknowledged(), producers[1].acknowledged()];
                    }
                }
                if roll(15) == 0 {
                    position = Some(partition.position());
                    before.append(&mut log);
                }
            }
        }
        let ticks = before.iter().chain(&log);
        let mut last = [0u64; 2];
        for (_, records, _) in ticks {
            let mut left = 0;
            for record in records {
                let parts: Vec<u64> = record.split(':').map(|part| part.parse().unwrap()).collect();
                let (producer, number, count) = (parts[0] as usize, parts[1], parts[2]);
                left = if left == 0 { count - 1 } else { left - 1 };
                last[producer] += 1;
                assert_eq!(number, last[producer], "seed {seed}");
            }
            assert_eq!(left, 0, "seed {seed}: a transaction is divided");
        }
        assert!(last[0] >= acknowledged[0] && last[1] >= acknowledged[1], "seed {seed}");
    }
}
