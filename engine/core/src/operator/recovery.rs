//! The stateful operators, saved while they go on, restored, split, merged and taken apart. What comes back
//! must be what was frozen, and must go on as the original did.

mod hopping;
mod speed;

use crate::aggregate::{Aggregate, count, max, max_by, sum};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::held::{Blocks, Held};
use crate::checkpoint::snapshot::{BlockId, Section};
use crate::exchange::frame::{EntryHeader, Frame, RowFormat};
use crate::exchange::hash::join;
use crate::exchange::partition::Keyed;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EventTime, ShardId, Tick};
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{
    DeduplicateOperator, Expiring, FiredTimer, JoinKind, Joined, KeyContext, MapState, Operator,
    ProcessFunction, ProcessOperator, Sessions, SortOperator, StateOf, TickInfo, Ttl, ValueState,
    WindowJoinOperator, WindowOperator,
};
use crate::record::key::Key;
use crate::record::{Record, is_fixed, with_archived};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::memory::{HeapMemory, Memory};
use crate::state::slab::Slabs;
use crate::state::store::{Extraction, MovedBlocks, StateStore};
use crate::state::timers::TimerKind;
use crate::window::{Windowed, Windows, hopping, tumbling};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

const SECTION: Section = Section::operator(1, 0);
const GROUPS: u16 = 1_024;

/// Keeps what an operator lets out.
struct Out<T>(Rc<RefCell<Vec<(i64, T)>>>);

impl<T: 'static> Pipe for Out<T> {
    fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
}

impl<T: 'static> Push<T> for Out<T> {
    fn push(&mut self, at: EventTime, record: T) {
        self.0.borrow_mut().push((at.0, record));
    }
}

fn at() -> OperatorContext {
    let context = Rc::new(StageContext::alone());
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let store = StateStore::new(memory.clone(), Slabs::new(memory.clone()));
    OperatorContext { context, store, memory, may_wait: false }
}

/// An operator, its state, and what it let out, late records last.
struct Subject<O, R> {
    operator: O,
    store: Rc<StateStore>,
    rows: Rc<RefCell<Vec<(i64, R)>>>,
}

/// Key groups dealt out to so many shards in turn: no two neighbours live together.
fn in_turn(shards: u16) -> Router {
    Router::with_owners((0..GROUPS).map(|group| group % shards).collect())
}

/// One shard that has all.
fn alone() -> Router {
    Router::with_owners([0].into())
}

/// Records as a frame has them, and the port that it comes in through.
struct Written {
    port: usize,
    format: RowFormat,
    words: Vec<u128>,
    count: usize,
    /// The watermark that they are behind, if they are.
    overdue: EventTime,
}

impl Written {
    fn frame(&self) -> Frame<'_> {
        Frame::over(self.format, &self.words, self.count).behind(self.overdue)
    }
}

fn written<R: Record>(records: &[(u64, R)]) -> Written {
    let mut bytes = Vec::new();
    for (hash, record) in records {
        with_archived(record, |archived| {
            if !is_fixed::<R>() {
                let header = EntryHeader { len: archived.len() as u32, zero: 0, hash: *hash };
                bytes.extend_from_slice(&header.len.to_le_bytes());
                bytes.extend_from_slice(&header.zero.to_le_bytes());
                bytes.extend_from_slice(&header.hash.to_le_bytes());
            }
            bytes.extend_from_slice(archived);
            if !is_fixed::<R>() {
                bytes.resize(bytes.len().next_multiple_of(16), 0);
            }
        })
        .unwrap();
    }
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let word = |bytes: &[u8]| u128::from_ne_bytes(bytes.try_into().unwrap());
    let words = bytes.chunks(16).map(word).collect();
    let format = RowFormat::of::<R>();
    Written { port: 0, format, words, count: records.len(), overdue: EventTime::MIN }
}

/// A tick, and what came of it.
struct Played<R> {
    input: Written,
    watermark: i64,
    digest: u64,
    rows: Vec<(i64, R)>,
}

