//! State of a process function against naive twins: maps of everything that was ever put there, with the times of it.

use super::*;
use crate::exchange::frame::RowFormat;
use crate::exchange::hash::join;
use crate::ids::Tick;
use crate::operator::push::Link;
use crate::state::memory::{HeapMemory, Memory};
use crate::state::slab::Slabs;
use crate::state::store::StateStore;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

/// Keeps what comes out.
struct Out<T>(Rc<RefCell<Vec<T>>>);

impl<T: 'static> Pipe for Out<T> {
    fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
}

impl<T: 'static> Push<T> for Out<T> {
    fn push(&mut self, _: EventTime, row: T) {
        self.0.borrow_mut().push(row);
    }
}

/// An operator, its store, and what came out of it.
struct Subject<T: Record, P: ProcessFunction<u64, T>> {
    operator: ProcessOperator<u64, T, P, Out<P::Out>>,
    store: Rc<StateStore>,
    out: Rc<RefCell<Vec<P::Out>>>,
}

impl<T: Record + Clone, P: ProcessFunction<u64, T>> Subject<T, P> {
    fn new(function: P) -> Self {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let store = StateStore::new(memory.clone(), Slabs::new(memory.clone()));
        let context = Rc::new(StageContext::alone());
        let out = Rc::default();
        let at = OperatorContext { context, store: store.clone(), memory, may_wait: false };
        Subject { operator: ProcessOperator::new(function, at, Out(Rc::clone(&out))), store, out }
    }

    /// A record of a key, and what came of it.
    fn take(&mut self, key: u64, at: i64, record: T) -> Vec<P::Out> {
        let keyed = Keyed { at, key, item: record };
        crate::record::with_archived(&keyed, |bytes| {
            let mut words = Vec::new();
            for chunk in bytes.chunks(16) {
                let mut word = [0; 16];
                word[..chunk.len()].copy_from_slice(chunk);
                words.push(u128::from_ne_bytes(word));
            }
            self.operator.frame(0, Frame::over(RowFormat::of::<Keyed<u64, T>>(), &words, 1)).unwrap();
        })
        .unwrap();
        self.out.borrow_mut().drain(..).collect()
    }

    fn tick(&mut self, watermark: i64, time: i64) -> Vec<P::Out> {
        let (watermark, time) = (EventTime(watermark), EventTime(time));
        self.operator.context.wall.set(time);
        let tick = TickInfo { tick: Tick(1), time, watermark, inputs: &[watermark] };
        while !self.operator.complete(&tick).unwrap() {}
        self.out.borrow_mut().drain(..).collect()
    }
}

/// What a record asks for: an operation, under what, and a value. All but `at` are looked at by the twin as well.
type Order = (u8, i64, u64);

/// A map and what came of each operation.
#[derive(Clone)]
struct Mapped;

impl ProcessFunction<u64, Order> for Mapped {
    type State = MapState<i64, u64>;
    type Out = Vec<(i64, u64)>;

    fn record(
        &self,
        (operation, at, value): Order,
        mut map: StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        let pair = |(at, value): (&i64, &u64)| (*at, *value);
        let row = match operation % 12 {
            0 => map.get(&at).map(|value| (at, *value)).into_iter().collect(),
            1 => map.remove(&at).map(|value| (at, value)).into_iter().collect(),
            2 => map.first().map(pair).into_iter().collect(),
            3 => map.last().map(pair).into_iter().collect(),
            4 => map.pop_first().into_iter().collect(),
            5 => map.pop_last().into_iter().collect(),
            6 => map.range(at..).map(pair).collect(),
            7 => map.range(..=at).map(pair).collect(),
            8 => map.range(at..at + 50).map(pair).collect(),
            9 => Vec::from([(map.len() as i64, u64::from(map.is_empty()))]),
            10 if value % 5 == 0 => Vec::from([(map.remove_before(&at) as i64, 0)]),
            _ => map.put(at, value).map(|value| (at, value)).into_iter().collect(),
        };
        key.emit(row);
    }
}

