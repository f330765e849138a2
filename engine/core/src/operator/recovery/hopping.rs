//! Windows of many panes share what these come to: rows are those of the definition, whatever comes late, moves or is refused, and a window that
//! closes costs what it has in rows, however many its panes are.

extern crate std;

use super::*;
use crate::aggregate::{avg, min};
use crate::bounds::FIRE_ROWS_MAX;
use crate::fault::OutOfMemory;
use crate::state::memory::Region;
use crate::window::Window;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::eprintln;

/// Size and slide of windows: even and uneven, of one pane and of very many.
const GEOMETRIES: [(i64, i64); 9] =
    [(60, 60), (60, 10), (60, 7), (600, 7), (600, 10), (150, 1), (1_000, 999), (997, 31), (1_000, 6)];

const TICKS: usize = 60;

/// Every record of every window that is open.
struct Twin {
    size: i64,
    slide: i64,
    closed: i64,
    open: BTreeMap<(i64, u64), Vec<f64>>,
}

/// Window end, key, records, and the bits of the sum, the least, the greatest and the mean.
type Row = (i64, u64, u64, [u64; 4]);

impl Twin {
    fn new((size, slide): (i64, i64)) -> Self {
        Twin { size, slide, closed: i64::MIN, open: BTreeMap::new() }
    }

    fn add(&mut self, key: u64, at: i64, value: f64) {
        let mut end = at.div_euclid(self.slide) * self.slide + self.size;
        while end > at && end > self.closed {
            self.open.entry((end, key)).or_default().push(value);
            end -= self.slide;
        }
    }

    fn close(&mut self, watermark: i64) -> Vec<Row> {
        self.closed = self.closed.max(watermark);
        let later = self.open.split_off(&(watermark.saturating_add(1), 0));
        let row = |((end, key), values): ((i64, u64), Vec<f64>)| {
            // Multiples of 1/8 below 2^20: sums of these are exact.
            let sum: f64 = values.iter().sum();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let floats = [sum, least, greatest, sum / values.len() as f64];
            (end, key, values.len() as u64, floats.map(f64::to_bits))
        };
        core::mem::replace(&mut self.open, later).into_iter().map(row).collect()
    }
}

type Values = (u64, (f64, f64, f64, f64));

fn windowing(at: OperatorContext, windows: Windows) -> Subject<impl Operator + use<>, Windowed<u64, Values>> {
    let of = |n: &f64| *n;
    window_at::<f64, u64, _>(at, (count(), (sum(of), min(of), max(of), avg(of))), windows)
}

/// What the aggregates take of a record.
type Items = ((), (f64, f64, f64, f64));

fn record(key: u64, at: i64, value: f64) -> (u64, Keyed<u64, Items>) {
    keyed(key, at, ((), (value, value, value, value)))
}

fn row((at, row): (i64, Windowed<u64, Values>)) -> Row {
    let Windowed { window: Window { end, .. }, key, value: (records, (sum, least, greatest, mean)) } = row;
    assert_eq!(at, end.0 - 1);
    (end.0, key, records, [sum, least, greatest, mean].map(f64::to_bits))
}

fn windows((size, slide): (i64, i64)) -> Windows {
    hopping(nanos(size as u64), nanos(slide as u64))
}

/// What happens between two ticks.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    Nothing,
    /// Some key groups leave and come back.
    Moves,
    /// All is saved, and another goes on.
    Restores,
}

/// Ticks of random records, some of them late for some of their windows, with gaps now and then; memory is what `at` has.
fn agrees_with_the_definition(
    seed: u64,
    geometry: (i64, i64),
    keys: u64,
    between: Between,
    at: impl Fn() -> OperatorContext,
) {
    let mut draws = 0;
    let mut chance = |below: u64| {
        draws += 1;
        join(seed, draws) % below
    };
    let (mut subject, mut twin) = (windowing(at(), windows(geometry)), Twin::new(geometry));
    let (mut now, mut watermark, mut rows) = (-2_000i64, i64::MIN, 0);
    for number in 0..TICKS {
        // Whole frames are of one pane now and then: these are added in another way.
        let spread = if chance(3) == 0 { 1 } else { geometry.0 as u64 };
        let records: Vec<_> = (0..chance(60))
            .map(|_| (chance(keys), now - chance(spread) as i64, chance(1 << 20) as f64 / 8.0 - 10_000.0))
            .collect();
        records.iter().for_each(|&(key, at, value)| twin.add(key, at, value));
        let leap = if chance(30) == 0 { 3 * geometry.0 as u64 } else { 40 };
        now += chance(leap) as i64;
        watermark = if number == TICKS - 1 { i64::MAX } else { watermark.max(now - 20) };
        let input = written(&records.iter().map(|&(k, at, v)| record(k, at, v)).collect::<Vec<_>>());
        let found: Vec<Row> = tick(&mut subject, &input, watermark, |_| {}).into_iter().map(row).collect();
        rows += found.len();
        assert!(found == twin.close(watermark), "seed {seed}, {geometry:?}, {keys} keys: tick {number}");
        match between {
            Between::Moves if chance(8) == 0 => {
                let (thirds, all) = (in_turn(3), alone());
                let moved = extract(&mut subject, &Owned::new(&thirds, ShardId(chance(3) as u16)));
                restore_moved(&mut subject, &moved, &Owned::new(&all, ShardId(0)));
            }
            Between::Restores if chance(8) == 0 => {
                let blocks = save_all(&subject.store, true);
                let digest = subject.store.digest();
                subject = windowing(at(), windows(geometry));
                restore(&mut subject, [&blocks], &Owned::new(&alone(), ShardId(0)));
                assert_eq!(subject.store.digest(), digest, "what is shared is no part of the state");
            }
            _ => {}
        }
    }
    assert!(rows > 0);
}