fn tick<O: Operator, R: Clone>(
    subject: &mut Subject<O, R>,
    input: &Written,
    watermark: i64,
    mut between: impl FnMut(&StateStore),
) -> Vec<(i64, R)> {
    subject.operator.frame(input.port, input.frame()).unwrap();
    between(&subject.store);
    let watermark = EventTime(watermark);
    let inputs = alloc::vec![watermark; 2];
    let tick = TickInfo { tick: Tick(1), time: watermark, watermark, inputs: &inputs };
    while !subject.operator.complete(&tick).unwrap() {
        between(&subject.store);
    }
    subject.rows.borrow_mut().drain(..).collect()
}

fn restore<'a, O: Operator, R>(
    subject: &mut Subject<O, R>,
    shards: impl IntoIterator<Item = &'a Blocks>,
    owned: &Owned<'_>,
) {
    for blocks in shards {
        for (id, bytes) in blocks.iter().filter(|(id, _)| subject.store.wants(**id, owned)) {
            subject.store.restore(*id, bytes, owned).unwrap();
        }
    }
    subject.store.restored().unwrap();
    while !subject.operator.restored().unwrap() {}
}

/// As [`restore`], of rows that moved.
fn restore_moved<O: Operator, R>(subject: &mut Subject<O, R>, blocks: &MovedBlocks, owned: &Owned<'_>) {
    blocks.iter().for_each(|(id, bytes)| subject.store.restore_moved(*id, bytes, owned).unwrap());
    settle(subject);
}

fn settle<O: Operator, R>(subject: &mut Subject<O, R>) {
    while !subject.store.settle().unwrap() {}
    while !subject.operator.restored().unwrap() {}
}

fn save_all(store: &StateStore, full: bool) -> Blocks {
    let mut out = Held { room: usize::MAX, ..Held::default() };
    store.freeze(full);
    while !store.save(SECTION, &mut out).unwrap() {}
    out.blocks
}

/// Takes out what moves, in steps.
fn extract<O: Operator, R>(subject: &mut Subject<O, R>, moving: &Owned<'_>) -> MovedBlocks {
    let (mut blocks, mut step) = (MovedBlocks::new(), Extraction::of(300));
    loop {
        let is_done = subject.store.extract(SECTION, moving, &mut step).unwrap();
        blocks.extend(step.take());
        if is_done {
            break;
        }
    }
    settle(subject);
    blocks
}

/// How an operator is tested.
struct Case<O, R, I> {
    make: fn() -> Subject<O, R>,
    /// A record for a number, at a time.
    record: fn(u64, i64) -> (u64, I),
    keys: u64,
    /// Ports, which the ticks come in through by turns.
    ports: usize,
}

