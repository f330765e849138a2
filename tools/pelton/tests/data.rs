//! `pelton data`, `log`, `checkpoint` and `savepoint` as a user runs them: the real binary on real data directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pelton_storage::control::{self, Answer};
use pelton_storage::disk::{Blocking, Disk};
use pelton_storage::{
    Checkpoint, DataDirectory, DirectoryOptions, Durability, Job, Kind, Log, LogOptions, Manifest,
    SnapshotId, SnapshotWriter, presence, remove_rings_below, rings,
};

/// How long something is waited for that is bound to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A data directory of its own for one test, removed when the test ends.
struct Place {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    /// The id of its logs. No two places have the same one, even of two runs of these tests: directories with the same id are copies of each
    /// other to the engine, and only one of them may have a staging ring.
    log_id: u128,
}

impl Place {
    /// An empty directory.
    fn new(name: &str) -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{name}-{}", std::process::id()));
        fs::create_dir_all(&data).expect("the target directory takes a directory");
        let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
        let log_id = (u128::from(disk.draw()) << 64) | u128::from(disk.draw());
        Place { disk, data, log_id }
    }

    /// What a job of two shards left that ended cleanly: a checkpoint, a savepoint, and ten ticks in each log.
    fn filled(name: &str) -> Self {
        let place = Place::new(name);
        let checkpoint = |number: u64, tick, savepoint: Option<&str>| {
            let mut bytes = 0;
            for shard in 0..2 {
                let id = SnapshotId { log_id: place.log_id, generation: 0, shard, number, tick };
                let mut writer =
                    SnapshotWriter::create(&place.disk, &place.data.join("checkpoint"), id, None)
                        .expect("room");
                writer.block(0, 0, 0, &[number as u8; 100]);
                writer.finish_now().expect("room");
                let file = place.data.join(format!("checkpoint/{number:08}/shard-{shard:04}.snap"));
                bytes += fs::metadata(file).expect("it was written").len();
            }
            let savepoint = savepoint.map(str::to_owned);
            let created = "2026-11-22T12:00:00Z".to_owned();
            Checkpoint { number, tick, shards: 2, savepoint, bytes, created, ..Checkpoint::default() }
        };
        let job = Job { name: "orders".to_owned(), ..Job::default() };
        let checkpoints = vec![checkpoint(1, 2, Some("before")), checkpoint(2, 4, None)];
        let manifest = Manifest {
            log_id: place.log_id,
            job,
            key_groups: 16,
            durability: "disk".to_owned(),
            shards: 2,
            clean: true,
            checkpoints,
            ..Manifest::default()
        };
        manifest.store(&place.disk, &place.data).expect("room");
        for shard in 0..2 {
            let mut log = place.log(shard, Durability::Disk);
            (1..=10).for_each(|tick| place.append(&mut log, tick));
            let hash =
                [[1, 0, 0, 0, 0, 0, 0, 0], [10, 0, 0, 0, 0, 0, 0, 0], [0xEF, 0xBE, 0xAD, 0xDE, 0, 0, 0, 0]];
            log.append(10, Kind::Hash, hash.as_flattened());
            log.sync().expect("room");
        }
        place
    }

    fn log(&self, shard: u16, durability: Durability) -> Log {
        let options =
            LogOptions { durability, segment_bytes: 64 << 10, id: self.log_id, generation: 0, shard };
        Log::open(&self.disk, &self.directory(shard), &options).expect("a log").0
    }

    fn directory(&self, shard: u16) -> PathBuf {
        self.data.join(format!("log/g0000/shard-{shard:04}"))
    }

    /// What says how far the log was kept.
    fn mark(&self, shard: u16) -> PathBuf {
        self.directory(shard).with_extension("durable")
    }

    fn segment(&self, shard: u16) -> PathBuf {
        self.directory(shard).join("seg-00000000.log")
    }

    /// Appends a tick of one partition that logged two bytes, and waits until it is in the file.
    fn append(&self, log: &mut Log, tick: u64) {
        self.append_with(log, tick, -7, tick);
    }

    /// The same with a watermark, and output that was released through a tick.
    fn append_with(&self, log: &mut Log, tick: u64, watermark: i64, released: u64) {
        let mut entry = Vec::new();
        entry.extend_from_slice(&(1_000 + tick).to_le_bytes());
        // The time of day: so many nanoseconds after a minute in November 2026.
        entry.extend_from_slice(&(1_795_525_380_000_000_000 + tick).to_le_bytes());
        entry.extend_from_slice(&1u64.to_le_bytes());
        entry.extend_from_slice(&[3, 0, 0, 0, 1, 0, 0, 0]);
        entry.extend_from_slice(&watermark.to_le_bytes());
        entry.extend_from_slice(&2u64.to_le_bytes());
        entry.extend_from_slice(b"ab\0\0\0\0\0\0");
        log.append(tick, Kind::Tick, &entry);
        while log.pending().is_some() {
            log.turn(released).expect("room");
            log.wait(Duration::from_millis(10)).expect("a disk");
        }
    }

    fn flip(&self, file: &Path, at: usize) {
        let mut bytes = fs::read(file).expect("it is there");
        bytes[at] ^= 0x10;
        fs::write(file, bytes).expect("room");
    }

    /// `words`, with `DATA` for the directory.
    fn run(&self, words: &str) -> Output {
        let data = self.data.to_str().expect("a path of this test");
        let args = words.split(' ').map(|word| if word == "DATA" { data } else { word });
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(args).env_clear().stdin(Stdio::null()).output().expect("the command starts")
    }

    /// What a command says that finds nothing wrong. It is given a moment when a job has just ended here: a process that another test has
    /// forked meanwhile holds the lock, too, until it executes its program.
    fn succeeds(&self, words: &str) -> String {
        let began = Instant::now();
        let output = loop {
            let output = self.run(words);
            let is_in_use = text(&output.stderr).contains("a job is at work here");
            if !is_in_use || began.elapsed() > PATIENCE {
                break output;
            }
        };
        assert_eq!(text(&output.stderr), "", "{words}");
        assert_eq!(output.status.code(), Some(0), "{words}");
        text(&output.stdout)
    }

    /// Both streams of a command that ends with exit code 1; `DATA` stands for the directory.
    fn fails(&self, words: &str) -> (String, String) {
        self.fails_with(1, words)
    }

    /// The same with another exit code.
    fn fails_with(&self, code: i32, words: &str) -> (String, String) {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words}: {}", text(&output.stdout));
        let data = self.data.to_str().expect("a path of this test");
        (text(&output.stdout).replace(data, "DATA"), text(&output.stderr).replace(data, "DATA"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove_rings_below(&self.data);
        // A directory left behind is no reason to hide the result of the test.
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// Waits until `holds` does.
#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come to hold");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the command prints text")
}

/// The words of the row that begins with these, in a table.
fn row(table: &str, begins: &[&str]) -> Vec<String> {
    let rows = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    rows.into_iter()
        .find(|row| row.iter().zip(begins).all(|(a, b)| a == b) && row.len() >= begins.len())
        .expect(table)
}

#[test]
fn what_a_directory_holds_is_shown() {
    let place = Place::filled("show");
    let shown = place.succeeds("data show DATA");
    assert_eq!(row(&shown, &["job"]), ["job", "orders"]);
    assert_eq!(row(&shown, &["state"])[1..], ["the", "last", "run", "ended", "cleanly"]);
    assert_eq!(row(&shown, &["log", "generation"])[2..6], ["0:", "2", "shards,", "256"]);
    assert_eq!(row(&shown, &["1", "before"])[2..5], ["2", "0", "2"]);
    assert_eq!(row(&shown, &["2", "4"]).last().expect("a row"), "2026-11-22T12:00:00Z");
}

#[test]
fn logs_are_shown_by_shard() {
    let place = Place::filled("inspect");
    let shown = place.succeeds("log inspect DATA");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    // Ten groups of one tick each, and one with the hash.
    let cells = row(&shown, &["0", "1"]);
    assert_eq!(cells[4..7], ["11", "11", "1-10"], "{shown}");
    assert_eq!(cells.last().expect("a row"), "whole");

    let some = place.succeeds("log inspect DATA --shard 1 --from 3 --to 5");
    assert_eq!(some.lines().count(), 2, "{some}");
    assert_eq!(row(&some, &["0", "1"])[4..7], ["3", "3", "3-5"]);

    let entries = place.succeeds("log inspect DATA --entries --shard 0 --from 10");
    assert_eq!(row(&entries, &["shard", "0"])[2..5], ["tick", "10", "tick"]);
    assert!(entries.contains(" hash "), "{entries}");
}

#[test]
fn entries_are_exported_as_lines_of_json() {
    let place = Place::filled("export");
    let lines: Vec<serde_json::Value> = place
        .succeeds("log export DATA --from 9")
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        (&lines[0]["tick"], &lines[0]["shard"], &lines[0]["kind"]),
        (&9.into(), &0.into(), &"tick".into())
    );
    assert_eq!(lines[0]["now"], 1_009);
    assert_eq!(lines[0]["wall"], 1_795_525_380_000_000_009_u64);
    assert_eq!(lines[0]["time"], "2026-11-24T13:03:00.000000009Z");
    let partition = serde_json::json!([{
        "records": 3, "watermark": -7, "asked": true, "done": false, "logged": "6162"
    }]);
    assert_eq!(lines[0]["partitions"], partition);
    assert_eq!((&lines[2]["stage"], &lines[2]["hash"]), (&1.into(), &"00000000deadbeef".into()));
    assert!(lines[0]["position"].as_u64() < lines[1]["position"].as_u64());
    assert_eq!(lines[3]["shard"], 1);
}

