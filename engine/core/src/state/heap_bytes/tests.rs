//! What is counted is what there is, whatever happens to rows.

use super::*;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::Section;
use crate::exchange::hash::join;
use crate::exchange::router::Router;
use crate::ids::{EventTime, ShardId};
use crate::record::heap::owned;
use crate::record::key::Key;
use crate::record::rows::decode;
use crate::state::keyed::{KeyedTable, Stretch};
use crate::state::memory::HeapMemory;
use crate::state::memory::limited::Limited;
use crate::state::slab::Slabs;
use crate::state::store::{Extraction, StateStore};
use crate::state::timers::Timer;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn what_is_charged_follows_what_is_counted_in_pieces() {
    let limit = 100 * HEAP_STEP_BYTES;
    let memory = Limited::new(limit);
    let heap = HeapBytes::new(memory.clone());
    let (mut one, mut other) = (heap.share(), heap.share());
    for step in 0..90 {
        one.add(HEAP_STEP_BYTES / 2);
        other.add(HEAP_STEP_BYTES / 2 + usize::from(step % 2 == 0));
        heap.settle().unwrap();
        let charged = memory.in_use();
        assert!((heap.counted()..heap.counted() + 3 * HEAP_STEP_BYTES).contains(&charged));
    }
    one.add(10 * HEAP_STEP_BYTES);
    let refused = heap.settle().unwrap_err();
    assert_eq!((refused.in_use, refused.limit), (memory.in_use(), limit));
    one.sub(10 * HEAP_STEP_BYTES);
    assert_eq!(heap.settle(), Ok(()));
    drop(other);
    heap.settle().unwrap();
    assert!(memory.in_use() < one.bytes() + 3 * HEAP_STEP_BYTES);
    drop((one, heap));
    assert_eq!(memory.in_use(), 0);
}

fn text(number: u64) -> String {
    format!("{number}-{}", "x".repeat(number as usize % 60))
}

type Texts = KeyedTable<String, Vec<String>>;

/// What the rows of a table own; what is counted beyond that is the table's own lists.
fn of_rows(table: &Texts) -> usize {
    table.iter().map(|(key, value)| owned(key) + owned(value)).sum()
}

#[track_caller]
fn same(slabs: &Slabs, tables: &[&Texts]) {
    let frames: usize = tables.iter().map(|table| table.frame()).sum();
    assert_eq!(slabs.heap().counted(), tables.iter().map(|table| of_rows(table)).sum::<usize>() + frames);
}

/// Rows come one by one and in batches, change, go, are divided, saved, moved and cleared.
#[test]
fn a_table_counts_what_its_rows_own() {
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let (slabs, mut saver) = (Slabs::new(memory.clone()), Saver::new(&memory));
    let mut table = Texts::new(slabs.clone());
    for round in 0..60u64 {
        let keys: Vec<String> = (0..64).map(|n| text(join(round, n) % 5_000)).collect();
        let hashes: Vec<u64> = keys.iter().map(Key::hash).collect();
        let make = |n: usize| (keys[n].clone(), alloc::vec![text(n as u64)]);
        table
            .upsert_batch(
                &hashes,
                &mut saver,
                |n, key| *key == keys[n],
                make,
                |n, list, made| {
                    if !made {
                        list.push(text(n as u64 + round));
                    }
                },
            )
            .unwrap();
        for n in 0..200 {
            let key = text(join(round + 1_000, n) % 5_000);
            match n % 3 {
                0 => drop(table.remove(key.hash(), &mut saver, |k| *k == key).unwrap()),
                _ => {
                    let place = table
                        .place(key.hash(), &mut saver, |k| *k == key, || (key.clone(), Vec::new()))
                        .unwrap();
                    table.change(
                        place,
                        |list| if n % 5 == 0 { *list = Vec::new() } else { list.push(text(n)) },
                    );
                }
            }
        }
        same(&slabs, &[&table]);
        if round == 30 {
            saver.freeze(true, false);
            table.freeze(&mut saver);
            saver.set_header(Notes::default());
        }
    }
    assert!(table.leaves() > 1 && of_rows(&table) > 100_000);
    // Half of the keys go to another shard, whose table is on the same slabs here.
    let router = Router::new(64, 2);
    let (going, mut moved, mut next) = (Owned::new(&router, ShardId(1)), Vec::new(), Some(0));
    while let Some(leaf) = next {
        next = table
            .extract(leaf, &going, &mut saver, &mut |chunk, _, bytes| moved.push((chunk, bytes)))
            .unwrap();
        same(&slabs, &[&table]);
    }
    let mut other = Texts::new(slabs.clone());
    for (chunk, bytes) in moved {
        let stretch = Stretch::of_chunk(chunk).unwrap();
        other.restore(stretch, decode(&bytes).unwrap(), &going, &mut saver).unwrap();
        same(&slabs, &[&table, &other]);
    }
    assert!(!other.is_empty());
    table.forget();
    for keep in [true, false] {
        while !table.clear_some(&mut 1, keep) {
            assert!(slabs.heap().counted() >= of_rows(&other));
        }
        same(&slabs, &[&table, &other]);
    }
    assert_eq!(table.frame(), 0, "what is not kept goes back whole");
    drop(other);
    drop(table);
    assert_eq!(slabs.heap().counted(), 0);
}