impl<O: Operator, R: Clone + PartialEq + core::fmt::Debug, I: Record> Case<O, R, I> {
    /// Random records, freezes, saves, and panes that go; every checkpoint that completes is restored and goes on as
    /// the original did. Returns how many chunks were the same as in the checkpoint before.
    fn check(&self, seed: u64, extracts: bool) -> usize {
        let mut draws = 0;
        let mut chance = |below: u64| {
            draws += 1;
            join(seed, draws) % below
        };
        let mut subject = (self.make)();
        let (mut played, mut now, mut watermark) = (Vec::<Played<R>>::new(), 1_000i64, 0);
        let (mut out, mut before, mut saving) = (Held::default(), Blocks::new(), None);
        let (mut checkpoints, mut same) = (0, 0);
        for _ in 0..200 {
            let quiet = chance(3) == 0;
            let records: Vec<_> = (0..chance(if quiet { 5 } else { 600 }))
                .map(|_| {
                    let near = if quiet { 3 } else { self.keys };
                    (self.record)(chance(near), now - chance(400) as i64)
                })
                .collect();
            let leap = if chance(20) == 0 { 1_000 } else { 12 };
            now += chance(leap) as i64;
            watermark = watermark.max(now - 300);
            // One frame in four is of records that their own partition had passed already, the others have not.
            let overdue = if chance(4) == 0 { watermark + chance(300) as i64 } else { i64::MIN };
            let input =
                Written { port: played.len() % self.ports, overdue: EventTime(overdue), ..written(&records) };
            let mut saved = false;
            let rows = tick(&mut subject, &input, watermark, |store| {
                // So that a checkpoint ends now and then before it is given up.
                out.room = chance(60) as usize * (store.sections(SECTION).count() / 3).max(1);
                if saving.is_some() && !saved && chance(3) > 0 {
                    saved = store.save(SECTION, &mut out).unwrap();
                }
            });
            let digest = subject.store.digest();
            played.push(Played { input, watermark, digest, rows });
            if saved {
                checkpoints += 1;
                same += out.same;
                let since: usize = saving.take().unwrap();
                self.check_restored(&out.blocks, &played[since - 1..], seed);
                before = core::mem::take(&mut out.blocks);
            }
            // Some are given up before they are saved.
            if chance(3) == 0 && (saving.is_none() || chance(8) == 0) {
                let full = checkpoints == 0 || chance(6) == 0;
                subject.store.freeze(full);
                out = Held { before: before.clone(), ..Held::default() };
                saving = Some(played.len());
            }
            if extracts && chance(6) == 0 {
                let (thirds, all) = (in_turn(3), alone());
                let blocks = extract(&mut subject, &Owned::new(&thirds, ShardId(chance(3) as u16)));
                restore_moved(&mut subject, &blocks, &Owned::new(&all, ShardId(0)));
            }
        }
        assert!(played.iter().any(|tick| !tick.rows.is_empty()), "seed {seed}: nothing left");
        assert!(checkpoints >= 3, "seed {seed}: only {checkpoints} checkpoints were saved");
        let blocks = save_all(&subject.store, true);
        self.check_split(&blocks, subject.store.digest(), seed);
        same
    }

    /// `played[0]` is the tick after which the state was frozen.
    fn check_restored(&self, blocks: &Blocks, played: &[Played<R>], seed: u64) {
        let mut again = (self.make)();
        restore(&mut again, [blocks], &Owned::new(&alone(), ShardId(0)));
        self.check_goes_on(&mut again, played, seed);
    }

    fn check_goes_on(&self, again: &mut Subject<O, R>, played: &[Played<R>], seed: u64) {
        // Some catch up at once, some little by little, some only when they have to.
        let (mut draws, pace) = (0, join(seed, played.len() as u64) % 3);
        let mut chance = || {
            draws += 1;
            join(seed ^ 0xca7c, draws)
        };
        while pace == 0 && !again.store.catch_up() {}
        for (number, tock) in played.iter().enumerate() {
            if number > 0 {
                let rows = tick(again, &tock.input, tock.watermark, |store| {
                    if pace == 1 && chance() % 4 == 0 {
                        store.catch_up();
                    }
                });
                assert!(
                    rows == tock.rows,
                    "seed {seed}: tick {number} after the checkpoint lets out something else"
                );
            }
            // A digest makes it catch up.
            if pace == 0 || number + 1 == played.len() || chance() % 8 == 0 {
                assert_eq!(
                    again.store.digest(),
                    tock.digest,
                    "seed {seed}: tick {number} after the checkpoint"
                );
            }
        }
    }

