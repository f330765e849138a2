//! Writers and the service by hand, through restarts.

use super::*;
use pelton_core::sink::{Delivery, Recalled, SinkNotes, SinkWriter};
use pelton_core::{EventTime, Fault, Tick};
use std::collections::BTreeMap;

type Writer = SubscriberWriter<String>;

fn write(writer: &mut Writer, tick: u64, rows: &[&str]) {
    rows.iter().for_each(|row| writer.write(EventTime(tick as i64), (*row).to_owned()));
    writer.commit(Tick(tick)).unwrap();
}

fn note(writer: &mut Writer) -> Vec<u8> {
    let mut notes = SinkNotes::default();
    writer.note(&mut notes).unwrap();
    assert!(notes.syncs.is_empty());
    notes.notes.as_slice().to_vec()
}

fn recall(
    writer: &mut Writer,
    checkpoint: u64,
    notes: &[Vec<u8>],
    mine: Option<usize>,
) -> Result<u64, Fault> {
    recall_in(false, writer, checkpoint, notes, mine)
}

fn recall_in(
    is_rescale: bool,
    writer: &mut Writer,
    checkpoint: u64,
    notes: &[Vec<u8>],
    mine: Option<usize>,
) -> Result<u64, Fault> {
    let shards = notes.iter().map(Vec::as_slice).collect();
    writer
        .recall(&Recalled {
            log: 1,
            generation: 0,
            begins: false,
            gives_up: false,
            delivery: Delivery::ExactlyOnce,
            checkpoint: Tick(checkpoint),
            shards,
            mine,
            is_rescale,
        })
        .map(|tick| tick.0)
}

fn received(rows: &Subscription<String>) -> Vec<String> {
    std::iter::from_fn(|| rows.try_recv().ok()).map(|row| row.row).collect()
}

fn at(tick: u64, shard: u16, seq: u64) -> Position {
    Position { tick: Tick(tick), shard: ShardId(shard), seq }
}

#[test]
fn rows_come_with_their_names_once_they_are_flushed() {
    let (rows, sink) = subscribe();
    assert!(!Sink::<String>::is_transactional(&sink));
    assert!(!rows.is_finished());
    let mut writer = sink.open(ShardId(3));
    write(&mut writer, 5, &["a", "b"]);
    assert!(matches!(rows.try_recv(), Err(NoRow::Yet)));
    write(&mut writer, 7, &["c"]);
    writer.flush().unwrap();
    let row = rows.recv(Duration::MAX).unwrap();
    assert_eq!((row.position(), row.at, &*row.row), (at(5, 3, 0), EventTime(5), "a"));
    assert_eq!(rows.recv(Duration::MAX).unwrap().position(), at(5, 3, 1));
    assert_eq!(rows.try_recv().unwrap().position(), at(7, 3, 0));
    assert_eq!(rows.unacknowledged(), 0, "nothing is kept where nothing is durable");
    let within = pelton_runtime::OnCore::enter();
    assert!(matches!(rows.recv(Duration::MAX), Err(NoRow::OnCore)), "it would wait for itself");
    assert!(matches!(rows.try_recv(), Err(NoRow::Yet)));
    drop(within);
    write(&mut writer, 9, &["d"]);
    let waiting = rows.clone();
    let waiting = std::thread::spawn(move || (waiting.recv(Duration::MAX), waiting.recv(Duration::MAX)));
    writer.close().unwrap();
    drop(writer);
    let (last, none) = waiting.join().unwrap();
    assert_eq!(last.unwrap().row, "d");
    assert!(matches!(none, Err(NoRow::Ended(Outcome::Complete))), "{none:?}");
    assert!(rows.is_finished());
}

