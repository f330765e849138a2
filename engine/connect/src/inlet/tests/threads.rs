//! Many threads at once.

use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads that send in all ways, make producers and drop them, wait and retire, over queues that are too small, and an engine that takes a few
/// at a time: each record comes once, in the order of its producer, and every call returns.
#[test]
fn nothing_is_lost_doubled_or_stuck_between_many_threads() {
    const THREADS: usize = 70;
    const RECORDS: u64 = 400;
    let (inlet, _, mut partition) = live(3);
    let over = AtomicBool::new(false);
    let mut log: Vec<Entry> = Vec::new();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let inlet = &inlet;
                scope.spawn(move || {
                    let id = format!("{thread}");
                    let mut producer = inlet.producer_within(&id, NOW).unwrap();
                    let mut sent = 0;
                    while sent < RECORDS {
                        let count = 1 + (sent + thread as u64) % 5;
                        let records = (sent + 1..=sent + count).map(|n| format!("{thread}:{n}:{count}"));
                        assert_eq!(producer.send_all(records), Ok(sent + count));
                        sent += count;
                        match sent % 11 {
                            0 => producer.wait_acknowledged(sent, Duration::from_secs(60)).unwrap(),
                            1 => {
                                drop(producer);
                                producer = inlet.producer_within(&id, NOW).unwrap();
                                assert_eq!(producer.next_sequence(), Ok(sent + 1));
                            }
                            _ => {}
                        }
                    }
                    if thread % 2 == 0 {
                        producer.retire(Duration::from_secs(60)).unwrap()
                    };
                    sent
                })
            })
            .collect();
        scope.spawn(|| {
            let mut tick = 1;
            while !over.load(Ordering::Relaxed) {
                tick += 1;
                let entry = step(&mut partition, tick, 7, 4_096);
                if !entry.2.is_empty() {
                    log.push(entry);
                }
                partition.released(Tick(tick - tick % 3));
            }
        });
        let sent: Vec<u64> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        while inlet.counts().waiting > 0 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        over.store(true, Ordering::Relaxed);
        assert_eq!(inlet.counts().sent, sent.iter().sum::<u64>());
    });
    let mut last = BTreeMap::new();
    for (_, records, _) in &log {
        let mut left = 0;
        for record in records {
            let parts: Vec<u64> = record.split(':').map(|part| part.parse().unwrap()).collect();
            let seen = last.entry(parts[0]).or_insert(0);
            *seen += 1;
            assert_eq!(parts[1], *seen, "of thread {}", parts[0]);
            left = if left == 0 { parts[2] - 1 } else { left - 1 };
        }
        assert_eq!(left, 0, "a transaction is divided");
    }
    assert!(last.len() == THREADS && last.values().all(|seen| *seen >= RECORDS));
    // And a replay knows the same.
    let (_, _, mut again) = new(3);
    log.iter().for_each(|entry| replay(&mut again, entry));
    assert_eq!(again.position(), partition.position());
}