    /// Several shards take over, and one takes over from them.
    fn check_split(&self, blocks: &Blocks, digest: u64, seed: u64) {
        let alone = alone();
        let all = Owned::new(&alone, ShardId(0));
        let mut nobody = (self.make)();
        restore(&mut nobody, [blocks], &Owned::new(&alone, ShardId(1)));
        let nothing = nobody.store.digest();
        for shards in [2, 3] {
            for router in [in_turn(shards), Router::new(GROUPS.into(), shards)] {
                let mut parts: Vec<_> = (0..shards).map(|_| (self.make)()).collect();
                for (shard, part) in (0..).zip(parts.iter_mut()) {
                    restore(part, [blocks], &Owned::new(&router, ShardId(shard)));
                }
                let digests = parts.iter().map(|part| part.store.digest().wrapping_sub(nothing));
                assert_eq!(
                    digests.fold(nothing, u64::wrapping_add),
                    digest,
                    "seed {seed}: {shards} parts are not the whole"
                );
                let parts: Vec<_> = parts.iter().map(|part| save_all(&part.store, true)).collect();
                let mut whole = (self.make)();
                restore(&mut whole, &parts, &all);
                assert_eq!(whole.store.digest(), digest, "seed {seed}: merged of {shards}");
                let mut original = (self.make)();
                restore(&mut original, [blocks], &all);
                self.check_alike(&mut original, &mut whole, seed);
                // A part moves, and moves back.
                let (mut from, mut to) = ((self.make)(), (self.make)());
                restore(&mut from, [blocks], &all);
                let moved = extract(&mut from, &Owned::new(&router, ShardId(1)));
                // What is the same on all shards is there, whatever moves.
                restore(&mut to, [blocks], &Owned::new(&alone, ShardId(1)));
                restore_moved(&mut to, &moved, &all);
                let sum = from.store.digest().wrapping_add(to.store.digest()).wrapping_sub(nothing);
                assert_eq!(sum, digest, "seed {seed}: what left and what stayed");
                let back = extract(&mut to, &all);
                assert_eq!(to.store.digest(), nothing);
                restore_moved(&mut from, &back, &all);
                let mut original = (self.make)();
                restore(&mut original, [blocks], &all);
                self.check_alike(&mut original, &mut from, seed);
            }
        }
    }

    /// The two let out the same from here on.
    fn check_alike(&self, a: &mut Subject<O, R>, b: &mut Subject<O, R>, seed: u64) {
        let last = self.make_last(seed);
        let rows = tick(a, &last, i64::MAX, |_| {});
        assert!(tick(b, &last, i64::MAX, |_| {}) == rows, "seed {seed}: the end differs");
    }

    fn make_last(&self, seed: u64) -> Written {
        let at = |number: u64| 100_000 + (join(seed, number) % 500) as i64;
        written(
            &(0..300)
                .map(|number| (self.record)(join(number, seed) % self.keys, at(number)))
                .collect::<Vec<_>>(),
        )
    }
}

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

fn keyed<K: Key, I>(key: K, at: i64, item: I) -> (u64, Keyed<K, I>) {
    (key.hash(), Keyed { at, key, item })
}

type WindowSubject<T, K, A, V> = Subject<WindowOperator<T, K, A, Out<Windowed<K, V>>>, Windowed<K, V>>;

fn window<T: 'static, K: Key, A: Aggregate<T>>(
    aggregate: A,
    windows: Windows,
) -> WindowSubject<T, K, A, <A as Aggregate<T>>::Out> {
    window_at(at(), aggregate, windows)
}

fn window_at<T: 'static, K: Key, A: Aggregate<T>>(
    at: OperatorContext,
    aggregate: A,
    windows: Windows,
) -> WindowSubject<T, K, A, <A as Aggregate<T>>::Out> {
    let rows = Rc::default();
    let (next, late) = (Out(Rc::clone(&rows)), SideOutput::new(None));
    let store = at.store.clone();
    let operator = WindowOperator::new(aggregate, windows, at, next, late);
    Subject { operator, store, rows }
}

macro_rules! window_case {
    ($key:ty, $aggregate:expr, $windows:expr, $record:expr, $keys:expr) => {
        Case { make: || window::<u64, $key, _>($aggregate, $windows), record: $record, keys: $keys, ports: 1 }
    };
}

fn text(number: u64) -> String {
    alloc::format!("{}{number}", "key ".repeat(number as usize % 9))
}