#[test]
fn what_was_not_acknowledged_at_a_checkpoint_comes_again() {
    let (rows, sink) = subscribe();
    let mut writer = sink.open(ShardId(0));
    assert_eq!(recall(&mut writer, 0, &[], None), Ok(0));
    write(&mut writer, 2, &["handled", "received"]);
    write(&mut writer, 3, &["waiting"]);
    writer.flush().unwrap();
    assert_eq!(
        (rows.try_recv().unwrap().row, rows.try_recv().unwrap().row),
        ("handled".into(), "received".into())
    );
    rows.acknowledge(at(2, 0, 0));
    assert_eq!(rows.unacknowledged(), 2);
    let notes = note(&mut writer);
    drop((rows, writer));

    let (rows, sink) = subscribe();
    let mut writer = sink.open(ShardId(0));
    assert_eq!(recall(&mut writer, 4, std::slice::from_ref(&notes), Some(0)), Ok(4));
    let names: Vec<_> = std::iter::from_fn(|| rows.try_recv().ok()).map(|row| row.position()).collect();
    assert_eq!(names, [at(2, 0, 1), at(3, 0, 0)]);
    assert_eq!(note(&mut writer), notes, "until they are acknowledged");
    rows.acknowledge(at(3, 0, 0));
    assert_eq!(rows.unacknowledged(), 0);
}

#[test]
fn a_service_goes_on_behind_what_it_has_handled() {
    let (rows, sink) = subscribe_from([at(7, 1, 1), at(3, 1, 5), at(2, 0, 0)]);
    assert!(Sink::<String>::is_transactional(&sink));
    let mut writer = sink.open(ShardId(1));
    assert_eq!(
        recall(&mut writer, 4, &[vec![0; 16], vec![0; 16]], Some(1)),
        Ok(6),
        "of tick 7 there may be more"
    );
    write(&mut writer, 7, &["handled", "handled", "new"]);
    write(&mut writer, 8, &["newer"]);
    writer.flush().unwrap();
    assert_eq!(received(&rows), ["new", "newer"]);
}

#[test]
fn with_other_shards_the_rows_left_come_once_and_first() {
    let (rows, sink) = subscribe::<String>();
    let mut writers: Vec<_> = (0..3).map(|shard| sink.open(ShardId(shard))).collect();
    for (shard, writer) in writers.iter_mut().enumerate() {
        recall(writer, 0, &[], None).unwrap();
        write(writer, 2, &[&format!("{shard}, tick 2")]);
        writer.flush().unwrap();
    }
    let notes: Vec<_> = writers.iter_mut().map(note).collect();
    drop((rows, writers));

    let (rows, sink) = subscribe::<String>();
    let mut writers: Vec<_> = (0..2).map(|shard| sink.open(ShardId(shard))).collect();
    // Shard 1 is quick: it goes on before shard 0 has taken up anything.
    recall(&mut writers[1], 5, &notes, None).unwrap();
    write(&mut writers[1], 6, &["1, tick 6"]);
    writers[1].flush().unwrap();
    recall(&mut writers[0], 5, &notes, None).unwrap();
    assert_eq!(received(&rows), ["0, tick 2", "1, tick 2", "2, tick 2", "1, tick 6"]);
    let notes: Vec<_> = writers.iter_mut().map(note).collect();
    drop((rows, writers));

    // And again with as many, the other way round.
    let (rows, sink) = subscribe::<String>();
    let mut writers: Vec<_> = (0..2).map(|shard| sink.open(ShardId(shard))).collect();
    recall(&mut writers[1], 8, &notes, Some(1)).unwrap();
    recall(&mut writers[0], 8, &notes, Some(0)).unwrap();
    assert_eq!(received(&rows), ["0, tick 2", "1, tick 2", "2, tick 2", "1, tick 6"]);
    let again: Vec<_> = writers.iter_mut().map(note).collect();
    assert_eq!(again.iter().map(|bytes| bytes[0]).collect::<Vec<_>>(), [3, 1]);
}