fn on_twin(map: &mut BTreeMap<i64, u64>, (operation, at, value): Order) -> Vec<(i64, u64)> {
    let pair = |(at, value): (&i64, &u64)| (*at, *value);
    match operation % 12 {
        0 => map.get(&at).map(|value| (at, *value)).into_iter().collect(),
        1 => map.remove(&at).map(|value| (at, value)).into_iter().collect(),
        2 => map.first_key_value().map(pair).into_iter().collect(),
        3 => map.last_key_value().map(pair).into_iter().collect(),
        4 => map.pop_first().into_iter().collect(),
        5 => map.pop_last().into_iter().collect(),
        6 => map.range(at..).map(pair).collect(),
        7 => map.range(..=at).map(pair).collect(),
        8 => map.range(at..at + 50).map(pair).collect(),
        9 => Vec::from([(map.len() as i64, u64::from(map.is_empty()))]),
        10 if value % 5 == 0 => {
            let stays = map.split_off(&at);
            Vec::from([(core::mem::replace(map, stays).len() as i64, 0)])
        }
        _ => map.insert(at, value).map(|value| (at, value)).into_iter().collect(),
    }
}

#[test]
fn a_map_is_a_map_for_each_key() {
    for (seed, keys) in [(1, 1), (2, 3), (3, 40), (4, 2_000)] {
        let (mut subject, mut twins) = (Subject::new(Mapped), BTreeMap::<u64, BTreeMap<i64, u64>>::new());
        for draw in 0..20_000u64 {
            let chance = join(seed, draw);
            let (key, order) =
                (chance % keys, ((chance >> 20) as u8, (chance >> 30) as i64 % 300 - 150, chance >> 50));
            let found = subject.take(key, 0, order);
            assert_eq!(found, [on_twin(twins.entry(key).or_default(), order)], "{keys} keys, draw {draw}");
        }
    }
}

/// A list, which is a map by numbers.
#[derive(Clone)]
struct Listed;

impl ProcessFunction<u64, u64> for Listed {
    type State = MapState<u64, u64>;
    type Out = Vec<(u64, u64)>;

    fn record(
        &self,
        value: u64,
        mut list: StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        list.push(value);
        let rows = list.iter().map(|(at, value)| (*at, *value)).collect();
        key.emit(rows);
    }
}

#[test]
fn what_is_pushed_stands_behind_what_was() {
    let mut subject = Subject::new(Listed);
    for number in 0..40 {
        for key in 0..3 {
            let rows = subject.take(key, 0, key * 100 + number).remove(0);
            assert_eq!(rows, (0..=number).map(|at| (at, key * 100 + at)).collect::<Vec<_>>());
        }
    }
}

/// Both kinds of state that expire, in both clocks: what a record finds, then what it does.
#[derive(Clone)]
struct Passing(Ttl);

impl ProcessFunction<u64, Order> for Passing {
    type State = (Expiring<ValueState<u64>>, Expiring<MapState<i64, u64>>);
    type Out = (Option<u64>, Vec<(i64, u64)>);

    fn state(&self) -> Self::State {
        (Expiring::after(self.0), Expiring::after(self.0))
    }

    fn record(
        &self,
        (operation, at, put): Order,
        (mut value, mut map): StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        key.emit((*value, map.iter().map(|(at, value)| (*at, *value)).collect()));
        match operation % 6 {
            0 => *value = None,
            1 => drop(map.remove(&at)),
            2 => {}
            3 => assert_eq!(value.is_some_and(|found| found == put), *value == Some(put)),
            _ => {
                *value = Some(put);
                map.put(at, put);
            }
        }
    }
}

/// Everything that was put, with the time until which it lives.
#[derive(Default)]
struct Twin {
    value: Option<(u64, i64)>,
    map: BTreeMap<i64, (u64, i64)>,
}