#[test]
fn windows_with_keys_of_fixed_size() {
    let mut same = 0;
    for seed in 0..6 {
        let record = |key, at| keyed(key, at, key % 7);
        same += window_case!(u64, (count(), sum(|n: &u64| *n)), tumbling(nanos(900)), record_of_pair, 3_000)
            .check(seed, false);
        same += window_case!(u64, sum(|n: &u64| *n), hopping(nanos(1_000), nanos(300)), record, 2_000)
            .check(seed, false);
        same += window_case!(u64, sum(|n: &u64| *n), hopping(nanos(1_000), nanos(300)), record, 2_000)
            .check(seed, true);
        // Windows of so many panes share what these come to.
        same += window_case!(u64, sum(|n: &u64| *n), hopping(nanos(1_000), nanos(20)), record, 40)
            .check(seed, true);
        same += window_case!(u64, sum(|n: &u64| *n), hopping(nanos(600), nanos(7)), record, 40)
            .check(seed, false);
        same += window_case!(u64, sum(|n: &u64| *n), tumbling(nanos(100)), record, 40).check(seed, true);
    }
    assert!(same > 0, "no checkpoint was incremental");
}

fn record_of_pair(key: u64, at: i64) -> (u64, Keyed<u64, ((), u64)>) {
    keyed(key, at, ((), key % 7))
}

/// Folds what it is given in its order.
#[derive(Clone)]
struct Chain;

impl Aggregate<u64> for Chain {
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
        *acc = join(*acc, item);
    }
    fn merge(&self, acc: &mut u64, other: &u64) {
        *acc = join(*acc, *other);
    }
    fn finish(&self, acc: &u64) -> u64 {
        *acc
    }
}

#[test]
fn windows_in_which_the_order_of_records_shows() {
    for seed in 0..3 {
        let record = |key, at: i64| keyed(key, at, at as u64);
        window_case!(u64, Chain, tumbling(nanos(900)), record, 50).check(seed, false);
    }
}

#[test]
fn windows_with_keys_that_own_memory() {
    let mut same = 0;
    for seed in 0..4 {
        let record = |key, at| keyed(text(key), at, text(key ^ 5));
        let case = || Case {
            make: || window::<String, String, _>(max_by(String::len), hopping(nanos(1_200), nanos(400))),
            record,
            keys: 2_000,
            ports: 1,
        };
        same += case().check(seed, false) + case().check(seed, true);
    }
    assert!(same > 0, "no checkpoint was incremental");
}

fn window_join(kind: JoinKind, windows: Windows) -> Subject<impl Operator, Joined<u64, u64, u64>> {
    let (at, rows) = (at(), Rc::default());
    let (next, late) = (Out(Rc::clone(&rows)), (SideOutput::new(None), SideOutput::new(None)));
    let store = at.store.clone();
    let aggregates = (sum(|n: &u64| *n), max(|n: &u64| *n));
    let operator =
        WindowJoinOperator::<u64, u64, u64, _, _, _>::new(kind, aggregates, windows, at, next, late);
    Subject { operator, store, rows }
}

#[test]
fn windows_that_are_joined() {
    let mut same = 0;
    for seed in 0..4 {
        let record = |key, at| keyed(key, at, key % 7);
        let case = |make| Case { make, record, keys: 2_000, ports: 2 };
        same += case(|| window_join(JoinKind::Inner, tumbling(nanos(900)))).check(seed, false);
        same += case(|| window_join(JoinKind::Left, hopping(nanos(1_000), nanos(300)))).check(seed, true);
        same += case(|| window_join(JoinKind::Full, tumbling(nanos(100)))).check(seed, true);
        let few = Case {
            make: || window_join(JoinKind::Full, hopping(nanos(900), nanos(40))),
            record,
            keys: 30,
            ports: 2,
        };
        same += few.check(seed, true);
    }
    assert!(same > 0, "no checkpoint was incremental");
}

/// Adds up values until a timer asks for them; some keys are forgotten at once, some timers taken back.
#[derive(Clone)]
struct AddUp;

impl<K: Key> ProcessFunction<K, u64> for AddUp {
    type State = ValueState<Vec<u64>>;
    type Out = (K, u64);
    const PROCESSING_TIMERS: bool = true;

