//! Writers by hand through crashes, and what is then in the files.

use super::*;
use pelton_core::sink::{Delivery, Recalled, SinkNotes, SinkWriter};
use pelton_core::{EventTime, Fault, Tick};
use pelton_storage::disk::DiskFile;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

const LOG: u128 = 0xfeed << 64;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pelton-{}-files-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }

    fn part(&self, part: usize) -> PathBuf {
        self.0.join(format!("part-{part:04}.txt"))
    }

    fn position(&self, part: usize) -> PathBuf {
        self.0.join(format!("part-{part:04}.position"))
    }

    fn text(&self, part: usize) -> String {
        fs::read_to_string(self.part(part)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A writer of any kind of encoder.
type Boxed = Box<dyn SinkWriter<String>>;

fn open(directory: &Path, shard: usize, boot: u128) -> Boxed {
    let sink = file_with(directory, "txt", |row: &String, out: &mut Vec<u8>| {
        out.extend_from_slice(row.as_bytes());
        out.push(b'\n');
    });
    assert!(Sink::<String>::is_transactional(&sink));
    let mut writer = Sink::<String>::open(&sink, ShardId(shard as u16));
    writer.place.boot = boot;
    Box::new(writer)
}

fn write(writer: &mut Boxed, tick: u64, rows: &[&str]) {
    rows.iter().for_each(|row| writer.write(EventTime(0), (*row).to_owned()));
    writer.commit(Tick(tick)).unwrap();
}

fn note(writer: &mut Boxed) -> Vec<u8> {
    let mut notes = SinkNotes::default();
    writer.note(&mut notes).unwrap();
    notes.syncs.into_iter().for_each(|sync| sync().unwrap());
    notes.notes.as_slice().to_vec()
}

thread_local! {
    /// The generation of the log, which changes with the number of shards.
    static GENERATION: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    /// Whether it begins with this start.
    static BEGINS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn next_generation() {
    GENERATION.set(GENERATION.get() + 1);
}

fn recall_as(
    writer: &mut Boxed,
    log: u128,
    checkpoint: u64,
    notes: &[Vec<u8>],
    mine: Option<usize>,
) -> Result<u64, Fault> {
    let shards: Vec<&[u8]> = notes.iter().map(Vec::as_slice).collect();
    let recalled = Recalled {
        log,
        generation: GENERATION.get(),
        begins: BEGINS.get(),
        // What these tests begin is a history from a savepoint.
        gives_up: BEGINS.get(),
        delivery: Delivery::ExactlyOnce,
        checkpoint: Tick(checkpoint),
        shards,
        mine,
        is_rescale: false,
    };
    let kept = writer.recall(&recalled)?;
    writer.begin()?;
    Ok(kept.0)
}

fn first(directory: &Scratch, boot: u128) -> (Boxed, Result<u64, Fault>) {
    let mut writer = open(&directory.0, 0, boot);
    let kept = recall_as(&mut writer, LOG, 0, &[], None);
    (writer, kept)
}

fn refused(kept: Result<u64, Fault>) -> String {
    let Err(Fault::Restore { message }) = kept else { panic!("{kept:?} is no refusal") };
    message
}

#[test]
fn rows_are_appended_in_batches() {
    let directory = Scratch::new();
    let (mut writer, kept) = first(&directory, 1);
    assert_eq!(kept, Ok(0));
    write(&mut writer, 3, &["a", "b"]);
    write(&mut writer, 5, &["c"]);
    assert_eq!(directory.text(0), "", "nothing before the flush");
    writer.flush().unwrap();
    assert_eq!(directory.text(0), "a\nb\nc\n");
    write(&mut writer, 6, &["d"]);
    writer.close().unwrap();
    assert_eq!(directory.text(0), "a\nb\nc\nd\n");
    drop(writer);
    let (_writer, kept) = first(&directory, 1);
    assert_eq!(kept, Ok(6), "a writer that was closed has everything");
}

#[test]
fn a_large_tick_goes_out_before_the_flush_and_counts_after_it() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    let row = "x".repeat(100_000);
    write(&mut writer, 1, &[&row, &row, &row]);
    assert_eq!(fs::metadata(directory.part(0)).unwrap().len(), 300_003);
    drop(writer);
    let (_writer, kept) = first(&directory, 1);
    assert_eq!((kept, directory.text(0).len()), (Ok(0), 0));
}

#[test]
fn after_a_kill_the_newest_position_counts() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    for tick in 1..=5 {
        write(&mut writer, tick, &[&tick.to_string()]);
        writer.flush().unwrap();
    }
    write(&mut writer, 6, &["6, lost with the process"]);
    drop(writer);
    // A write that was cut off.
    fs::OpenOptions::new().write(true).open(directory.part(0)).unwrap().write_all_at(b"6, lo", 10).unwrap();
    let (mut writer, kept) = first(&directory, 1);
    assert_eq!((kept, directory.text(0)), (Ok(5), "1\n2\n3\n4\n5\n".into()));
    write(&mut writer, 6, &["6"]);
    writer.flush().unwrap();
    assert_eq!(directory.text(0), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn a_damaged_position_leaves_the_one_before_it() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    // The start writes positions 0 and 1, so tick n is position n + 1.
    for tick in 1..=4 {
        write(&mut writer, tick, &[&tick.to_string()]);
        writer.flush().unwrap();
    }
    let notes = note(&mut writer);
    drop(writer);
    let flip = |at: usize| {
        let mut bytes = fs::read(directory.position(0)).unwrap();
        bytes[at] ^= 4;
        fs::write(directory.position(0), bytes).unwrap();
    };
    flip(1024 + 9);
    let (writer, kept) = first(&directory, 1);
    assert_eq!((kept, directory.text(0)), (Ok(3), "1\n2\n3\n".into()));
    drop(writer);
    // What a checkpoint counts on is more than what is there now.
    let mut writer = open(&directory.0, 0, 1);
    let message = refused(recall_as(&mut writer, LOG, 4, &[notes], Some(0)));
    assert!(message.contains("has 6 bytes, and had 8 at tick 4"), "{message}");
    drop(writer);
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 9, &["9"]);
    writer.flush().unwrap();
    drop(writer);
    let text = directory.text(0);
    flip(20);
    let message = refused(first(&directory, 1).1);
    assert!(message.contains("part-0000.position` is damaged"), "{message}");
    assert_eq!(directory.text(0), text);
    flip(20);
    flip(512 + 9);
    flip(1024 + 9);
    assert_eq!(
        first(&directory, 1).1,
        Ok(0),
        "whose it is is known, so it can be made again from the beginning"
    );
}

#[test]
fn after_a_power_loss_the_checkpoint_counts() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["1"]);
    writer.flush().unwrap();
    let notes = note(&mut writer);
    write(&mut writer, 7, &["7"]);
    writer.flush().unwrap();
    drop(writer);
    let again = |boot, checkpoint, notes: &[Vec<u8>]| {
        let mut writer = open(&directory.0, 0, boot);
        let kept = recall_as(&mut writer, LOG, checkpoint, notes, (!notes.is_empty()).then_some(0));
        (kept, directory.text(0))
    };
    let notes = [notes];
    assert_eq!(again(1, 4, &notes), (Ok(7), "1\n7\n".into()), "the process alone was gone");
    assert_eq!(again(2, 4, &notes), (Ok(4), "1\n".into()));
    assert_eq!(again(2, 4, &notes), (Ok(4), "1\n".into()));
    assert_eq!(again(3, 0, &[]), (Ok(0), String::new()), "without a checkpoint all is made again");
    assert!(refused(again(3, 4, &notes).0).contains("has 0 bytes, and had 2"));
}