/// What stands for the end of time or for nothing at all is never shown as the number that it is.
#[test]
fn no_number_stands_for_the_end() {
    let place = Place::filled("sentinels");
    let mut log = place.log(0, Durability::Disk);
    place.append_with(&mut log, 11, i64::MIN, u64::MAX);
    place.append_with(&mut log, 12, i64::MAX, u64::MAX);
    log.sync().expect("room");
    drop(log);
    let shown = place.succeeds("log inspect DATA --shard 0");
    assert!(shown.contains("  end  ") && !shown.contains("18446744073709551615"), "{shown}");
    let exported = place.succeeds("log export DATA --shard 0 --from 11");
    let watermarks: Vec<serde_json::Value> = exported
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect(line)["partitions"][0]["watermark"].take()
        })
        .collect();
    assert_eq!(watermarks, [serde_json::Value::Null, "end".into()], "{exported}");
}

#[test]
fn the_directory_may_be_the_one_of_the_configuration() {
    let place = Place::filled("configured");
    let run = |data: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(["data", "show"]).env_clear().stdin(Stdio::null()).current_dir(&place.data);
        if let Some(data) = data {
            command.env("PELTON_DATA", data);
        }
        command.output().expect("the command starts")
    };
    let output = run(Some(&place.data));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert!(text(&output.stdout).contains("orders"), "{}", text(&output.stdout));
    let output = run(None);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: which data directory?"), "{}", text(&output.stderr));
}