    fn record(&self, value: u64, state: &mut Option<Vec<u64>>, key: &mut KeyContext<'_, K, (K, u64)>) {
        let at = |value: u64| EventTime(1_000 + (value % 3_000) as i64);
        match value % 5 {
            0 => *state = None,
            1 => {
                key.set_processing_timer(at(value), value % 3);
            }
            2 => drop(key.cancel_timer(TimerKind::Event, at(value / 7), 1)),
            _ => {
                state.get_or_insert_default().push(value);
                key.set_timer(at(value / 7), 1);
            }
        }
    }

    fn timer(&self, timer: FiredTimer, state: &mut Option<Vec<u64>>, key: &mut KeyContext<'_, K, (K, u64)>) {
        let sum = state.take().unwrap_or_default().into_iter().fold(timer.tag, u64::wrapping_add);
        let row = (key.key().clone(), sum);
        key.emit(row);
    }
}

fn process<K: Key>() -> Subject<impl Operator, (K, u64)> {
    let (at, rows) = (at(), Rc::default());
    let (next, store) = (Out(Rc::clone(&rows)), at.store.clone());
    Subject { operator: ProcessOperator::<K, u64, _, _>::new(AddUp, at, next), store, rows }
}

/// State of every kind, all that there is of it in each row: what was put there, taken back and has expired.
#[derive(Clone)]
struct Everything;

impl<K: Key> ProcessFunction<K, u64> for Everything {
    type State = (
        ValueState<u64>,
        MapState<String, u64>,
        Expiring<ValueState<Vec<u64>>>,
        Expiring<MapState<EventTime, u64>>,
    );
    type Out = (K, String);

    fn state(&self) -> Self::State {
        let nanos = |nanos| Ttl::event_time(Duration::from_nanos(nanos));
        (ValueState::default(), MapState::default(), Expiring::after(nanos(300)), Expiring::after(nanos(90)))
    }

    fn record(
        &self,
        value: u64,
        (count, mut names, mut last, mut recent): StateOf<'_, K, Self::State>,
        key: &mut KeyContext<'_, K, (K, String)>,
    ) {
        let name = text(value % 7);
        match value % 11 {
            0 => *count = None,
            1 => drop(names.remove(&name)),
            2 => drop(last.take()),
            3 => drop(recent.remove(&EventTime(key.time().0 - (value % 40) as i64))),
            4 => drop(names.pop_first()),
            _ => {
                *count.get_or_insert_default() += 1;
                names.put(name, value);
                recent.put(key.time(), value);
                if value.is_multiple_of(3) {
                    last.get_or_insert_default().push(value);
                }
            }
        }
        key.set_timer(EventTime(key.time().0 + 1_000), 0);
    }

    fn timer(
        &self,
        _: FiredTimer,
        (count, names, last, recent): StateOf<'_, K, Self::State>,
        key: &mut KeyContext<'_, K, (K, String)>,
    ) {
        let names: Vec<_> = names.iter().collect();
        let recent: Vec<_> = recent.iter().collect();
        let row = alloc::format!("{count:?} {names:?} {:?} {recent:?}", *last);
        key.emit((key.key().clone(), row));
    }
}

fn everything<K: Key>() -> Subject<impl Operator, (K, String)> {
    let (at, rows) = (at(), Rc::default());
    let (next, store) = (Out(Rc::clone(&rows)), at.store.clone());
    Subject { operator: ProcessOperator::<K, u64, _, _>::new(Everything, at, next), store, rows }
}

#[test]
fn state_of_every_kind() {
    let mut same = 0;
    for seed in 0..4 {
        for extracts in [false, true] {
            let record = |key, at: i64| keyed(key, at, join(key, at as u64));
            let case = Case { make: everything::<u64>, record, keys: 700, ports: 1 };
            same += case.check(seed, extracts);
            let record = |key, at: i64| keyed(text(key), at, join(key, at as u64));
            let case = Case { make: everything::<String>, record, keys: 700, ports: 1 };
            same += case.check(seed, extracts);
        }
    }
    assert!(same > 0, "no checkpoint was incremental");
}

