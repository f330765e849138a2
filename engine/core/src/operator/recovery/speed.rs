//! What a checkpoint costs those who go on, and how fast one comes back. Run by hand, in release:
//! `cargo test --release -p pelton-core --lib speed -- --ignored --nocapture`.

extern crate std;

use super::*;
use crate::bounds::MOVE_ROWS_MAX;
use crate::checkpoint::snapshot::SnapshotOut;
use crate::exchange::hash::fold;
use crate::fault::OutOfMemory;
use crate::state::keyed::flood::{Chosen, SETS};
use crate::state::memory::{Memory, Region};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use std::eprintln;
use std::sync::Mutex;
use std::time::Instant;

type Pair = ((), ());

/// Blocks that are used again without page faults, which cost less with the huge pages of the runtime than here.
#[derive(Clone, Default)]
struct Warm(Arc<Mutex<BTreeMap<usize, Vec<Region>>>>);

struct Lent(Option<Region>, Warm);

impl Drop for Lent {
    fn drop(&mut self) {
        let region = self.0.take().unwrap();
        self.1.0.lock().unwrap().entry(region.len()).or_default().push(region);
    }
}

impl Memory for Warm {
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
        let bytes = bytes.next_multiple_of(4096);
        let found = self.0.lock().unwrap().entry(bytes).or_default().pop();
        let region = found.map_or_else(|| HeapMemory.map(bytes), Ok)?;
        let ptr = region.as_ptr();
        // SAFETY: the region is ours, of this length, and becomes zero and in use by nobody else.
        unsafe {
            core::ptr::write_bytes(ptr.as_ptr(), 0, bytes);
            Ok(Region::new(ptr, bytes, Box::new(Lent(Some(region), self.clone()))))
        }
    }
}

fn subject(memory: &Warm) -> Subject<impl Operator + use<>, Windowed<u64, (u64, u64)>> {
    let memory: Arc<dyn Memory> = Arc::new(memory.clone());
    let store = StateStore::new(memory.clone(), Slabs::new(memory.clone()));
    let at = OperatorContext { store, memory, ..at() };
    window_at::<u64, u64, _>(at, (count(), count()), tumbling(Duration::from_secs(1)))
}