/// A start with other shards runs the earlier ones once more: the service sees one sequence.
#[test]
fn a_run_that_makes_way_for_another_is_no_end() {
    let (rows, sink) = subscribe_from([at(2, 2, 0)]);
    let mut writers: Vec<_> = (0..3).map(|shard| sink.open(ShardId(shard))).collect();
    for (shard, writer) in writers.iter_mut().enumerate() {
        recall_in(true, writer, 0, &[], None).unwrap();
        write(writer, 2, &[&format!("{shard}, tick 2")]);
        write(writer, 3, &[&format!("{shard}, tick 3")]);
        writer.flush().unwrap();
    }
    let first: Vec<_> = (0..2).map(|_| rows.try_recv().unwrap()).collect();
    assert_eq!(first.iter().map(|row| &*row.row).collect::<Vec<_>>(), ["0, tick 2", "0, tick 3"]);
    rows.acknowledge(first[0].position());
    let notes: Vec<_> = writers.iter_mut().map(note).collect();
    let waiting = rows.clone();
    drop(writers);
    assert!(!rows.is_finished());

    // Nothing twice, be it received or not, and nothing of a shard that there is no more is lost.
    let mut writers: Vec<_> = (0..2).map(|shard| sink.open(ShardId(shard))).collect();
    assert!(!rows.is_finished());
    for writer in writers.iter_mut().rev() {
        recall(writer, 5, &notes, None).unwrap();
        write(writer, 6, &["tick 6"]);
        writer.flush().unwrap();
    }
    assert_eq!(received(&waiting), ["1, tick 2", "1, tick 3", "2, tick 3", "tick 6", "tick 6"]);
    assert_eq!(rows.unacknowledged(), 6);
    let notes: Vec<_> = writers.iter_mut().map(note).collect();
    assert_eq!(notes.iter().map(|bytes| bytes[0]).collect::<Vec<_>>(), [5, 1], "shard 0 keeps what was left");
    drop(writers);
    assert!(rows.is_finished());
}

#[test]
fn a_job_started_again_shows_what_was_not_acknowledged_once() {
    let (rows, sink) = subscribe_from([]);
    let mut notes = Vec::new();
    for run in 0..3 {
        let mut writer = sink.open(ShardId(0));
        recall(&mut writer, 4 * u64::from(run > 0), &notes, (run > 0).then_some(0)).unwrap();
        if run == 0 {
            write(&mut writer, 2, &["a", "b"]);
            writer.flush().unwrap();
            notes.push(note(&mut writer));
        }
        write(&mut writer, 5, &["c"]);
        writer.flush().unwrap();
        assert_eq!(received(&rows), ["a", "b", "c"], "run {run}");
    }
}