#[test]
fn what_other_shards_wrote_behind_a_checkpoint_does_not_count() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["1"]);
    writer.flush().unwrap();
    let notes = [note(&mut writer)];
    drop(writer);
    // Two shards go on from there, and die before a checkpoint of their own.
    next_generation();
    let mut two: Vec<_> = (0..2).map(|shard| open(&directory.0, shard, 1)).collect();
    for writer in &mut two {
        assert_eq!(recall_as(writer, LOG, 1, &notes, None), Ok(1));
        write(writer, 2, &["2, of two"]);
        writer.flush().unwrap();
    }
    drop(two);
    next_generation();
    let alone = || {
        let mut writer = open(&directory.0, 0, 1);
        let kept = recall_as(&mut writer, LOG, 1, &notes, Some(0));
        (writer, kept)
    };
    let (mut writer, kept) = alone();
    assert_eq!((kept, directory.text(0), directory.text(1)), (Ok(1), "1\n".into(), String::new()));
    write(&mut writer, 2, &["2"]);
    writer.flush().unwrap();
    drop(writer);
    assert_eq!((alone().1, directory.text(0)), (Ok(2), "1\n2\n".into()), "and what it wrote itself does");
}

#[test]
fn what_another_wrote_is_left_as_it_is() {
    let directory = Scratch::new();
    fs::create_dir_all(&directory.0).unwrap();
    fs::write(directory.part(0), "precious\n").unwrap();
    let message = refused(first(&directory, 1).1);
    assert!(message.contains("holds 9 bytes without a position"), "{message}");
    assert_eq!(directory.text(0), "precious\n");
    assert!(!directory.position(0).exists());

    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["1"]);
    writer.close().unwrap();
    drop(writer);
    let mut other = open(&directory.0, 0, 1);
    let message = refused(recall_as(&mut other, LOG + 1, 0, &[], None));
    assert!(message.contains("output of another job"), "{message}");
    drop(other);
    // Shard 0 looks at the parts of all.
    let directory = Scratch::new();
    let mut fifth = open(&directory.0, 5, 1);
    recall_as(&mut fifth, LOG + 1, 0, &[], None).unwrap();
    write(&mut fifth, 1, &["1"]);
    fifth.flush().unwrap();
    let message = refused(first(&directory, 1).1);
    assert!(message.contains("part-0005.txt` holds 2 bytes that this job did not write"), "{message}");
    assert_eq!(directory.text(5), "1\n");
}