/// `rounds` times as many records as there are keys, in random order, in frames of 1,024.
fn frames(keys: u64, rounds: u64) -> Vec<Written> {
    let record = |number| keyed(join(1, number) % keys, 0, ((), ()) as Pair);
    (0..keys * rounds / 1_024)
        .map(|frame| written(&(0..1_024).map(|at| record(frame * 1_024 + at)).collect::<Vec<_>>()))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn nanos_of(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64
}

/// A disk that is as fast as one likes.
struct Nowhere;

impl SnapshotOut for Nowhere {
    fn room(&self) -> bool {
        true
    }
    fn block(&mut self, _: BlockId, _: &[u8]) {}
    fn same(&mut self, _: BlockId) {}
}

/// Nanoseconds that frames took: all, the first, half of them at most, 99 of 100 at most.
fn report(what: &str, mut frames: Vec<f64>) {
    let (first, all) = (frames[0], frames.iter().sum::<f64>());
    frames.sort_by(f64::total_cmp);
    let at = |part: f64| frames[(frames.len() as f64 * part) as usize] / 1e3;
    let each = all / (frames.len() * 1_024) as f64;
    eprintln!(
        "{what:28} {each:7.2} ns a record; frames of 1,024: first {:.0}, p50 {:.0}, p99 {:.0} us",
        first / 1e3,
        at(0.5),
        at(0.99)
    );
}

#[test]
#[ignore = "measures"]
fn records_while_a_checkpoint_is_under_way() {
    let memory = Warm::default();
    let (keys, mut subject) = (1_000_000, subject(&memory));
    let all: Vec<_> = (0..keys).map(|key| keyed(key, 0, ((), ()) as Pair)).collect();
    all.chunks(1_024).for_each(|some| {
        tick(&mut subject, &written(some), 0, |_| {});
    });
    let frames = frames(keys, 4);
    let run = |subject: &mut Subject<_, _>, input: &Written| {
        nanos_of(|| Operator::frame(&mut subject.operator, 0, input.frame()).unwrap())
    };
    for _ in 0..3 {
        report("nobody watches", frames.iter().map(|input| run(&mut subject, input)).collect());
    }
    for round in 0..4 {
        let full = round < 2;
        let freeze = nanos_of(|| subject.store.freeze(full));
        let (mut adding, mut saving, mut done) = (Vec::new(), Vec::new(), false);
        let mut input = frames.iter().cycle();
        while !done {
            adding.push(run(&mut subject, input.next().unwrap()));
            saving.push(nanos_of(|| done = subject.store.save(SECTION, &mut Nowhere).unwrap()));
        }
        report(&alloc::format!("a checkpoint, full: {full}"), adding);
        saving.sort_by(f64::total_cmp);
        let (steps, half) = (saving.len(), saving[saving.len() / 2]);
        eprintln!("    frozen in {freeze:.0} ns, {steps} steps of {half:.0} ns");
        report("between two checkpoints", frames.iter().map(|input| run(&mut subject, input)).collect());
    }
    subject.store.freeze(true);
    report("no room to save at all", frames.iter().map(|input| run(&mut subject, input)).collect());
}

#[test]
#[ignore = "measures"]
fn a_restart() {
    let memory = Warm::default();
    let mut subject = subject(&memory);
    let all: Vec<_> = (0..5_000_000).map(|key| keyed(key, 0, ((), ()) as Pair)).collect();
    all.chunks(1_024).for_each(|some| {
        tick(&mut subject, &written(some), 0, |_| {});
    });
    let blocks = save_all(&subject.store, true);
    for _ in 0..3 {
        let mut again = self::subject(&memory);
        let took = nanos_of(|| restore(&mut again, [&blocks], &Owned::new(&alone(), ShardId(0))));
        eprintln!("5 M rows of {} bytes restored in {:.1} ms", size_of::<(u64, (u64, u64))>(), took / 1e6);
        let mut half = self::subject(&memory);
        let took = nanos_of(|| restore(&mut half, [&blocks], &Owned::new(&Router::new(64, 2), ShardId(0))));
        eprintln!("one half of them in {:.1} ms", took / 1e6);
    }
}

/// Keys whose hashes agree in many bits, beside ordinary ones: a million that enter, are updated and leave, the median of five rounds each.
#[test]
#[ignore = "measures"]
fn a_flood() {
    let memory = Warm::default();
    let keys = 1_000_000;
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2] / keys as f64
    };
    let mut ordinary = [0.0; 3];
    for (what, hash) in SETS {
        // In no order that has to do with the hash.
        let mut all: Vec<_> = (0..keys).map(|key| Chosen { hash: hash(key) }).collect();
        all.sort_unstable_by_key(|key| fold(fold(key.hash)));
        let all: Vec<_> = all.into_iter().map(|key| keyed(key, 0, ((), ()) as Pair)).collect();
        let frames: Vec<_> = all.chunks(1_024).map(written).collect();
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..5 {
            let store_memory: Arc<dyn Memory> = Arc::new(memory.clone());
            let store = StateStore::new(store_memory.clone(), Slabs::new(store_memory.clone()));
            let at = OperatorContext { store, memory: store_memory, ..at() };
            let mut subject =
                window_at::<u64, Chosen, _>(at, (count(), count()), tumbling(Duration::from_secs(1)));
            let mut add = || {
                nanos_of(|| {
                    frames.iter().for_each(|input| {
                        Operator::frame(&mut subject.operator, 0, input.frame()).unwrap();
                    });
                })
            };
            times[0].push(add());
            times[1].push(add());
            let watermark = EventTime(2_000_000_000);
            let tick = TickInfo { tick: Tick(1), time: watermark, watermark, inputs: &[watermark] };
            times[2].push(nanos_of(|| while !subject.operator.complete(&tick).unwrap() {}));
            assert_eq!(subject.rows.borrow().len() as u64, keys);
        }
        let each = times.map(median);
        if ordinary[0] == 0.0 {
            ordinary = each;
        }
        let ratio = |step: usize| each[step] / ordinary[step];
        eprintln!(
            "{what:56} enter {:5.1} ns ({:.2}), update {:5.1} ns ({:.2}), leave {:5.1} ns ({:.2})",
            each[0],
            ratio(0),
            each[1],
            ratio(1),
            each[2],
            ratio(2)
        );
    }
}