#[test]
fn what_is_processed() {
    let mut same = 0;
    for seed in 0..4 {
        for extracts in [false, true] {
            let record = |key, at: i64| keyed(key, at, join(key, at as u64));
            let case = Case { make: process::<u64>, record, keys: 5_000, ports: 1 };
            same += case.check(seed, extracts);
            let record = |key, at: i64| keyed(text(key), at, join(key, at as u64));
            let case = Case { make: process::<String>, record, keys: 5_000, ports: 1 };
            same += case.check(seed, extracts);
        }
    }
    assert!(same > 0, "no checkpoint was incremental");
}

type SessionRow<K> = Result<Windowed<K, (u64, u64)>, ((), u64)>;

fn sessions<K: Key>() -> Subject<impl Operator, SessionRow<K>> {
    let (at, rows) = (at(), Rc::default());
    let (next, store) = (Out(Rc::clone(&rows)), at.store.clone());
    let function = Sessions::<u64, _>::new((count(), sum(|number: &u64| *number % 1_000)), 60);
    Subject { operator: ProcessOperator::<K, ((), u64), _, _>::new(function, at, next), store, rows }
}

#[test]
fn sessions_that_are_open() {
    let mut same = 0;
    for seed in 0..4 {
        for extracts in [false, true] {
            let record = |key, at: i64| keyed(key, at, ((), join(key, at as u64) % 1_000));
            let case = Case { make: sessions::<u64>, record, keys: 1_500, ports: 1 };
            same += case.check(seed, extracts);
            let record = |key, at: i64| keyed(text(key), at, ((), join(key, at as u64) % 1_000));
            let case = Case { make: sessions::<String>, record, keys: 1_500, ports: 1 };
            same += case.check(seed, extracts);
        }
    }
    assert!(same > 0, "no checkpoint was incremental");
}

macro_rules! deduplicate_case {
    ($key:ty, $record:expr) => {
        Case {
            make: || {
                let rows = Rc::default();
                let (next, late) = (Out(Rc::clone(&rows)), SideOutput::new(None));
                let at = at();
                let store = at.store.clone();
                let operator = DeduplicateOperator::<$key, u64, _>::new(700, at, next, late);
                Subject { operator, store, rows }
            },
            record: $record,
            keys: 4_000,
            ports: 1,
        }
    };
}

#[test]
fn what_is_deduplicated() {
    let mut same = 0;
    for seed in 0..6 {
        for extracts in [false, true] {
            same += deduplicate_case!(u64, |key, at| keyed(key, at, key ^ 1)).check(seed, extracts);
            same += deduplicate_case!(String, |key, at| keyed(text(key), at, key ^ 1)).check(seed, extracts);
        }
    }
    assert!(same > 0, "no checkpoint was incremental");
}

macro_rules! sort_case {
    ($item:ty, $record:expr, $compare:expr) => {
        Case {
            make: || {
                let rows = Rc::default();
                let (next, late) = (Out(Rc::clone(&rows)), SideOutput::new(None));
                let at = at();
                let store = at.store.clone();
                let operator = SortOperator::<u64, $item, _, _>::new($compare, at, next, late);
                Subject { operator, store, rows }
            },
            record: $record,
            keys: 3_000,
            ports: 1,
        }
    };
}

#[test]
fn what_is_sorted() {
    let mut same = 0;
    for seed in 0..6 {
        for extracts in [false, true] {
            // Many are alike in time and order: then the arrival decides.
            same += sort_case!(
                u64,
                |key, at| keyed(key, (at + (key % 3) as i64 * 1_500) / 50 * 50, key),
                |a: &u64, b: &u64| (a % 4).cmp(&(b % 4))
            )
            .check(seed, extracts);
            same += sort_case!(
                String,
                |key, at| keyed(key, at + (key % 3) as i64 * 1_500, text(key)),
                |a: &String, b: &String| a.cmp(b)
            )
            .check(seed, extracts);
        }
    }
    assert!(same > 0, "no checkpoint was incremental");
}