#[test]
fn a_part_has_one_writer() {
    let directory = Scratch::new();
    let (_writer, kept) = first(&directory, 1);
    kept.unwrap();
    let message = refused(first(&directory, 1).1);
    assert!(message.contains("is being written by another sink"), "{message}");
}

#[test]
fn a_making_that_was_cut_off_is_no_obstacle() {
    for content in [&b""[..], &[0; 600], b"PELTON"] {
        let directory = Scratch::new();
        fs::create_dir_all(&directory.0).unwrap();
        fs::write(directory.position(0), content).unwrap();
        let (mut writer, kept) = first(&directory, 1);
        assert_eq!(kept, Ok(0));
        write(&mut writer, 1, &["1"]);
        writer.flush().unwrap();
        drop(writer);
        assert_eq!(first(&directory, 1).1, Ok(1));
    }
}

#[test]
fn what_the_system_says_is_passed_on() {
    let directory = Scratch::new();
    fs::write(&directory.0, "a file where a directory should be").unwrap();
    let Err(Fault::External { message, .. }) = first(&directory, 1).1 else { panic!("it is no directory") };
    assert!(message.contains("cannot make `") && message.contains("os error"), "{message}");
    fs::remove_file(&directory.0).unwrap();

    // A disk without room, if the system has one.
    if !Path::new("/dev/full").exists() {
        return;
    }
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["1"]);
    writer.flush().unwrap();
    drop(writer);
    let kept_position = fs::read(directory.position(0)).unwrap();
    fs::remove_file(directory.part(0)).unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.part(0)).unwrap();
    let mut part = open_full(&directory);
    let error = part.append(b"2\n").unwrap_err().to_string();
    assert!(error.contains("part-0000.txt") && error.contains("No space left"), "{error}");
    assert_eq!(part.marks.end().bytes, 0, "what was not written is not counted");
    assert_eq!(fs::read(directory.position(0)).unwrap(), kept_position);
}