/// Parts of much state that move to another shard and back. Of each step the shortest of five rounds counts: the same work is done in all of
/// them, and what is longer is the machine's.
#[test]
#[ignore = "measures"]
fn a_move() {
    let memory = Warm::default();
    for keys in [1_000_000u64, 5_000_000] {
        let (mut from, mut to) = (subject(&memory), subject(&memory));
        let all: Vec<_> = (0..keys).map(|key| keyed(key, 0, ((), ()) as Pair)).collect();
        all.chunks(1_024).for_each(|some| {
            tick(&mut from, &written(some), 0, |_| {});
        });
        for ranges in [1u16, 4, 16] {
            let owners = |there: u16| (0..64).map(|range| if range < ranges { there } else { 0 }).collect();
            let (away, back): (Vec<u16>, Vec<u16>) = (owners(1), owners(0));
            let (away, back) = (Router::with_owners(away), Router::with_owners(back));
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            let mut moved = |from: &mut Subject<_, _>, to: &mut Subject<_, _>, router, shard, first| {
                let goes = Owned::new(router, ShardId(shard));
                let (mut step, mut number, mut is_done) = (Extraction::of(MOVE_ROWS_MAX), 0, false);
                let note = |times: &mut Vec<f64>, number: usize, took: f64| match times.get_mut(number) {
                    Some(time) => *time = time.min(took),
                    None => times.push(took),
                };
                while !is_done {
                    let took = nanos_of(|| is_done = from.store.extract(SECTION, &goes, &mut step).unwrap());
                    let blocks = step.take();
                    let restored = nanos_of(|| {
                        blocks
                            .iter()
                            .for_each(|(id, bytes)| to.store.restore_moved(*id, bytes, &goes).unwrap());
                    });
                    if first {
                        note(&mut given, number, took);
                        note(&mut taken, number, restored);
                    }
                    number += 1;
                }
                settle(from);
                settle(to);
            };
            for _ in 0..5 {
                moved(&mut from, &mut to, &away, 1, true);
                moved(&mut to, &mut from, &back, 0, false);
            }
            let told = |times: &Vec<f64>| {
                let (all, longest) = (times.iter().sum::<f64>(), times.iter().copied().fold(0.0, f64::max));
                alloc::format!("{:.2} ms, longest step {:.0} us", all / 1e6, longest / 1e3)
            };
            eprintln!(
                "{ranges:2} of 64 ranges of {keys} keys: {} steps; given in {}, taken in {}",
                given.len(),
                told(&given),
                told(&taken)
            );
        }
    }
}

/// Ten million keys of two shards that come back on two, and on three: bytes that all of them read, and how long each took.
#[test]
#[ignore = "measures"]
fn from_two_shards_to_others() {
    let memory = Warm::default();
    let two = Router::new(1_024, 2);
    let saved = [0, 1].map(|shard| {
        let mut subject = subject(&memory);
        let mine = (0..10_000_000u64).filter(|key| two.shard(key.hash()) == ShardId(shard));
        let all: Vec<_> = mine.map(|key| keyed(key, 0, ((), ()) as Pair)).collect();
        all.chunks(1_024).for_each(|some| {
            tick(&mut subject, &written(some), 0, |_| {});
        });
        save_all(&subject.store, true)
    });
    let there: usize = saved.iter().flatten().map(|(_, bytes)| bytes.len()).sum();
    let mut before = 0.0;
    for shards in [2, 3, 4, 1] {
        let router = Router::new(1_024, shards);
        let (mut read, mut longest, mut all) = (0, 0.0, 0.0);
        for shard in 0..shards {
            let owned = Owned::new(&router, ShardId(shard));
            let took = |read: &mut usize| {
                let again = subject(&memory);
                nanos_of(|| {
                    for (id, bytes) in saved.iter().flatten() {
                        if again.store.wants(*id, &owned) {
                            *read += bytes.len();
                            again.store.restore(*id, bytes, &owned).unwrap();
                        }
                    }
                    again.store.restored().unwrap();
                })
            };
            // The shortest of five.
            let best = (0..5).map(|_| took(&mut read)).fold(f64::MAX, f64::min);
            (longest, all) = (f64::max(longest, best), all + best);
        }
        if shards == 2 {
            before = all;
        }
        eprintln!(
            "from 2 shards to {shards}: {:.3} of the bytes are read; {:.1} ms of all shards, {:.3} of 2 to 2; the longest {:.1} ms",
            read as f64 / (5 * there) as f64,
            all / 1e6,
            all / before,
            longest / 1e6
        );
    }
}