#[test]
fn damaged_notes_are_refused_or_read_and_never_panic() {
    let (_rows, sink) = subscribe();
    let mut writer = sink.open(ShardId(0));
    recall(&mut writer, 0, &[], None).unwrap();
    write(&mut writer, 2, &["short", "one that is longer than what is kept inline"]);
    let notes = note(&mut writer);
    let read = |notes: &[u8]| {
        let (_rows, sink) = subscribe::<String>();
        recall(&mut sink.open(ShardId(0)), 4, &[notes.to_vec()], Some(0))
    };
    assert_eq!(read(&notes), Ok(4));
    for len in 0..notes.len() {
        assert!(read(&notes[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..notes.len() * 8 {
        let mut notes = notes.clone();
        notes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&notes);
    }
}

/// Random ticks, reads, acknowledgements, checkpoints and crashes: a service that keeps the name of the last row it handled handles each
/// row once, in order.
#[test]
fn every_row_is_handled_once_whatever_happens() {
    for seed in 0..200u64 {
        let mut word = seed;
        let mut roll = move |sides: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 33) % sides
        };
        let rows_of = |tick: u64, shard: u16| (tick * 3 + u64::from(shard)) % 4;
        let (mut checkpoint, mut notes, mut end): (u64, Vec<Vec<u8>>, u64) = (0, Vec::new(), 0);
        let mut handled: BTreeMap<ShardId, Vec<Position>> = BTreeMap::new();
        for run in 0..8 {
            let (rows, sink) = subscribe_from(handled.values().filter_map(|rows| rows.last().copied()));
            let mut writers: Vec<_> = (0..2).map(|shard| sink.open(ShardId(shard))).collect();
            let mut kept = [0; 2];
            for shard in if roll(2) == 0 { [0, 1] } else { [1, 0] } {
                let mine = (!notes.is_empty()).then_some(shard);
                kept[shard] = recall(&mut writers[shard], checkpoint, &notes, mine).unwrap();
            }
            let target = end + roll(20);
            for tick in checkpoint + 1..=target {
                for (shard, writer) in writers.iter_mut().enumerate() {
                    let count = rows_of(tick, shard as u16);
                    if tick > kept[shard] && count > 0 {
                        let texts: Vec<_> = (0..count).map(|seq| format!("{tick}/{shard}/{seq}")).collect();
                        write(writer, tick, &texts.iter().map(String::as_str).collect::<Vec<_>>());
                    }
                    if roll(2) == 0 {
                        writer.flush().unwrap();
                    }
                }
                end = end.max(tick);
                for _ in 0..roll(6) {
                    let Ok(row) = rows.try_recv() else { break };
                    assert_eq!(row.row, format!("{}/{}/{}", row.tick.0, row.shard.0, row.seq));
                    handled.entry(row.shard).or_default().push(row.position());
                    if roll(3) == 0 {
                        rows.acknowledge(row.position());
                    }
                }
                if roll(10) == 0 {
                    (checkpoint, notes) = (tick, writers.iter_mut().map(note).collect());
                }
            }
            if run == 7 {
                writers.iter_mut().for_each(|writer| writer.close().unwrap());
                while let Ok(row) = rows.try_recv() {
                    handled.entry(row.shard).or_default().push(row.position());
                }
            }
        }
        for shard in 0..2 {
            let all =
                (1..=end).flat_map(|tick| (0..rows_of(tick, shard)).map(move |seq| at(tick, shard, seq)));
            let all: Vec<_> = all.collect();
            assert_eq!(
                handled.remove(&ShardId(shard)).unwrap_or_default(),
                all,
                "seed {seed}, shard {shard}"
            );
        }
    }
}

/// Rows that nobody comes for fill the memory, and then the next is refused with the figures; what is acknowledged makes room.
#[test]
fn rows_that_wait_count_until_they_are_acknowledged() {
    const LIMIT: usize = 1 << 20;
    for durable in [false, true] {
        let (rows, sink) = subscribe();
        let memory = pelton_runtime::MemoryBudget::new(LIMIT as u64);
        let mut writer = sink.open(ShardId(0));
        writer.count_in(&(Arc::new(memory.clone()) as Arc<dyn pelton_core::state::memory::Memory>));
        if durable {
            recall(&mut writer, 0, &[], None).unwrap();
        }
        let row = "x".repeat(1_000);
        let mut written = 0;
        let refused = loop {
            (0..10).for_each(|_| writer.write(EventTime(0), row.clone()));
            match writer.commit(Tick(written + 1)) {
                Ok(()) => writer.flush().unwrap(),
                Err(fault) => break fault,
            }
            written += 1;
        };
        let Fault::OutOfMemory(refused) = refused else { panic!("{refused}") };
        assert!(refused.asked > 0 && refused.in_use <= LIMIT && refused.limit == LIMIT, "{refused}");
        assert_eq!(rows.unacknowledged() as u64, written * 10);
        // What a row takes besides its text is little.
        let bytes = rows.unacknowledged_bytes();
        assert!(bytes <= memory.in_use() && bytes > LIMIT * 9 / 10, "{bytes}");
        assert!((900..1_000).contains(&(written * 10)), "{written}");
        // Those that were in hand as it was refused are gone with the writer.
        drop(writer);
        let mut last = None;
        while let Ok(row) = rows.try_recv() {
            last = Some(row.position());
        }
        assert_eq!(rows.unacknowledged_bytes() > 0, durable);
        rows.acknowledge(last.unwrap());
        assert_eq!(rows.unacknowledged_bytes(), 0);
        // A few pieces stay charged, so that what comes and goes in turn costs nothing.
        assert!(memory.in_use() < 48 << 10, "{}", memory.in_use());
    }
}