/// A byte that has changed, zeros where rows were, and the part of another: each is found, wherever it is, and said with its place.
#[test]
fn a_part_that_is_not_what_was_written_is_refused() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["first", "second"]);
    let notes = [note(&mut writer)];
    write(&mut writer, 2, &["third"]);
    writer.flush().unwrap();
    drop(writer);
    let whole = fs::read(directory.part(0)).unwrap();
    assert_eq!(whole, b"first\nsecond\nthird\n");
    let position = fs::read(directory.position(0)).unwrap();
    let again = |boot, part: &[u8], notes: &[Vec<u8>]| {
        fs::write(directory.part(0), part).unwrap();
        fs::write(directory.position(0), &position).unwrap();
        let mut writer = open(&directory.0, 0, boot);
        let kept = recall_as(
            &mut writer,
            LOG,
            u64::from(!notes.is_empty()),
            notes,
            (!notes.is_empty()).then_some(0),
        );
        (kept, fs::read(directory.part(0)).unwrap())
    };
    assert_eq!(again(1, &whole, &notes).0, Ok(2));
    assert_eq!(again(1, &whole, &[]).0, Ok(2), "before the first checkpoint, too");
    for at in 0..whole.len() {
        let mut part = whole.clone();
        part[at] ^= 0x20;
        for notes in [&notes[..], &[]] {
            let (kept, left) = again(1, &part, notes);
            let message = refused(kept);
            let (from, to) = if notes.is_empty() {
                (0, 19)
            } else if at < 13 {
                (0, 13)
            } else {
                (13, 19)
            };
            assert!(message.contains("part-0000.txt` is not what was written"), "{message}");
            assert!(message.contains(&format!("bytes {from} to {to} ")), "byte {at}: {message}");
            assert!(left == part, "a part that is refused is left as it is");
        }
        // After the loss of the machine what the checkpoint has not counted does not count.
        assert_eq!(again(2, &part, &notes).0.is_ok(), at >= 13, "byte {at}");
    }
    let mut zeros = whole.clone();
    zeros[14..18].fill(0);
    refused(again(1, &zeros, &notes).0);
    let mut swapped = whole.clone();
    swapped.rotate_left(6);
    refused(again(1, &swapped, &notes).0);
    assert_eq!(again(1, &whole, &notes).0, Ok(2), "put back, it is what it was");
}

/// What a device says only when it is asked to keep what it was given: writes to `/dev/null` succeed, and it cannot be synced.
#[test]
fn an_error_that_comes_with_the_sync_is_passed_on() {
    let directory = Scratch::new();
    for durable in [true, false] {
        let mut writer = FileWriter::new(
            FileSink::new(directory.0.join(durable.to_string()), "txt", |row: &String, out: &mut Vec<u8>| {
                out.extend_from_slice(row.as_bytes());
                Ok::<(), String>(())
            }),
            ShardId(0),
        );
        if durable {
            let recalled = Recalled {
                log: LOG,
                generation: 0,
                begins: true,
                gives_up: false,
                delivery: Delivery::ExactlyOnce,
                checkpoint: Tick(0),
                shards: Vec::new(),
                mine: None,
                is_rescale: false,
            };
            SinkWriter::<String>::recall(&mut writer, &recalled).unwrap();
        }
        SinkWriter::<String>::write(&mut writer, EventTime(0), "row".to_owned());
        SinkWriter::<String>::commit(&mut writer, Tick(1)).unwrap();
        SinkWriter::<String>::flush(&mut writer).unwrap();
        let null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        writer.part_for_tests().data = device(null);
        SinkWriter::<String>::write(&mut writer, EventTime(0), "lost".to_owned());
        SinkWriter::<String>::commit(&mut writer, Tick(2)).unwrap();
        let mut notes = SinkNotes::default();
        SinkWriter::<String>::note(&mut writer, &mut notes).unwrap();
        assert!(notes.syncs.into_iter().any(|sync| sync().is_err_and(|error| error.contains("cannot sync"))));
        let error = SinkWriter::<String>::close(&mut writer).unwrap_err().to_string();
        assert!(error.contains("cannot sync `") && error.contains("part-0000.txt"), "{error}");
    }
}

