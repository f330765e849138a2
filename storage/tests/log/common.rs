//! Entries that can be told apart, and a log that is driven as a shard drives it.

use pelton_storage::disk::{Disk, How};
use pelton_storage::staging::Staging;
use pelton_storage::{Durability, Kind, Log, LogOptions, LogReader, StorageError};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const DIRECTORY: &str = "/data/log/g0000/shard-0000";

/// Splitmix64: chance for tests.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % end
    }
}

/// Seeds; `PELTON_LOG_SEEDS=FROM..TO` names others.
pub fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("PELTON_LOG_SEEDS") else { return usual };
    let (from, to) = text.split_once("..").expect("PELTON_LOG_SEEDS is FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}

/// An entry, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub tick: u64,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

pub fn options(durability: Durability) -> LogOptions {
    LogOptions {
        durability,
        segment_bytes: LogOptions::SEGMENT_BYTES_MIN,
        id: 0xA11CE,
        generation: 0,
        shard: 0,
    }
}

/// What the names of the rings of that log begin with.
pub fn ring_prefix(options: &LogOptions) -> String {
    format!("{:032x}-g{:04}-shard-{:04}-", options.id, options.generation, options.shard)
}

/// The names of its rings that outlive the process: one, if there is any.
pub fn ring_names(disk: &Arc<dyn Disk>, options: &LogOptions) -> Vec<String> {
    disk.stagings(&ring_prefix(options)).unwrap()
}

/// The ring that outlives the process, which must be there.
pub fn ring(disk: &Arc<dyn Disk>, options: &LogOptions) -> Staging {
    let names = ring_names(disk, options);
    let [name] = &names[..] else { panic!("{names:?} are not one ring") };
    disk.find_staging(name, None).unwrap().unwrap()
}

/// What stands in the log's mark.
pub fn mark(disk: &Arc<dyn Disk>) -> Vec<u8> {
    let path = Path::new(DIRECTORY).with_extension("durable");
    (*disk.open(&path, How::Read).unwrap().map().unwrap()).as_ref().to_vec()
}

/// Puts the mark back that was there before the last group was through: the group is one that was being written.
pub fn put_mark(disk: &Arc<dyn Disk>, mark: &[u8]) {
    let file = disk.open(&Path::new(DIRECTORY).with_extension("durable"), How::Write).unwrap();
    file.write_at(mark, 0).unwrap();
    file.sync().unwrap();
}

/// Whether there is one.
pub fn has_ring(disk: &Arc<dyn Disk>, options: &LogOptions) -> bool {
    let names = ring_names(disk, options);
    assert!(names.len() <= 1, "{names:?}");
    !names.is_empty()
}

/// Removes it, as somebody does who tidies up.
pub fn remove_ring(disk: &Arc<dyn Disk>, options: &LogOptions) {
    ring_names(disk, options).iter().for_each(|name| disk.remove_staging(name).unwrap());
}

/// An entry for `tick` that no other has: `salt` is in it.
pub fn make(chance: &mut Chance, tick: u64, salt: u64, largest: usize) -> Owned {
    let kind = [Kind::Tick, Kind::Control, Kind::Hash][chance.below(3) as usize];
    let len = match chance.below(10) {
        0 => 0,
        1 => chance.below(largest as u64 + 1) as usize,
        _ => chance.below(300) as usize,
    };
    // Zeros are the hardest to tell from what was never written.
    let zeros = chance.below(4) == 0;
    let mut payload: Vec<u8> = (0..len).map(|_| if zeros { 0 } else { chance.below(256) as u8 }).collect();
    if len >= 8 && !zeros {
        payload[..8].copy_from_slice(&salt.to_le_bytes());
    }
    Owned { tick, kind, payload }
}

pub fn read(disk: &Arc<dyn Disk>, options: &LogOptions, from: u64) -> Result<Vec<Owned>, StorageError> {
    read_in(disk, Path::new(DIRECTORY), options, from)
}

pub fn read_in(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    options: &LogOptions,
    from: u64,
) -> Result<Vec<Owned>, StorageError> {
    let mut reader = LogReader::open(disk, directory, options, from)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        assert_eq!(entry.payload.as_ptr().align_offset(16), 0);
        entries.push(Owned { tick: entry.tick, kind: entry.kind, payload: entry.payload.to_vec() });
    }
    Ok(entries)
}

/// Appends, taking turns until there is room.
pub fn append(log: &mut Log, entry: &Owned) -> Result<(), StorageError> {
    make_room(log, entry)?;
    log.append(entry.tick, entry.kind, &entry.payload);
    Ok(())
}

/// Takes turns until there is room.
pub fn make_room(log: &mut Log, entry: &Owned) -> Result<(), StorageError> {
    let mut turns = 0;
    while log.room() < entry.payload.len().max(1) {
        log.turn(0)?;
        log.wait(Duration::from_millis(1))?;
        turns += 1;
        assert!(turns < 200_000, "there is never room for {} bytes: {}", entry.payload.len(), log.room());
    }
    Ok(())
}