#[test]
fn what_has_expired_is_not_there_and_takes_no_room() {
    const TTL: i64 = 100;
    for (seed, keys, events) in
        [(1, 30, true), (2, 100, true), (3, 900, true), (4, 30, false), (5, 100, false), (6, 900, false)]
    {
        let nanos = Duration::from_nanos(TTL as u64);
        let ttl = if events { Ttl::event_time(nanos) } else { Ttl::processing_time(nanos) };
        let (mut subject, mut twins) = (Subject::new(Passing(ttl)), BTreeMap::<u64, Twin>::new());
        let (mut watermark, mut wall, mut found_gone) = (0i64, 0i64, 0);
        subject.tick(watermark, wall);
        for draw in 0..30_000u64 {
            let chance = join(seed, draw);
            // Some are ahead of the watermark, some late; in processing time that makes no difference.
            let time = watermark + (chance >> 8) as i64 % 60 - 20;
            let now = if events { time.max(watermark) } else { wall };
            let order = ((chance >> 20) as u8, (chance >> 30) as i64 % 6, chance >> 50);
            let twin = twins.entry(chance % keys).or_default();
            let live = |(value, until): &(u64, i64)| (*until > now).then_some(*value);
            let expected = (
                twin.value.as_ref().and_then(live),
                twin.map.iter().filter_map(|(at, row)| live(row).map(|value| (*at, value))).collect(),
            );
            found_gone += usize::from(twin.value.is_some() && expected.0.is_none());
            assert_eq!(subject.take(chance % keys, time, order), [expected], "draw {draw}");
            let (operation, at, put) = order;
            match operation % 6 {
                0 => twin.value = None,
                1 => drop(twin.map.remove(&at)),
                2 | 3 => {}
                _ => {
                    let until =
                        |before: Option<(u64, i64)>| before.map_or(i64::MIN, |row| row.1).max(now + TTL);
                    twin.value = Some((put, until(twin.value)));
                    let before = twin.map.get(&at).copied();
                    twin.map.insert(at, (put, until(before)));
                }
            }
            if chance >> 60 == 0 {
                watermark += (chance >> 16) as i64 % 70;
                wall += (chance >> 24) as i64 % 70;
                assert!(subject.tick(watermark, wall).is_empty());
            }
        }
        assert!(found_gone > 20, "only {found_gone} values had expired");
        // At the end of the input nothing expires.
        let before = subject.store.digest();
        if events {
            subject.tick(i64::MAX, wall);
            assert_eq!(subject.store.digest(), before);
        }
        // A time to live later all room is given back.
        subject.tick(watermark + 1_000, wall + 1_000);
        let mut empty = Subject::new(Passing(ttl));
        empty.tick(watermark + 1_000, wall + 1_000);
        assert_eq!(subject.store.digest(), empty.store.digest());
    }
}

/// A timer of just before what it is to find expires, where the watermark goes far beyond both at once.
#[derive(Clone)]
struct Reminded;

impl ProcessFunction<u64, u64> for Reminded {
    type State = Expiring<ValueState<u64>>;
    type Out = Option<u64>;

    fn state(&self) -> Self::State {
        Expiring::after(Ttl::event_time(Duration::from_nanos(100)))
    }

    fn record(&self, put: u64, mut value: ExpiringValue<'_, u64>, key: &mut KeyContext<'_, u64, Self::Out>) {
        *value = Some(put);
        key.set_timer(EventTime(key.time().0 + 99), 0);
        key.set_timer(EventTime(key.time().0 + 100), 1);
    }

    fn timer(&self, _: FiredTimer, value: ExpiringValue<'_, u64>, key: &mut KeyContext<'_, u64, Self::Out>) {
        key.emit(*value);
    }
}

#[test]
fn timers_find_what_lives_at_their_time() {
    let mut subject = Subject::new(Reminded);
    subject.take(1, 1_000, 7);
    assert_eq!(subject.tick(50_000, 0), [Some(7), None]);
    // At the end of the input as well.
    subject.take(1, 60_000, 8);
    assert_eq!(subject.tick(i64::MAX, 0), [Some(8), None]);
}

#[test]
#[should_panic(expected = "a time to live above zero")]
fn no_time_to_live_is_none() {
    Ttl::event_time(Duration::ZERO);
}