fn open_full(directory: &Scratch) -> part::Part {
    let place = part::PartPlace {
        disk: SinkDisk::of_the_machine(),
        directory: directory.0.clone().into(),
        extension: "txt".into(),
        boot: 1,
        shard: ShardId(0),
    };
    let mut part = place.make(7).unwrap();
    part.path = directory.part(0);
    part.data = device(fs::OpenOptions::new().write(true).open(directory.part(0)).unwrap());
    part
}

/// A device, which no disk opens as a file.
struct Device(fs::File);

fn device(file: fs::File) -> disk::OpenFile {
    disk::OpenFile(Arc::new(Device(file)))
}

impl DiskFile for Device {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn lock(&self, _: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn fill_zeros(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn map(&self) -> io::Result<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn descriptor(&self) -> Option<i32> {
        None
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn a_job_without_durability_begins_anew_or_not_at_all() {
    let directory = Scratch::new();
    let mut writer = open(&directory.0, 0, 1);
    write(&mut writer, 1, &["1"]);
    writer.flush().unwrap();
    writer.close().unwrap();
    assert_eq!(directory.text(0), "1\n");
    let mut writer = open(&directory.0, 0, 1);
    write(&mut writer, 1, &["2"]);
    let error = writer.flush().unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(directory.text(0), "1\n");
    // Nor does one with durability go on with it.
    assert!(refused(first(&directory, 1).1).contains("without a position"));
}

#[test]
fn a_row_that_is_not_json_stops_the_job() {
    let directory = Scratch::new();
    let sink = file_ndjson(&directory.0);
    let mut writer = sink.open(ShardId(0));
    writer.write(EventTime(0), std::collections::BTreeMap::from([((1, 2), 3)]));
    let error =
        SinkWriter::<std::collections::BTreeMap<(u8, u8), u8>>::commit(&mut writer, Tick(4)).unwrap_err();
    assert!(error.to_string().contains("tick 4: a row is not JSON"), "{error}");
}

#[test]
fn damaged_notes_never_panic() {
    let directory = Scratch::new();
    let (mut writer, _) = first(&directory, 1);
    write(&mut writer, 1, &["1"]);
    writer.flush().unwrap();
    let notes = note(&mut writer);
    drop(writer);
    let bytes = fs::read(directory.part(0)).unwrap();
    let recall = |notes: Vec<u8>| {
        fs::write(directory.part(0), &bytes).unwrap();
        let mut writer = open(&directory.0, 0, 1);
        recall_as(&mut writer, LOG, 1, &[notes], Some(0))
    };
    assert_eq!(recall(notes.clone()), Ok(1));
    for len in 0..notes.len() {
        assert!(recall(notes[..len].to_vec()).is_err(), "cut to {len}");
    }
    for bit in 0..notes.len() * 8 {
        let mut notes = notes.clone();
        notes[bit / 8] ^= 1 << (bit % 8);
        let _ = recall(notes);
    }
}

/// Names of the directory and the parts, and whose a part is, are durable before the first checkpoint, however an earlier start was cut off.
#[test]
fn a_start_that_was_cut_off_leaves_nothing_that_is_lost_later() {
    use pelton_storage::disk::{Crash, Faults, Simulated};
    /// A start takes no more.
    const OPERATIONS: u64 = 20;
    let directory = Path::new("/out/of/the/job");
    for seed in 0..20 {
        for operations in 0..=OPERATIONS {
            let machine = Simulated::new(seed, Faults::default());
            let open = || {
                let sink = file_with(directory, "txt", |row: &String, out: &mut Vec<u8>| {
                    out.extend_from_slice(row.as_bytes());
                    out.push(b'\n');
                });
                let sink = sink.on_disk(Arc::new(machine.of_this_process()));
                Box::new(Sink::<String>::open(&sink, ShardId(0))) as Boxed
            };
            machine.stop_after(operations);
            let mut writer = open();
            let begun = recall_as(&mut writer, LOG, 0, &[], None);
            assert!(operations > 0 || begun.is_err(), "nothing is made without an operation");
            assert!(operations < OPERATIONS || begun.is_ok(), "{begun:?}");
            machine.crash(Crash::Process);
            drop(writer);
            let mut writer = open();
            assert_eq!(recall_as(&mut writer, LOG, 0, &[], None), Ok(0), "seed {seed}, {operations}");
            write(&mut writer, 1, &["1"]);
            let notes = [note(&mut writer)];
            write(&mut writer, 2, &["2"]);
            writer.flush().unwrap();
            machine.crash(Crash::Power);
            drop(writer);
            let mut writer = open();
            let kept = recall_as(&mut writer, LOG, 1, &notes, Some(0));
            assert_eq!(kept, Ok(1), "seed {seed}, {operations} operations in the first start");
            let bytes = machine.seen(&directory.join("part-0000.txt"));
            assert_eq!(bytes.as_deref(), Some(&b"1\n"[..]), "seed {seed}, {operations}");
        }
    }
}

/// A job of which every tick's rows are known, running on any number of shards, that is killed at random.
struct Harness {
    directory: Scratch,
    seed: u64,
    word: u64,
    boot: u128,
    shards: usize,
    /// The newest checkpoint, the notes of each shard in it, and the lengths of the parts then.
    checkpoint: u64,
    notes: Vec<Vec<u8>>,
    lengths: Vec<u64>,
    /// What of the log is durable.
    end: u64,
}

impl Harness {
    fn roll(&mut self, sides: u64) -> u64 {
        self.word = self.word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.word >> 33) % sides
    }

    fn rows(tick: u64) -> u64 {
        tick * tick % 7
    }

    fn restart(&mut self) -> (Vec<Boxed>, Vec<u64>) {
        let mine = |harness: &Harness, shard| (harness.notes.len() == harness.shards).then_some(shard);
        let mut order: Vec<usize> = (0..self.shards).collect();
        (0..self.shards).for_each(|at| order.swap(at, self.roll(at as u64 + 1) as usize));
        let mut writers: Vec<Boxed> =
            (0..self.shards).map(|shard| open(&self.directory.0, shard, self.boot)).collect();
        let mut kept = vec![0; self.shards];
        for shard in order {
            let mine = mine(self, shard);
            kept[shard] = recall_as(&mut writers[shard], LOG, self.checkpoint, &self.notes, mine)
                .unwrap_or_else(|fault| panic!("seed {}: {fault}", self.seed));
            assert!(kept[shard] >= self.checkpoint && kept[shard] <= self.end);
        }
        (writers, kept)
    }

    /// Runs up to some tick, flushing and noting now and then, and dies.
    fn run(&mut self, ticks: u64, dies: bool) {
        let (mut writers, kept) = self.restart();
        let (known, target) = (self.end, self.end + ticks);
        for tick in self.checkpoint + 1..=target {
            for (shard, writer) in writers.iter_mut().enumerate().filter(|(shard, _)| tick > kept[*shard]) {
                let rows =
                    (0..Harness::rows(tick)).filter(|row| (row + tick) as usize % self.shards == shard);
                let rows: Vec<String> = rows.map(|row| format!("{tick}:{row}")).collect();
                if !rows.is_empty() {
                    write(writer, tick, &rows.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
            self.end = self.end.max(tick);
            for writer in &mut writers {
                if self.roll(3) == 0 {
                    writer.flush().unwrap();
                }
            }
            if tick == target && dies {
                break;
            }
            // A checkpoint lies behind everything that was replayed.
            if tick > known && self.roll(12) == 0 {
                let notes = writers.iter_mut().map(note).collect();
                // Sometimes the process dies before the checkpoint counts.
                if self.roll(4) > 0 {
                    (self.checkpoint, self.notes) = (tick, notes);
                    let length = |part| fs::metadata(self.directory.part(part)).map_or(0, |data| data.len());
                    self.lengths = (0..8).map(length).collect();
                }
            }
        }
        if !dies {
            writers.iter_mut().for_each(|writer| writer.close().unwrap());
        }
    }

    /// What a crash does to files.
    fn damage(&mut self) {
        let power = self.roll(3) == 0;
        self.boot += u128::from(power);
        for part in 0..8 {
            let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(self.directory.part(part))
            else {
                continue;
            };
            let len = file.metadata().unwrap().len();
            let safe = self.lengths.get(part).copied().unwrap_or(0);
            match self.roll(3) {
                // A write that was cut off.
                0 => file.write_all_at(b"99:9", len).unwrap(),
                // Writes that never reached the disk, or of which only the length did.
                1 if power && len > safe => {
                    let keep = safe + self.roll(len - safe + 1);
                    file.set_len(keep).unwrap();
                    file.set_len(keep + self.roll(20)).unwrap();
                }
                _ => {}
            }
            if power && self.roll(3) == 0 {
                let at = 512 + self.roll(2) * 512 + self.roll(56);
                let position =
                    fs::OpenOptions::new().write(true).open(self.directory.position(part)).unwrap();
                position.write_all_at(&[self.roll(256) as u8], at).unwrap();
            }
        }
    }

    fn check(&self) {
        let mut found = Vec::new();
        for part in 0..8 {
            let text = fs::read_to_string(self.directory.part(part)).unwrap_or_default();
            let rows = text.lines().map(|line| {
                let (tick, row) =
                    line.split_once(':').unwrap_or_else(|| panic!("seed {}: {line}", self.seed));
                (tick.parse::<u64>().unwrap(), row.parse::<u64>().unwrap())
            });
            let rows: Vec<_> = rows.collect();
            assert!(rows.is_sorted(), "seed {}: part {part} is in order", self.seed);
            found.extend(rows);
        }
        found.sort_unstable();
        let all: Vec<_> =
            (1..=self.end).flat_map(|tick| (0..Harness::rows(tick)).map(move |row| (tick, row))).collect();
        let (found_set, all_set): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), all.iter().collect());
        let missing: Vec<_> = all_set.difference(&found_set).collect();
        assert!(missing.is_empty(), "seed {}: {missing:?} are missing", self.seed);
        assert_eq!(found, all, "seed {}: every row once", self.seed);
    }
}

#[test]
fn every_row_stands_once_whatever_happens() {
    for seed in 0..60 {
        let mut harness = Harness {
            directory: Scratch::new(),
            seed,
            word: seed,
            boot: 1,
            shards: 1 + seed as usize % 4,
            checkpoint: 0,
            notes: Vec::new(),
            lengths: Vec::new(),
            end: 0,
        };
        for _ in 0..harness.roll(9) + 1 {
            let ticks = harness.roll(30);
            harness.run(ticks, true);
            harness.damage();
            // Before the first checkpoint the number of shards is that of the log.
            if harness.checkpoint > 0 && harness.roll(3) == 0 {
                harness.shards = 1 + harness.roll(5) as usize;
                next_generation();
            }
        }
        harness.run(10, false);
        harness.check();
    }
}
