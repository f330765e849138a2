//! A start that ends in an error changes nothing, whatever it was asked for.

use crate::place::{Place, content, put_back};
use crate::support::{Scratch, config, job};
use pelton::config::Durability;
use pelton::prelude::*;
use std::fs::{self, File};
use std::path::PathBuf;

/// Why a start fails, in the last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// One of its CPUs is not there.
    Cpu,
    /// Another writer has a part.
    Locked,
    /// The output directory is somebody else's.
    Elsewhere,
    /// A part has become shorter than it was.
    Cut,
    /// The rings do not fit into the memory.
    Memory,
}

const CAUSES: [Cause; 5] = [Cause::Cpu, Cause::Locked, Cause::Elsewhere, Cause::Cut, Cause::Memory];

/// Starts in vain, for that cause, and says why.
fn in_vain(place: &Place, config: &Config, cause: Cause) -> String {
    let mut config = config.clone();
    let mut out = place.out();
    let part = out.join("part-0000.ndjson");
    let whole = fs::read(&part).unwrap();
    let mut lock = None;
    match cause {
        Cause::Cpu => (config.cores, config.pin) = (vec![0, 9_999], true),
        Cause::Locked => {
            let file = File::open(out.join("part-0001.position")).unwrap();
            file.lock().unwrap();
            lock = Some(file);
        }
        Cause::Elsewhere => {
            out = place.within("elsewhere");
            fs::create_dir_all(&out).unwrap();
            fs::write(out.join("part-0001.ndjson"), "mine\n").unwrap();
        }
        Cause::Cut => fs::write(&part, b"1\n").unwrap(),
        Cause::Memory => config.memory_bytes = 1 << 16,
    }
    let error = match place.start_to(&config, &out) {
        Ok(_) => panic!("{cause:?}: it started"),
        Err(error) => error.to_string(),
    };
    drop(lock);
    if cause == Cause::Elsewhere {
        let files = content(&out);
        assert_eq!(files.len(), 1, "{cause:?}: {:?}", files.keys());
        fs::remove_dir_all(&out).unwrap();
    }
    fs::write(&part, whole).unwrap();
    error
}

/// What counts of a data directory: the manifest and the checkpoints, and which logs there are.
fn counts(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let files = content(&place.data()).into_iter().filter(|(path, _)| {
        let text = path.to_string_lossy();
        text.ends_with("/MANIFEST") || text.contains("/checkpoint/")
    });
    let mut counts: Vec<_> = files.collect();
    let logs =
        fs::read_dir(place.data().join("log")).unwrap().map(|entry| (entry.unwrap().path(), Vec::new()));
    counts.extend(logs);
    counts.sort();
    counts
}

#[test]
fn a_savepoint_is_gone_back_to_only_when_all_is_ready() {
    for durability in [Durability::Disk, Durability::Process] {
        for shards in [2, 3] {
            let place = Place::new("restored-in-vain", durability);
            let plain = place.config();
            let mut run = place.start(&plain).unwrap();
            run.send(1_000);
            run.checkpoint(Some("monday"));
            run.send(2_000);
            run.checkpoint(None);
            run.send(5_000);
            place.shows(5_000);
            run.stop();
            let mut restored = Config { shards, restore: Some("monday".to_owned()), ..plain.clone() };
            for cause in CAUSES {
                let (before, out) = (counts(&place), content(&place.out()));
                let error = in_vain(&place, &restored, cause);
                assert!(!error.is_empty());
                assert!(counts(&place) == before, "{durability:?}, {cause:?}: the data is what it was");
                assert!(content(&place.out()) == out, "{durability:?}, {cause:?}: the output is what it was");
                // Everything that was acknowledged is there for the next plain start.
                if cause == Cause::Elsewhere {
                    let (data, out) = (content(&place.data()), content(&place.out()));
                    if durability == Durability::Disk {
                        place.goes_on(&plain, 5_000, 5_000);
                        put_back(&place.data(), &data);
                        put_back(&place.out(), &out);
                    }
                }
            }
            place.goes_on(&plain, 5_000, 5_100);
            // And the savepoint can still be gone back to.
            restored.shards = shards;
            let mut run = place.start(&restored).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(run.known(), 1_000, "{durability:?}, {shards} shards");
            run.send(3_000);
            place.shows(3_000);
            run.stop();
        }
    }
}

#[test]
fn another_number_of_shards_counts_only_when_all_is_ready() {
    for durability in [Durability::Disk, Durability::Process] {
        let place = Place::new("resized-in-vain", durability);
        let plain = place.config();
        let mut run = place.start(&plain).unwrap();
        run.send(3_000);
        place.shows(3_000);
        run.stop();
        let mut sent = 3_000;
        for cause in CAUSES {
            in_vain(&place, &Config { shards: 3, ..plain.clone() }, cause);
            let manifest = pelton::replay::manifest(&place.data()).unwrap();
            assert_eq!((manifest.shards, manifest.generation), (2, 0), "{durability:?}, {cause:?}");
            place.goes_on(&plain, sent, sent + 100);
            sent += 100;
        }
        let resized = Config { shards: 3, ..plain };
        place.goes_on(&resized, sent, sent + 100);
        assert_eq!(pelton::replay::manifest(&place.data()).unwrap().shards, 3);
    }
}

#[test]
fn another_mode_counts_only_when_all_is_ready() {
    for (before, after) in [(Durability::Process, Durability::Disk), (Durability::Disk, Durability::Process)]
    {
        for shards in [2, 3] {
            let (scratch, rows) = (Scratch::new("mode-in-vain"), collect());
            let plain = config(scratch.path(), before, 2);
            job(50_000, &rows).run_with(&plain).unwrap();
            let name = |durability| if durability == Durability::Disk { "disk" } else { "process" };
            let is = || {
                let manifest = pelton::replay::manifest(scratch.path()).unwrap();
                (manifest.durability, manifest.clean, manifest.shards)
            };
            assert_eq!(is(), (name(before).to_owned(), true, 2));
            let changed = config(scratch.path(), after, shards);
            let absent = Config { cores: vec![0, 9_999], pin: true, ..changed.clone() };
            let error = job(50_000, &rows).start_with(&absent).unwrap_err().to_string();
            assert!(error.contains("CPU 9999"), "{error}");
            assert_eq!(is(), (name(before).to_owned(), true, 2), "{error}");
            job(50_000, &rows).run_with(&plain).unwrap();
            job(50_000, &rows).run_with(&changed).unwrap();
            assert_eq!(is(), (name(after).to_owned(), true, shards as u16));
        }
    }
}

/// The very first start: what it made is no reason to refuse the next, whatever that is.
#[test]
fn a_first_start_that_fails_leaves_nothing_in_the_way() {
    for durability in [Durability::Disk, Durability::Process] {
        let place = Place::new("first-in-vain", durability);
        let plain = place.config();
        let absent = Config { cores: vec![0, 9_999], pin: true, ..plain.clone() };
        for shards in [2, 3] {
            let error = place.refused(&Config { shards, ..absent.clone() });
            assert!(error.contains("CPU 9999"), "{error}");
            assert!(content(&place.out()).is_empty());
        }
        place.goes_on(&plain, 0, 500);
    }
}