#[test]
fn a_checkpoint_of_another_job_is_refused() {
    let mut subject = window::<u64, u64, _>(sum(|n: &u64| *n), tumbling(nanos(900)));
    let input = written(&(0..1_000u64).map(|key| keyed(key, 1_000, 1u64)).collect::<Vec<_>>());
    tick(&mut subject, &input, 0, |_| {});
    let blocks = save_all(&subject.store, true);
    let refused = |blocks: &Blocks, windows| {
        let (mut other, all) = (window::<u64, u64, _>(sum(|n: &u64| *n), windows), alone());
        let owned = Owned::new(&all, ShardId(0));
        let mut wanted = blocks.iter().filter(|(id, _)| other.store.wants(**id, &owned));
        let outcome = wanted.try_for_each(|(id, bytes)| other.store.restore(*id, bytes, &owned));
        match outcome.and_then(|()| other.store.restored()).and_then(|()| other.operator.restored()) {
            Err(Fault::Restore { message }) => message,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(refused(&blocks, tumbling(nanos(70))).contains("another size"));
    let of_panes = |id: &&BlockId| id.section == SECTION && id.table > 0;
    let id = *blocks.keys().rfind(of_panes).unwrap();
    let mut short = blocks.clone();
    short.remove(&id).unwrap();
    assert!(refused(&short, tumbling(nanos(900))).contains("missing"));
    let mut strange = blocks;
    let bytes = strange.remove(&id).unwrap();
    for id in [BlockId { table: 77, ..id }, BlockId { chunk: 0, ..id }, BlockId { chunk: u32::MAX, ..id }] {
        let mut strange = strange.clone();
        strange.insert(id, bytes.clone());
        assert!(refused(&strange, tumbling(nanos(900))).contains("not announced"), "{id:?}");
    }
}

/// What a start on other shards reads is about what there is, and not as much for each shard.
#[test]
fn other_shards_read_the_blocks_of_their_key_groups() {
    let before = Router::new(GROUPS.into(), 2);
    let saved: Vec<Blocks> = (0..2)
        .map(|shard| {
            let mut subject = window::<u64, u64, _>(sum(|n: &u64| *n), tumbling(nanos(900)));
            let all = (0..400_000u64).map(|key| keyed(key, 1_000, 1u64));
            let mine: Vec<_> = all.filter(|(hash, _)| before.shard(*hash) == ShardId(shard)).collect();
            mine.chunks(1_024).for_each(|some| {
                tick(&mut subject, &written(some), 0, |_| {});
            });
            save_all(&subject.store, true)
        })
        .collect();
    let bytes: usize = saved.iter().flat_map(Blocks::values).map(Vec::len).sum();
    for after in [1, 2, 3, 5, 8] {
        let router = Router::new(GROUPS.into(), after);
        let subject = window::<u64, u64, _>(sum(|n: &u64| *n), tumbling(nanos(900)));
        let read = |shard| {
            let owned = Owned::new(&router, ShardId(shard));
            let wanted = saved.iter().flatten().filter(|(id, _)| subject.store.wants(**id, &owned));
            wanted.map(|(_, bytes)| bytes.len()).sum::<usize>()
        };
        let read: usize = (0..after).map(read).sum();
        let most = if after <= 2 { bytes + bytes / 100 } else { bytes + bytes / 8 };
        assert!(read >= bytes && read <= most, "{after} shards read {read} of {bytes} bytes");
    }
}

#[test]
fn nothing_is_saved_that_was_not_frozen() {
    let subject = window::<u64, u64, _>(count(), tumbling(nanos(10)));
    let mut out = Held { room: usize::MAX, ..Held::default() };
    assert!(subject.store.save(SECTION, &mut out).unwrap());
    assert!(out.blocks.is_empty());
}