#[test]
fn recorded_hashes_are_listed() {
    let place = Place::filled("hashes");
    let shown = place.succeeds("log hashes DATA --shard 1");
    assert_eq!(row(&shown, &["shard", "1"])[2..7], ["tick", "10", "stage", "1", "00000000deadbeef"]);
    let output = place.run("log hashes DATA --to 3");
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).starts_with("note: no hash is in the logs"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_sound_directory_passes() {
    let place = Place::filled("sound");
    let shown = place.succeeds("log verify DATA");
    assert!(shown.ends_with(": ok; checkpoints: 2, logs: 2, entries: 22\n"), "{shown}");
}

#[test]
fn damage_is_found_with_its_place() {
    let place = Place::filled("damage");
    // The second tick's entry: groups are whole pages, behind the segment's first page.
    place.flip(&place.segment(1), 2 * 4096 + 110);
    let (findings, error) = place.fails("log verify DATA");
    assert!(
        findings
            .starts_with("damage: DATA/log/g0000/shard-0001/seg-00000000.log: damaged log segment at byte"),
        "{findings}"
    );
    assert_eq!(error, "error: DATA: 1 finding of damage\n");

    let (shown, error) = place.fails("log inspect DATA");
    assert_eq!(row(&shown, &["0", "0"]).last().expect("a row"), "whole");
    let damaged = row(&shown, &["0", "1"]);
    assert_eq!((damaged[5].as_str(), damaged.last().expect("a row").as_str()), ("1", "damaged"));
    assert!(
        error.starts_with("error: DATA/log/g0000/shard-0001/seg-00000000.log: damaged log segment"),
        "{error}"
    );
    let (lines, _) = place.fails("log export DATA --shard 1");
    assert_eq!(lines.lines().count(), 1, "what came before the damage");
}

#[test]
fn damage_to_snapshot_and_manifest_is_found() {
    let place = Place::filled("damaged-snapshot");
    place.flip(&place.data.join("checkpoint/00000002/shard-0001.snap"), 4096 + 40);
    let (findings, error) = place.fails("log verify DATA");
    assert!(findings.contains("DATA/checkpoint/00000002/shard-0001.snap: "), "{findings}");
    assert_eq!(error, "error: DATA: 1 finding of damage\n");

    place.flip(&place.data.join("MANIFEST"), 30);
    let (findings, _) = place.fails("log verify DATA");
    assert!(findings.starts_with("fatal: DATA/MANIFEST: damaged manifest"), "{findings}");
    let (_, error) = place.fails("data show DATA");
    assert!(error.starts_with("error: DATA/MANIFEST: damaged manifest"), "{error}");
}

#[test]
fn a_log_that_is_gone_or_begins_too_late_is_found() {
    let place = Place::filled("gone");
    fs::remove_dir_all(place.directory(0)).expect("it is there");
    let (findings, _) = place.fails("log verify DATA");
    assert!(
        findings.starts_with("fatal: DATA/log/g0000/shard-0000: the log of shard 0 is not there"),
        "{findings}"
    );

    fs::remove_dir_all(place.directory(1)).expect("it is there");
    for shard in 0..2 {
        // What says how far the old log was kept would refuse the new one.
        fs::remove_file(place.mark(shard)).expect("it is there");
        let mut log = place.log(shard, Durability::Disk);
        for tick in 1..=600 {
            place.append(&mut log, tick);
            log.retire_before(tick).expect("it is sound");
        }
        log.sync().expect("room");
    }
    let (findings, _) = place.fails("log verify DATA");
    assert!(findings.contains("and checkpoint 2 needs it from tick 4 on"), "{findings}");
    assert!(!findings.contains("checkpoint 1 needs"), "nobody replays from a savepoint: {findings}");
}

#[test]
fn an_entry_that_the_engine_cannot_read_is_found() {
    let place = Place::filled("unreadable");
    place.log(0, Durability::Disk).sync().expect("room");
    let mut log = place.log(0, Durability::Disk);
    log.append(11, Kind::Tick, b"no tick");
    log.sync().expect("room");
    let (findings, _) = place.fails("log verify DATA");
    assert!(findings.contains("shard-0000/seg-00000000.log at byte "), "{findings}");
    assert!(findings.contains("the input log's entry of tick 11"), "{findings}");
    let (_, error) = place.fails("log export DATA --from 11");
    assert!(error.contains("(position "), "{error}");
}

/// A log with an eleventh tick, where the page of its group begins, and its mark from before that tick.
fn eleven(test: &str) -> (Place, usize, Vec<u8>) {
    let place = Place::filled(test);
    let mut log = place.log(0, Durability::Disk);
    let mark = fs::read(place.mark(0)).expect("it was made with the log");
    place.append(&mut log, 11);
    drop(log);
    let bytes = fs::read(place.segment(0)).expect("it is there");
    let last = bytes.iter().rposition(|&byte| byte != 0).expect("it is not empty");
    (place, last / 4096 * 4096, mark)
}

#[test]
fn a_write_that_was_cut_short_is_noted_and_no_damage() {
    let (place, page, mark) = eleven("torn");
    let mut bytes = fs::read(place.segment(0)).expect("it is there");
    // Of the tick's entry only the beginning is left.
    bytes[page + 100..page + 4096].fill(0);
    fs::write(place.segment(0), bytes).expect("room");
    let (findings, _) = place.fails("log verify DATA");
    assert!(findings.starts_with("damage: "), "the mark says that the tick was kept: {findings}");
    // Nobody had been told of the tick.
    fs::write(place.mark(0), mark).expect("room");
    let shown = place.succeeds("log verify DATA");
    assert!(shown.starts_with("note: ") && shown.contains("a write was cut short at byte"), "{shown}");
    let shown = place.succeeds("log inspect DATA --shard 0");
    assert!(shown.contains("1-10") && shown.contains("torn in seg-00000000.log at byte"), "{shown}");
}

#[test]
fn a_byte_of_what_was_written_last_is_damage() {
    let (place, page, _) = eleven("byte");
    place.flip(&place.segment(0), page + 110);
    // The entry that holds it, the first of the group.
    let place_of = format!("seg-00000000.log: damaged log segment at byte {}: expected CRC32C ", page + 64);
    let (findings, _) = place.fails("log verify DATA");
    assert!(findings.starts_with("damage: ") && findings.contains(&place_of), "{findings}");
    let (_, error) = place.fails("log inspect DATA --shard 0");
    assert!(error.contains(&place_of), "{error}");
    place.flip(&place.segment(0), page + 110);
    place.succeeds("log verify DATA");
}

#[test]
fn what_is_only_in_memory_is_shown_until_it_is_gone() {
    let place = Place::filled("staged");
    for shard in 0..2 {
        let mut log = place.log(shard, Durability::Process);
        place.append(&mut log, 11);
    }
    let shown = place.succeeds("log inspect DATA --shard 0");
    assert!(shown.contains("1-11") && shown.contains("only in memory"), "{shown}");
    remove_rings_below(&place.data).expect("they are there");
    let shown = place.succeeds("log inspect DATA --shard 0");
    assert!(shown.contains("1-10") && shown.contains("what was only in memory is gone"), "{shown}");
    place.succeeds("log verify DATA");
    let mut manifest = Manifest::load(&place.disk, &place.data).expect("sound").expect("stored");
    manifest.clean = false;
    manifest.store(&place.disk, &place.data).expect("room");
    let (findings, _) = place.fails("log verify DATA");
    assert!(
        findings.contains("DATA/log/g0000/shard-0000: what the last run had only in memory is gone"),
        "{findings}"
    );
}

#[test]
fn beside_a_job_files_are_shown_and_nothing_is_verified() {
    let place = Place::filled("beside");
    let job = DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default()).expect("free");
    let output = place.run("log inspect DATA");
    assert!(text(&output.stderr).starts_with("note: a job is at work in "), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 3);
    assert!(place.succeeds("data show DATA").contains("a job is at work here"));
    let (_, error) = place.fails("log verify DATA");
    assert!(error.starts_with("error: DATA: a job is at work here"), "{error}");
    drop(job);
    place.succeeds("log verify DATA");
}