/// Rows that wait and timers come, change hands and go.
#[test]
fn bags_and_lists_count_what_their_rows_own() {
    let slabs = Slabs::new(Arc::new(HeapMemory));
    let stores: Vec<_> = (0..2).map(|_| StateStore::new(Arc::new(HeapMemory), slabs.clone())).collect();
    let bags: Vec<_> = stores.iter().map(|store| store.bag::<String>()).collect();
    let lists: Vec<_> = stores.iter().map(|store| store.ordered::<Timer<String>>()).collect();
    let same = || {
        let rows = |bag: &crate::state::bag::Bag<String>| {
            bag.iter().map(|(_, waiting)| owned(&waiting.row)).sum::<usize>()
        };
        let sum: usize = bags.iter().map(|bag| rows(&bag.borrow())).sum();
        let timers: usize = lists.iter().map(|list| list.borrow().iter().map(owned).sum::<usize>()).sum();
        assert_eq!(slabs.heap().counted(), sum + timers);
    };
    let timer = |n: u64| Timer { at: EventTime(n as i64 / 7), key: text(n), tag: n };
    let mut places = Vec::new();
    for n in 0..5_000 {
        places.push(bags[0].borrow_mut().add(text(n).hash(), text(n)).unwrap());
        assert!(lists[0].borrow_mut().insert(timer(n)).unwrap());
        assert!(!lists[0].borrow_mut().insert(timer(n)).unwrap(), "and is counted once");
    }
    same();
    for n in (0..5_000).step_by(3) {
        drop(bags[0].borrow_mut().take(places[n as usize]).unwrap());
        assert!(lists[0].borrow_mut().remove(&timer(n)).unwrap());
    }
    (0..500).for_each(|_| drop(lists[0].borrow_mut().pop_first().unwrap()));
    same();
    let router = Router::new(64, 2);
    let going = Owned::new(&router, ShardId(1));
    let first = Section::operator(1, 0);
    let (mut step, mut is_done) = (Extraction::of(200), false);
    while !is_done {
        is_done = stores[0].extract(first, &going, &mut step).unwrap();
        for (id, bytes) in step.take() {
            stores[1].restore_moved(id, &bytes, &going).unwrap();
        }
        same();
    }
    while !stores[1].settle().unwrap() {}
    same();
    assert!(bags[1].borrow().len() > 500 && lists[1].borrow().len() > 500);
    drop((bags, lists, stores));
    assert_eq!(slabs.heap().counted(), 0);
}

/// A type that is wrong about itself is as good as forgotten when its rows are.
#[test]
fn figures_that_change_by_themselves_do_not_stay() {
    let heap = HeapBytes::new(Arc::new(HeapMemory));
    let (mut one, mut other) = (heap.share(), heap.share());
    other.add(7);
    one.add(10);
    one.sub(30);
    assert_eq!((one.bytes(), heap.counted()), (0, 7));
    one.set(5);
    assert_eq!(heap.counted(), 12);
    drop((one, other));
    assert_eq!(heap.counted(), 0);
}

/// Values with more room than they use: what was counted of them is taken off as they move, and those that stay are as they were.
#[test]
fn spare_room_of_values_is_counted_until_they_go() {
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let slabs = Slabs::new(memory);
    let stores: Vec<_> = (0..2).map(|_| StateStore::new(Arc::new(HeapMemory), slabs.clone())).collect();
    let lists: Vec<_> = stores.iter().map(|store| store.ordered::<Timer<String>>()).collect();
    for n in 0..3_000u64 {
        let mut key = String::with_capacity(500);
        key.push_str(&format!("{n}"));
        lists[0].borrow_mut().insert(Timer { at: EventTime(n as i64), key, tag: n }).unwrap();
    }
    let counted = |list: usize| lists[list].borrow().iter().map(owned).sum::<usize>();
    assert!(counted(0) > 3_000 * 500);
    let router = Router::new(64, 2);
    let going = Owned::new(&router, ShardId(1));
    let (mut step, mut is_done) = (Extraction::of(100), false);
    while !is_done {
        is_done = stores[0].extract(Section::operator(1, 0), &going, &mut step).unwrap();
        step.take();
        assert_eq!(slabs.heap().counted(), counted(0));
    }
    assert!((500_000..1_000_000).contains(&counted(0)), "half of them stay, with their room: {}", counted(0));
}
