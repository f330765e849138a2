//! Nothing starts that cannot reach what is known to have been there; and a savepoint can be gone back to whatever became of the logs.

use crate::place::{Place, content, put_back};
use pelton::config::Durability;
use pelton::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A place with a savepoint at 1,000, and everything acknowledged through 4,000; what its data were at 2,000.
fn left(durability: Durability) -> (Place, BTreeMap<PathBuf, Vec<u8>>) {
    let place = Place::new("missing", durability);
    let config = place.config();
    let mut run = place.start(&config).unwrap();
    run.send(1_000);
    run.checkpoint(Some("monday"));
    run.send(2_000);
    run.stop();
    let older = content(&place.data());
    let mut run = place.start(&config).unwrap();
    run.send(4_000);
    place.shows(4_000);
    run.stop();
    (place, older)
}

fn shard(place: &Place, shard: u16) -> PathBuf {
    place.data().join(format!("log/g0000/shard-{shard:04}"))
}

/// Where it stands how far all logs had come.
fn witness(place: &Place) -> PathBuf {
    shard(place, 0).with_file_name("all.durable")
}

/// Puts an older copy of all that begins with `path` in its place.
fn put_older(path: &Path, older: &BTreeMap<PathBuf, Vec<u8>>) {
    let newest = content(path);
    assert!(
        newest.iter().any(|(path, bytes)| older.get(path) != Some(bytes)),
        "the copy is older: {}",
        path.display()
    );
    for now in newest.into_keys() {
        fs::remove_file(now).unwrap();
    }
    for (path, bytes) in older.iter().filter(|(other, _)| other.starts_with(path)) {
        fs::write(path, bytes).unwrap();
    }
}

fn segments(place: &Place) -> Vec<PathBuf> {
    content(&place.data().join("log"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect()
}

type Harm = fn(&Place, &BTreeMap<PathBuf, Vec<u8>>);

/// What is done to the logs, and what the refusal names.
const HARMS: [(&str, &str, Harm); 8] = [
    ("all segments deleted", "shard-000", |place, _| {
        segments(place).iter().for_each(|path| fs::remove_file(path).unwrap())
    }),
    ("one shard's segments deleted", "shard-0001", |place, _| {
        segments(place)
            .iter()
            .filter(|path| path.starts_with(shard(place, 1)))
            .for_each(|path| fs::remove_file(path).unwrap());
    }),
    ("all logs deleted", "log", |place, _| fs::remove_dir_all(place.data().join("log")).unwrap()),
    ("one shard's log deleted", "shard-0001", |place, _| fs::remove_dir_all(shard(place, 1)).unwrap()),
    ("one shard's segments as they were", "shard-0000", |place, older| put_older(&shard(place, 0), older)),
    // A log that is whole in itself, and short of what the sink has: only the ticks can be named. The witness of all logs' positions, which
    // would name the log, is put back as well: how much it knows depends on when it was written last.
    (
        "one shard's segments and mark and the witness as they were",
        "a sink of the job has rows of ticks",
        |place, older| {
            put_older(&shard(place, 0), older);
            for path in [shard(place, 0).with_extension("durable"), witness(place)] {
                fs::write(&path, &older[&path]).unwrap();
            }
        },
    ),
    ("a mark deleted", "shard-0000.durable", |place, _| {
        fs::remove_file(shard(place, 0).with_extension("durable")).unwrap()
    }),
    ("bytes of the last group", "shard-0001", |place, _| {
        let mine = segments(place).into_iter().filter(|path| path.starts_with(shard(place, 1)));
        // A segment that is only prepared has a header and nothing behind it.
        let written =
            |path: PathBuf| (fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap(), path);
        let (last, path) = mine.map(written).rfind(|(last, _)| *last > 4_096).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // Within the entry before the PAD.
        bytes[last - 120..last - 100].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, bytes).unwrap();
    }),
];

#[test]
fn logs_that_do_not_reach_what_is_known_are_refused_and_a_savepoint_helps() {
    for (number, (what, names, harm)) in HARMS.into_iter().enumerate() {
        let (place, older) = left(Durability::Disk);
        let plain = place.config();
        harm(&place, &older);
        let (before, out) = (content(&place.data()), content(&place.out()));
        let error = place.start(&plain).map(drop).expect_err(what).to_string();
        let data = place.data().display().to_string();
        assert!(error.contains(&data) && error.contains(names), "{what}: {error}");
        let after = content(&place.data());
        // A log that is whole may have been made ready to go on by then, which changes nothing that it holds.
        let is_whole = |path: &Path| {
            path.starts_with(place.data().join("log")) && !path.to_string_lossy().contains(names)
        };
        let changed: Vec<_> = before
            .iter()
            .filter(|(path, bytes)| !is_whole(path) && after.get(*path) != Some(bytes))
            .collect();
        assert!(changed.is_empty(), "{what}: {:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert!(content(&place.out()) == out, "{what}: the output is what it was");
        // The way out reads no log.
        let shards = 2 + number % 2;
        let restored = Config { shards, restore: Some("monday".to_owned()), ..plain };
        let mut run = place.start(&restored).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(run.known(), 1_000, "{what}");
        run.send(4_500);
        place.shows(4_500);
        run.stop();
        place.goes_on(&Config { restore: None, ..restored }, 4_500, 4_600);
    }
}

/// With `process` what was acknowledged last is in the ring.
#[test]
fn with_process_a_ring_that_is_gone_or_damaged_is_refused_and_a_savepoint_helps() {
    for (number, what) in ["gone", "damaged", "segments", "logs", "older"].into_iter().enumerate() {
        let (place, older) = left(Durability::Process);
        let plain = place.config();
        let rings = rings(&place);
        assert_eq!(rings.len(), 2, "{rings:?}");
        match what {
            "gone" => fs::remove_file(&rings[1]).unwrap(),
            "damaged" => {
                let mut bytes = fs::read(&rings[1]).unwrap();
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[last - 120..last - 100].iter_mut().for_each(|byte| *byte ^= 0x55);
                fs::write(&rings[1], bytes).unwrap();
            }
            "segments" => segments(&place).iter().for_each(|path| fs::remove_file(path).unwrap()),
            "logs" => fs::remove_dir_all(place.data().join("log")).unwrap(),
            _ => put_older(&shard(&place, 0), &older),
        }
        let out = content(&place.out());
        match place.start(&plain) {
            Err(error) => {
                let (error, data) = (error.to_string(), place.data().display().to_string());
                assert!(error.contains(&data) || error.contains("/dev/shm/"), "{what}: {error}");
                assert!(content(&place.out()) == out, "{what}: the output is what it was");
            }
            // All of it is there: in the ring still, or in the files.
            Ok(run) if what != "gone" && run.known() == 4_000 => {
                run.stop();
                continue;
            }
            Ok(run) => panic!("{what}: it started, and has {}", run.known()),
        }
        let shards = 2 + number % 2;
        let restored = Config { shards, restore: Some("monday".to_owned()), ..plain };
        let mut run = place.start(&restored).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(run.known(), 1_000, "{what}");
        run.send(4_500);
        place.shows(4_500);
        run.stop();
        rings.iter().for_each(|ring| drop(fs::remove_file(ring)));
    }
}

/// The rings of the job's logs, by the id that they carry.
fn rings(place: &Place) -> Vec<PathBuf> {
    let id = pelton::replay::manifest(&place.data()).unwrap().log_id;
    let mut found: Vec<PathBuf> = fs::read_dir("/dev/shm")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let mut head = [0; 32];
            let read = fs::File::open(path)
                .and_then(|file| std::os::unix::fs::FileExt::read_exact_at(&file, &mut head, 0));
            read.is_ok() && head.starts_with(b"PELTONRG") && head[16..] == id.to_le_bytes()
        })
        .collect();
    found.sort();
    found
}