#[test]
fn a_running_job_is_commanded_by_files() {
    let place = Place::filled("command");
    for command in ["savepoint", "checkpoint"] {
        let (_, error) = place.fails(&format!("{command} DATA"));
        assert_eq!(error, "error: no job is running on DATA\n");
    }
    let (_, error) = place.fails_with(2, "savepoint DATA --name ../x");
    assert!(
        error.starts_with("error: invalid value '../x' for '--name <NAME>': a savepoint cannot"),
        "{error}"
    );

    let job = DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default()).expect("free");
    let (_, error) = place.fails("checkpoint DATA --timeout 0");
    assert!(error.contains("did not take the command within 0 s, and it was withdrawn"), "{error}");
    assert_eq!(control::list(&place.disk, &place.data).expect("a directory"), []);

    let (disk, data) = (place.disk.clone(), place.data.clone());
    let coordinator = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while seen.len() < 5 {
            for waiting in control::list(&disk, &data).expect("a directory") {
                let command = waiting.command.expect("a command");
                let answer = match &command {
                    control::Command::Savepoint { name } if name == "late" => {
                        Answer::Refused { error: "the disk is full".to_owned() }
                    }
                    control::Command::Rebalance { shard: Some(_), .. } => {
                        Answer::Moved { tick: 345, groups: 16 }
                    }
                    control::Command::Rebalance { .. } => Answer::Moved { tick: 345, groups: 0 },
                    _ => Answer::Done { number: 12, tick: 345 },
                };
                seen.push(command);
                control::answer(&disk, &data, &waiting.name, &answer).expect("room");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        seen
    });
    assert_eq!(
        place.succeeds("savepoint DATA --name before-1.2"),
        "savepoint before-1.2 is checkpoint 12, of tick 345\n"
    );
    assert_eq!(place.succeeds("checkpoint DATA"), "checkpoint 12, of tick 345\n");
    let (_, error) = place.fails("savepoint DATA --name late");
    assert_eq!(error, "error: the job on DATA did not do it: the disk is full\n");
    let nothing = place.succeeds("rebalance DATA");
    assert_eq!(nothing, "nothing to do: the shards have about as much to do as each other\n");
    let moved = place.succeeds("rebalance DATA --move 0-15=1");
    assert_eq!(moved, "16 key groups moved after tick 345\n");
    let savepoint = |name: &str| control::Command::Savepoint { name: name.to_owned() };
    assert_eq!(
        coordinator.join().expect("the coordinator ends"),
        [
            savepoint("before-1.2"),
            control::Command::Checkpoint,
            savepoint("late"),
            control::Command::Rebalance { first: None, last: None, shard: None },
            control::Command::Rebalance { first: Some(0), last: Some(15), shard: Some(1) },
        ]
    );
    drop(job);
    assert_eq!(
        fs::read_dir(place.data.join("control")).expect("it was made").count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn a_job_that_ends_before_it_answers_is_reported() {
    let place = Place::filled("ended");
    let job = DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default()).expect("free");
    let (disk, data) = (place.disk.clone(), place.data.clone());
    let ends = std::thread::spawn(move || {
        while control::list(&disk, &data).expect("a directory").is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(job);
    });
    let (_, error) = place.fails("checkpoint DATA");
    ends.join().expect("the job ends");
    assert!(error.starts_with("error: the job on DATA ended before it answered"), "{error}");
}

