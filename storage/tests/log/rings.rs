//! Whose a staging ring is: nobody takes another's, whatever their directories are called.

use crate::common::{Owned, append, options, read_in, remove_ring, ring_names, ring_prefix};
use pelton_storage::disk::{Blocking, Disk, Lifetime, STAGING_DIRECTORY};
use pelton_storage::{
    Durability, Kind, Log, LogOptions, RingFile, RingState, StorageError, remove_ring as remove_if_unwanted,
    rings,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place for data directories, and the ids of the logs in them.
struct Place {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    ids: Vec<u128>,
}

impl Place {
    fn new(ids: usize) -> Place {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("pelton-rings-{}-{number}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let base = u128::from(std::process::id()) << 64 | u128::from(number) << 8;
        Place { root, disk: Arc::new(Blocking::new()), ids: (0..ids as u128).map(|id| base | id).collect() }
    }

    fn options(&self, id: usize) -> LogOptions {
        LogOptions { id: self.ids[id], ..options(Durability::Process) }
    }

    fn directory(&self, data: &str) -> PathBuf {
        self.root.join(data).join("log/g0000/shard-0000")
    }

    fn try_open(&self, data: &str, id: usize) -> Result<Log, StorageError> {
        Log::open(&self.disk, &self.directory(data), &self.options(id)).map(|opened| opened.0)
    }

    fn open(&self, data: &str, id: usize) -> Log {
        self.try_open(data, id).unwrap()
    }

    fn read(&self, data: &str, id: usize) -> Vec<u64> {
        let entries = read_in(&self.disk, &self.directory(data), &self.options(id), 0).unwrap();
        entries.iter().map(|entry| entry.tick).collect()
    }

    fn found(&self, id: usize) -> Vec<RingFile> {
        let log = self.ids[id];
        rings().unwrap().into_iter().filter(|ring| ring.log_id == Some(log)).collect()
    }

    fn states(&self, id: usize) -> Vec<RingState> {
        self.found(id).into_iter().map(|ring| ring.state).collect()
    }

    fn copy(&self, from: &str, to: &str) {
        fn tree(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                let (path, to) = (entry.path(), to.join(entry.file_name()));
                if path.is_dir() {
                    tree(&path, &to);
                } else {
                    fs::copy(&path, &to).unwrap();
                }
            }
        }
        tree(&self.root.join(from), &self.root.join(to));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (0..self.ids.len()).for_each(|id| remove_ring(&self.disk, &self.options(id)));
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn put(log: &mut Log, tick: u64) {
    append(log, &Owned { tick, kind: Kind::Tick, payload: vec![tick as u8; 100] }).unwrap();
}

/// Two jobs whose data directories have one path: in two containers that share the memory, or one after the other.
#[test]
fn an_equal_path_is_no_claim_to_a_ring() {
    let place = Place::new(2);
    put(&mut place.open("data", 0), 1);
    fs::rename(place.root.join("data"), place.root.join("first")).unwrap();
    let mut second = place.open("data", 1);
    put(&mut second, 7);
    assert_eq!(place.read("first", 0), [1], "what was only in the ring is there");
    assert_eq!(place.states(1), [RingState::InUse]);
    let mut first = place.open("first", 0);
    put(&mut first, 2);
    drop(first);
    second.close().unwrap();
    assert_eq!((place.read("first", 0), place.read("data", 1)), (vec![1, 2], vec![7]));
    assert_eq!((place.found(0).len(), place.found(1).len()), (1, 0));
}

/// A copy of a directory whose job has ended is a job of its own, also beside the other.
#[test]
fn copies_that_run_side_by_side_have_rings_of_their_own() {
    let place = Place::new(1);
    let mut log = place.open("data", 0);
    put(&mut log, 1);
    log.close().unwrap();
    drop(log);
    place.copy("data", "copy");
    let (mut one, mut other) = (place.open("data", 0), place.open("copy", 0));
    put(&mut one, 2);
    put(&mut other, 3);
    drop((one, other));
    assert_eq!((place.read("data", 0), place.read("copy", 0)), (vec![1, 2], vec![1, 3]));
    assert_eq!(place.states(0), [RingState::Wanted, RingState::Wanted]);
    place.open("data", 0).close().unwrap();
    place.open("copy", 0).close().unwrap();
    assert!(place.found(0).is_empty());
}

/// A copy of the directory of a job that was killed, or runs, names the ring of the other.
#[test]
fn a_copy_does_not_take_the_ring_of_what_it_is_a_copy_of() {
    let place = Place::new(1);
    let mut log = Some(place.open("data", 0));
    log.iter_mut().for_each(|log| put(log, 1));
    place.copy("data", "copy");
    for runs in [true, false] {
        if !runs {
            drop(log.take());
        }
        let error = place.try_open("copy", 0).err().unwrap().to_string();
        assert!(error.contains("of which this directory is a copy"), "{error}");
        assert!(error.contains(place.directory("data").to_str().unwrap()), "{error}");
    }
    assert_eq!(place.read("data", 0), [1]);
    // What it was a copy of is gone, or this is what was moved to another disk: it goes on from it.
    fs::remove_dir_all(place.root.join("data")).unwrap();
    assert_eq!(place.read("copy", 0), [1]);
    drop(place.open("copy", 0));
    assert_eq!(place.states(0), [RingState::Wanted], "and it is the copy's from then on");
}

/// A start that is killed leaves rings that nothing names. The next one takes them away, and no others.
#[test]
fn rings_that_were_never_begun_go_with_the_next_start() {
    let place = Place::new(1);
    put(&mut place.open("data", 0), 1);
    let prefix = ring_prefix(&place.options(0));
    let file = |name: &str| Path::new(STAGING_DIRECTORY).join(format!("pelton-{prefix}{name}"));
    fs::write(file("000000000000000a"), "").unwrap();
    drop(place.disk.staging(&format!("{prefix}000000000000000b"), 8_192, Lifetime::OnMachine).unwrap());
    let held = place.disk.staging(&format!("{prefix}000000000000000c"), 8_192, Lifetime::OnMachine).unwrap();
    let log = place.open("data", 0);
    assert_eq!(
        ring_names(&place.disk, &place.options(0)).len(),
        2,
        "its own, and one that somebody is making"
    );
    drop((log, held));
    assert_eq!(place.read("data", 0), [1]);
    drop(place.open("data", 0));
    assert_eq!(place.states(0), [RingState::Wanted]);
}

#[test]
fn what_is_in_use_or_wanted_is_not_removed_and_what_is_gone_is() {
    let place = Place::new(1);
    let mut log = place.open("data", 0);
    put(&mut log, 1);
    let ring = |state: RingState| {
        let found = place.found(0).remove(0);
        assert_eq!(found.state, state);
        assert!(found.bytes > LogOptions::SEGMENT_BYTES_MIN);
        found
    };
    let in_use = ring(RingState::InUse);
    assert_eq!(in_use.data, Some(fs::canonicalize(place.root.join("data")).unwrap()));
    for by_name in [false, true] {
        assert!(!remove_if_unwanted(&in_use, by_name).unwrap());
    }
    drop(log);
    let wanted = ring(RingState::Wanted);
    for by_name in [false, true] {
        assert!(!remove_if_unwanted(&wanted, by_name).unwrap());
    }
    // It came back before it was removed.
    fs::rename(place.root.join("data"), place.root.join("away")).unwrap();
    let gone = ring(RingState::Gone);
    fs::rename(place.root.join("away"), place.root.join("data")).unwrap();
    assert!(!remove_if_unwanted(&gone, true).unwrap(), "it is looked at again");
    // Another directory is in its place.
    fs::rename(place.root.join("data"), place.root.join("away")).unwrap();
    fs::create_dir(place.root.join("data")).unwrap();
    assert!(matches!(place.states(0)[..], [RingState::Unknown(_)]));
    assert!(!remove_if_unwanted(&gone, false).unwrap());
    fs::remove_dir_all(place.root.join("data")).unwrap();
    fs::remove_dir_all(place.root.join("away")).unwrap();
    assert!(remove_if_unwanted(&ring(RingState::Gone), false).unwrap());
    assert!(place.found(0).is_empty());
}