#[test]
fn rows_are_those_of_the_definition_whatever_panes_share() {
    for (seed, geometry) in (0..).zip(GEOMETRIES) {
        for keys in [2, 90] {
            for between in [Between::Nothing, Between::Moves, Between::Restores] {
                agrees_with_the_definition(seed, geometry, keys, between, at);
            }
        }
    }
}

/// Counts what is merged, wherever.
#[derive(Clone)]
struct Merges(Arc<AtomicU64>);

impl Aggregate<u64> for Merges {
    type Item = u64;
    type Acc = u64;
    type Out = u64;

    fn item(&self, number: &u64) -> u64 {
        *number
    }
    fn empty(&self) -> u64 {
        0
    }
    fn add(&self, acc: &mut u64, item: u64) {
        *acc += item;
    }
    fn merge(&self, acc: &mut u64, other: &u64) {
        self.0.fetch_add(1, Relaxed);
        *acc += *other;
    }
    fn finish(&self, acc: &u64) -> u64 {
        *acc
    }
}

/// Windows of `panes` panes each, in each of which every key has a record; with `late`, one more for a pane that closed windows have had.
/// Returns what a row costs: merges, and rows' worth of steps.
fn cost_of_a_row(panes: i64, keys: u64, late: bool) -> (f64, f64) {
    let merges = Arc::new(AtomicU64::new(0));
    let windows = hopping(nanos(panes as u64 * 10), nanos(10));
    let mut subject = window::<u64, u64, _>(Merges(merges.clone()), windows);
    let (mut rows, mut steps) = (0, 0usize);
    for pane in 0..4 * panes {
        let mut records: Vec<_> = (0..keys).map(|key| keyed(key, pane * 10, 1u64)).collect();
        records.extend(late.then(|| keyed(0, (pane - panes / 2) * 10, 0u64)));
        // The first window that is whole has begun to share, and what comes before is not counted.
        if pane == 2 * panes {
            merges.store(0, Relaxed);
            (rows, steps) = (0, 0);
        }
        let mut taken = 0;
        let found = tick(&mut subject, &written(&records), pane * 10, |_| taken += 1);
        // The first call is before any step, and what is left of the last step's budget does not show.
        steps += taken - 1;
        assert!(pane < panes || found.len() as u64 == keys);
        assert!(found.iter().skip(usize::from(late)).all(|(_, row)| row.value == pane.min(panes) as u64));
        rows += found.len();
    }
    let of_a_row = |count: f64| count / rows as f64;
    (of_a_row(merges.load(Relaxed) as f64), of_a_row((steps * FIRE_ROWS_MAX) as f64))
}

#[test]
fn a_row_costs_no_more_than_a_logarithm_of_the_panes() {
    for panes in [1, 5, 8, 10, 16, 60, 250, 1_000] {
        for late in [false, true] {
            // Enough that a window takes several steps, where that is counted.
            let keys = if panes <= 60 { 2_000 } else { 50 };
            let (merges, steps) = cost_of_a_row(panes, keys, late);
            // Half of the halvings, what is recent, and one for joining the two; as many as there are panes where these are few.
            let most = if panes <= 6 { panes as f64 - 1.0 } else { (panes as f64).log2() / 2.0 + 2.0 };
            eprintln!("{panes} panes, late {late}: {merges:.2} merges of {most:.2}, {steps:.1} rows' worth");
            assert!(merges <= most + 0.3, "{panes} panes, late {late}: {merges} merges for a row");
            assert!(steps <= 2.0 * most + 12.0, "{panes} panes, late {late}: {steps} rows' worth for a row");
        }
    }
}

/// Refuses the next request if it is told to.
#[derive(Default)]
struct Refusing {
    next: AtomicBool,
    refused: AtomicU64,
}

impl Memory for Refusing {
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
        if self.next.swap(false, Relaxed) {
            self.refused.fetch_add(1, Relaxed);
            return Err(OutOfMemory { asked: bytes, in_use: 0, limit: 0 });
        }
        HeapMemory.map(bytes)
    }
}

#[test]
fn windows_close_where_there_is_no_memory_for_what_they_share() {
    let refusing = Arc::new(Refusing::default());
    let memory: Arc<dyn Memory> = refusing.clone();
    let store = StateStore::new(memory.clone(), Slabs::new(memory.clone()));
    let at = OperatorContext { store, memory, ..at() };
    let geometry = (160, 10);
    let (mut subject, mut twin) = (windowing(at, windows(geometry)), Twin::new(geometry));
    for pane in 0..80 {
        // Windows have begun to share when there are more keys, all at once, so that what they share has to grow.
        let keys = if pane < 30 { 300 } else { 3_000 };
        let records: Vec<_> = (0..keys).map(|key| record(key, pane * 10, key as f64)).collect();
        (0..keys).for_each(|key| twin.add(key, pane * 10, key as f64));
        let refuses = pane >= 30;
        let arm = |_: &StateStore| refusing.next.store(refuses, Relaxed);
        let found: Vec<Row> =
            tick_once(&mut subject, &written(&records), pane * 10, arm).into_iter().map(row).collect();
        refusing.next.store(false, Relaxed);
        assert!(found == twin.close(pane * 10), "pane {pane}");
    }
    assert!(refusing.refused.load(Relaxed) > 0, "nothing was refused");
}

/// As [`tick`], with `before` before the tick is completed.
fn tick_once<O: Operator, R: Clone>(
    subject: &mut Subject<O, R>,
    input: &Written,
    watermark: i64,
    before: impl Fn(&StateStore),
) -> Vec<(i64, R)> {
    let mut times = 0;
    tick(subject, input, watermark, |store| {
        if times == 0 {
            before(store);
        }
        times += 1;
    })
}