#[test]
fn what_is_no_data_directory_is_named() {
    let place = Place::new("empty");
    for command in ["data show DATA", "log inspect DATA", "log export DATA", "log hashes DATA"] {
        let (_, error) = place.fails(command);
        assert_eq!(error, "error: DATA: no job has kept anything here; there is no MANIFEST\n", "{command}");
    }
    let (_, error) = place.fails("log inspect /nonexistent/data");
    assert_eq!(error, "error: /nonexistent/data: there is no such directory\n");
    let place = Place::filled("selection");
    let (_, error) = place.fails_with(2, "log inspect DATA --shard 7");
    assert_eq!(error, "error: --shard: DATA has no log of shard 7; it has 2, counted from 0\n");
    let (_, error) = place.fails_with(2, "log export DATA --from 5 --to 4");
    assert_eq!(error, "error: --from: 5 comes after 4, which --to gives\n");
    let (_, error) = place.fails_with(2, "log export DATA --from tuesday");
    assert!(error.contains("a tick (345) or a time (2026-11-24T14:03:05Z"), "{error}");
}

/// A tool that is run in a loop keeps nobody out.
#[test]
fn tools_give_way_to_jobs() {
    let place = Place::filled("gives-way");
    let over = AtomicBool::new(false);
    let runs = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for words in [
            "log verify DATA",
            "log inspect DATA",
            "data show DATA",
            "log export DATA",
            "checkpoint DATA --timeout 0",
        ] {
            let (place, over, runs) = (&place, &over, &runs);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let output = place.run(words);
                    let error = text(&output.stderr);
                    // What it sees is whole, or it says why not; a job that is there is none of its business.
                    let said = output.status.success()
                        || [
                            "a job is at work",
                            "jobs begin here",
                            "no job is running",
                            "it was withdrawn",
                            "ended before it answered",
                        ]
                        .iter()
                        .any(|reason| error.contains(reason));
                    assert!(said, "{words}: {error}");
                    runs.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut starts = 0;
        while starts < 30 || runs.load(Ordering::Relaxed) < 30 {
            let job = DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default());
            let job = job.unwrap_or_else(|error| {
                over.store(true, Ordering::Relaxed);
                panic!("start {starts}: {error}")
            });
            starts += 1;
            std::thread::sleep(Duration::from_millis(starts % 7));
            drop(job);
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// What a tool saw while a job came and went is not believed.
#[test]
fn a_job_that_comes_and_goes_is_noticed() {
    let place = Place::filled("comes-and-goes");
    let before = presence(&place.data).expect("a directory");
    assert!(!before.is_in_use);
    assert_eq!(presence(&place.data).expect("a directory"), before, "who asks is no job");
    for _ in 0..3 {
        let before = presence(&place.data).expect("a directory");
        // File systems tell times a few milliseconds apart.
        std::thread::sleep(Duration::from_millis(20));
        drop(DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default()).expect("free"));
        // A child that another test starts has a copy of the lock until it is another program.
        let began = Instant::now();
        let mut after = presence(&place.data).expect("a directory");
        while after.is_in_use && began.elapsed() < Duration::from_secs(60) {
            after = presence(&place.data).expect("a directory");
        }
        assert!(!after.is_in_use && after != before, "{before:?}, {after:?}");
    }
}

#[test]
fn rings_are_listed_and_removed_when_nobody_wants_them() {
    let place = Place::filled("rings");
    let mut log = place.log(0, Durability::Process);
    place.append(&mut log, 11);
    let mine = || {
        let data = fs::canonicalize(place.data.parent().expect("it is in one"))
            .expect("it is there")
            .join(place.data.file_name().expect("a name"));
        let ring = rings().expect("a directory").into_iter().find(|ring| ring.data.as_ref() == Some(&data));
        ring.map(|ring| ring.path.file_name().expect("a name").to_str().expect("ours").to_owned())
    };
    let name = mine().expect("the log has one");
    let line = |words: &str| {
        let shown = place.succeeds(words);
        shown.lines().find(|line| line.starts_with(&name)).expect(&shown).to_owned()
    };
    assert!(line("data rings").contains("in use"));
    let (_, error) = place.fails(&format!("data rings --remove {name}"));
    assert!(error.contains("is in use"), "{error}");
    drop(log);
    // A process that another test has forked meanwhile holds the ring, too, until it executes its program.
    eventually(|| line("data rings").contains("waits for the next start"));
    let remove = format!("data rings --remove {name}");
    eventually(|| place.fails(&remove).1.contains("the next start of the job there goes on with it"));
    place.succeeds("data rings --remove");
    assert_eq!(mine().as_ref(), Some(&name), "it is wanted");
    fs::remove_dir_all(&place.data).expect("it is there");
    eventually(|| line("data rings").contains("is gone"));
    eventually(|| place.succeeds("data rings --remove").contains(&format!("removed {name}")));
    assert_eq!(mine(), None);
    let (_, error) = place.fails(&remove);
    assert!(error.contains("there is no such ring"), "{error}");
}

#[test]
fn savepoints_are_listed_and_deleted() {
    let place = Place::filled("savepoints");
    let mut manifest = Manifest::load(&place.disk, &place.data).expect("sound").expect("stored");
    // The later one refers to files of the savepoint.
    manifest.checkpoints[1].needs = vec![1];
    manifest.store(&place.disk, &place.data).expect("room");
    let shown = place.succeeds("data savepoint list DATA");
    assert_eq!(row(&shown, &["before", "1"])[2], "2", "{shown}");
    let (_, error) = place.fails("data savepoint delete DATA after");
    assert_eq!(error, "error: DATA: there is no savepoint `after`; there are before\n");
    let job = DataDirectory::open(&place.disk, &place.data, &DirectoryOptions::default()).expect("free");
    let (_, error) = place.fails("data savepoint delete DATA before");
    assert!(error.starts_with("error: DATA: a job is at work here"), "{error}");
    drop(job);

    let file = |number: u64| place.data.join(format!("checkpoint/{number:08}/shard-0000.snap"));
    assert_eq!(
        place.succeeds("data savepoint delete DATA before"),
        "deleted savepoint before, checkpoint 1 of tick 2\n"
    );
    assert_eq!(place.succeeds("data savepoint list DATA"), "no savepoint\n");
    assert!(file(1).exists() && file(2).exists(), "the other one needs its files");
    place.succeeds("log verify DATA");

    // What `rm -r` of its directory makes of it is said by name.
    fs::remove_dir_all(place.data.join("checkpoint/00000001")).expect("it is there");
    let shown = place.succeeds("data show DATA");
    assert!(
        shown.contains("no job can begin from checkpoint 2: ")
            && shown.contains("00000001/shard-0000.snap is not there"),
        "{shown}"
    );
}

#[test]
fn the_savepoint_that_a_job_goes_on_from_stays() {
    let place = Place::filled("base");
    let mut manifest = Manifest::load(&place.disk, &place.data).expect("sound").expect("stored");
    (manifest.generation, manifest.base) = (1, Some(1));
    manifest.store(&place.disk, &place.data).expect("room");
    assert!(place.succeeds("data savepoint list DATA").contains("the job goes on from it"));
    let (_, error) = place.fails("data savepoint delete DATA before");
    assert!(error.contains("The job goes on from savepoint `before`"), "{error}");
    assert_eq!(Manifest::load(&place.disk, &place.data).expect("sound").expect("stored"), manifest);
    manifest.checkpoints[1].generation = 1;
    manifest.store(&place.disk, &place.data).expect("room");
    place.succeeds("data savepoint delete DATA before");
    assert!(!place.data.join("checkpoint/00000001").exists());
}
