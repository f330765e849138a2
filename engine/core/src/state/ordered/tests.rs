use super::*;
use crate::bounds::MOVE_ROWS_MAX;
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::Section;
use crate::checkpoint::snapshot::held::{Blocks, Held};
use crate::exchange::hash::{fold, join};
use crate::exchange::router::Router;
use crate::ids::ShardId;
use crate::state::heap_bytes::HeapBytes;
use crate::state::memory::HeapMemory;
use crate::state::store::{Extraction, State};
use crate::state::timers::Timer;
use crate::{EventTime, record::struct_record};
use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt::Debug;
use rkyv::{Archive, Deserialize, Serialize};

const SECTION: Section = Section::operator(1, 0);

/// An entry that is its own order.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Number {
    at: u64,
    key: u64,
}
struct_record!(Number { at: u64, key: u64 });

impl Ordering for Number {
    fn hash(&self) -> u64 {
        fold(self.key)
    }
}

fn number(chance: u64) -> Number {
    Number { at: chance % 5_000, key: (chance >> 32) % 40 }
}

fn text(chance: u64) -> Timer<String> {
    let key = alloc::format!("key {}", (chance >> 32) % 300);
    Timer { at: EventTime(chance as i64 % 1_000), key, tag: chance >> 60 }
}

fn ordered<E: Ordering>() -> Ordered<E> {
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    Ordered::new(&memory, &HeapBytes::new(memory.clone()))
}

fn all<E: Ordering>(ordered: &Ordered<E>) -> BTreeSet<E> {
    ordered.iter().cloned().collect()
}

fn is_sound<E: Ordering>(ordered: &Ordered<E>) {
    for part in &ordered.parts {
        assert!(part.iter().is_sorted_by(|a, b| a < b));
        assert!(part.order.len() + part.free.len() == part.pages.len());
        assert!((0..part.order.len()).all(|at| !part.page(at).is_empty()));
    }
    assert_eq!(ordered.iter().count(), ordered.len());
}

/// Against a set that is copied whole at each freeze, in chains of checkpoints, some given up; what is saved is restored whole and in thirds,
/// moved away and back.
fn check<E: Ordering + Debug>(make: fn(u64) -> E, seed: u64) {
    let (mut subject, mut twin) = (ordered::<E>(), BTreeSet::new());
    let (mut draws, mut saving, mut same) = (0, None, 0);
    let mut chance = |below: u64| {
        draws += 1;
        join(seed, draws) % below
    };
    let (mut out, mut before) = (Held::default(), Blocks::new());
    let mut checkpoints = 0;
    for _ in 0..300 {
        let (mostly, rounds) = (chance(3), chance(400));
        for _ in 0..rounds {
            let entry = make(chance(u64::MAX));
            match (chance(4), mostly) {
                (0, _) | (1, 0) => assert_eq!(subject.remove(&entry).unwrap(), twin.remove(&entry)),
                (1 | 2, 1) => assert_eq!(subject.pop_first().unwrap(), twin.pop_first()),
                _ => assert_eq!(subject.insert(entry.clone()).unwrap(), twin.insert(entry)),
            }
            assert_eq!(subject.first(), twin.first());
        }
        if saving.is_some() && chance(3) > 0 {
            out.room = chance(40) as usize;
            if subject.save(SECTION, &mut out).unwrap() {
                checkpoints += 1;
                same += out.same;
                let frozen: BTreeSet<E> = saving.take().unwrap();
                check_restored(&out.blocks, &frozen);
                before = core::mem::take(&mut out.blocks);
            }
        }
        if chance(4) == 0 && (saving.is_none() || chance(9) == 0) {
            let last_counts = saving.is_none() && checkpoints > 0;
            subject.freeze(checkpoints == 0 || chance(6) == 0, last_counts);
            out = Held { before: before.clone(), ..Held::default() };
            saving = Some(twin.clone());
        }
        if chance(10) == 0 {
            let thirds = Router::with_owners((0..1_024).map(|group| group % 3).collect());
            let (mut moved, mut step, mut is_done) =
                (Vec::new(), Extraction::of(1 + chance(400) as usize), false);
            while !is_done {
                is_done = subject.extract(&Owned::new(&thirds, ShardId(1)), &mut step).unwrap();
                let blocks = step.take();
                assert!(blocks.len() <= MOVE_ROWS_MAX, "a step is bounded");
                moved.extend(blocks);
            }
            assert!(all(&subject).iter().all(|entry| thirds.shard(entry.hash()) != ShardId(1)));
            let alone = Router::with_owners([0].into());
            for (id, bytes) in moved.iter().filter(|(id, _)| id.table > 0) {
                subject.restore(*id, bytes, &Owned::new(&alone, ShardId(0))).unwrap();
            }
        }
        is_sound(&subject);
        assert_eq!(all(&subject), twin);
    }
    assert!(checkpoints > 5 && same > 0, "seed {seed}: {checkpoints} checkpoints, {same} blocks the same");
}

fn check_restored<E: Ordering + Debug>(blocks: &Blocks, frozen: &BTreeSet<E>) {
    for shards in [1, 3] {
        let router = Router::with_owners((0..1_024).map(|group| group % shards).collect());
        let mut found = BTreeSet::new();
        for shard in 0..shards {
            let mut again = ordered::<E>();
            let owned = Owned::new(&router, ShardId(shard));
            for (id, bytes) in blocks.iter().filter(|(id, _)| id.table > 0) {
                if !again.wants(*id, &owned) {
                    continue;
                }
                again.restore(*id, bytes, &owned).unwrap();
            }
            is_sound(&again);
            assert_eq!(again.first().cloned(), all(&again).pop_first());
            found.extend(all(&again));
        }
        assert_eq!(found, *frozen);
    }
}

#[test]
fn agrees_with_a_set_through_checkpoints_and_moves() {
    for seed in 0..6 {
        check(number, seed);
        check(text, seed);
    }
}

/// All of one key, in order, in the order of a constant delay: pages are nearly full.
#[test]
fn a_million_of_one_key_take_little_more_than_their_own_room() {
    let mut ordered = ordered::<Number>();
    for at in 0..1_000_000 {
        assert!(ordered.insert(Number { at, key: 7 }).unwrap());
    }
    let pages: usize = ordered.parts.iter().map(|part| part.order.len()).sum();
    assert!(pages <= 1_000_000 * 10 / 8 / Ordered::<Number>::PAGE, "{pages} pages");
    for at in 0..1_000_000 {
        assert_eq!(ordered.pop_first().unwrap(), Some(Number { at, key: 7 }));
    }
    assert!(ordered.is_empty() && ordered.pop_first().unwrap().is_none());
}

#[test]
fn what_is_of_no_part_is_refused() {
    let alone = Router::with_owners([0].into());
    let owned = Owned::new(&alone, ShardId(0));
    let block = |table| crate::checkpoint::snapshot::BlockId { section: SECTION, table, chunk: 0 };
    let mut subject = ordered::<Number>();
    assert!(subject.wants(block(65), &owned) && subject.wants(block(u32::MAX), &owned));
    assert!(subject.restore(block(65), &[], &owned).is_err());
    assert!(subject.restore(block(3), &[1, 2, 3], &owned).is_err());
}