/// All of the directory, as it was: only what it has written elsewhere can tell.
#[test]
fn an_older_copy_of_everything_is_found_out_by_the_output() {
    let (place, older) = left(Durability::Disk);
    let newest = content(&place.data());
    put_back(&place.data(), &older);
    let out = content(&place.out());
    let error = place.refused(&place.config());
    assert!(error.contains("a sink of the job has rows of ticks through"), "{error}");
    assert!(content(&place.out()) == out, "the output is what it was");
    put_back(&place.data(), &newest);
    place.goes_on(&place.config(), 4_000, 4_100);
}

/// Also where the job has been given other shards since, so that ticks and positions of the output are those of another history.
#[test]
fn an_older_copy_of_before_there_were_other_shards_is_found_out_by_the_output() {
    let (place, older) = left(Durability::Disk);
    let (plain, resized) = (place.config(), Config { shards: 1, ..place.config() });
    let mut run = place.start(&resized).unwrap();
    run.send(5_000);
    place.shows(5_000);
    run.stop();
    let newest = content(&place.data());
    put_back(&place.data(), &older);
    let out = content(&place.out());
    for config in [&plain, &resized] {
        let error = place.refused(config);
        assert!(error.contains("has rows of a later run than the job's data knows of"), "{error}");
        assert!(content(&place.out()) == out, "the output is what it was");
    }
    put_back(&place.data(), &newest);
    place.goes_on(&resized, 5_000, 5_100);

    // Who goes back to a savepoint gives up what came since, whoever knows of it.
    put_back(&place.data(), &older);
    let restored = Config { restore: Some("monday".to_owned()), ..plain };
    place.goes_on(&restored, 1_000, 1_100);
}

/// Also of a manifest alone.
#[test]
fn an_older_manifest_is_found_out() {
    for durability in [Durability::Disk, Durability::Process] {
        let (place, older) = left(durability);
        let path = place.data().join("MANIFEST");
        let newest = fs::read(&path).unwrap();
        fs::write(&path, &older[&path]).unwrap();
        let error = place.refused(&place.config());
        assert!(error.contains("damaged manifest") && error.contains("which was stored last"), "{error}");
        fs::write(&path, newest).unwrap();
        place.goes_on(&place.config(), 4_000, 4_100);
    }
}

/// A suspension that others have gone on from since is no place to begin at, with however many shards: what was shown behind it would be cut off, and
/// what was acknowledged lost.
#[test]
fn an_older_suspension_is_refused_with_other_shards_too() {
    for durability in [Durability::Process, Durability::Disk] {
        let place = Place::new("older", durability);
        let config = |shards| Config { shards, ..place.config() };
        let mut run = place.start(&config(2)).unwrap();
        run.send(1_000);
        run.suspend();
        let monday = content(&place.data());
        let mut run = place.start(&config(2)).unwrap();
        run.send(3_000);
        place.shows(3_000);
        run.suspend();
        let tuesday = content(&place.data());

        put_back(&place.data(), &monday);
        let shown = content(&place.out());
        for shards in [1, 2, 3, 8] {
            let error = place.refused(&config(shards));
            assert!(error.contains("older copy of the"), "{shards} shards: {error}");
            assert!(content(&place.out()) == shown, "{shards} shards: what was shown is there");
        }
        // With what it was in fact suspended with it goes on.
        put_back(&place.data(), &tuesday);
        place.goes_on(&config(3), 3_000, 4_000);
    }
}
