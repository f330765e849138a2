//! The sending end of `key_by` where records are added up first: a row for each key and pane of a tick crosses, and not one for each record.
//!
//! The first keys of a tick have a row each (`PRE_AGGREGATED_ROWS`, or as many as take `PRE_AGGREGATED_BYTES`). Records of other keys cross at once,
//! as rows of one record. A row that has come to own much leaves at once as well, and begins anew. All of that depends on the records of the tick and on
//! nothing else, so a replay sends the same rows; that is why a pause in a tick shows nothing of what has been added up, and no row gives way to
//! another.
//!
//! Nothing is kept from one tick to the next, so there is nothing to save, to restore or to move.

use crate::aggregate::Aggregate;
use crate::bounds::{PRE_AGGREGATED_BYTES, PRE_AGGREGATED_OWNED, PRE_AGGREGATED_ROWS};
use crate::checkpoint::notes::{Earlier, Notes, Part};
use crate::exchange::partition::{ExchangeWriter, Keyed};
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push, TickEnd};
use crate::record::Record;
use crate::record::heap::owned;
use crate::record::key::Key;
use crate::window::Windows;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Twice as many as rows, so that most keys find their row at the first look.
const SLOTS: usize = 2 * PRE_AGGREGATED_ROWS;
/// How many slots a key may have.
const LOOKS: usize = 4;

/// What the records of a key and pane have come to in the tick.
struct Row<K, I> {
    hash: u64,
    slot: usize,
    /// At the beginning of the pane: it is in the same windows as each of its records.
    keyed: Keyed<K, I>,
}

/// See the [module](self).
pub struct PreAggregatedByKey<FK, A, K, I> {
    key: FK,
    aggregate: A,
    windows: Windows,
    /// The pane of the last record.
    pane: (i64, i64),
    rows: Vec<Row<K, I>>,
    /// The number of a row, and one more; 0 where there is none.
    slots: Box<[u16; SLOTS]>,
    /// What comes is overdue: it crosses at once and by itself, as rows of one record.
    overdue: Option<EventTime>,
    router: Arc<Router>,
    channels: ExchangeWriter,
}

impl<FK, A, K: Key, I: Record> PreAggregatedByKey<FK, A, K, I> {
    /// How many rows there may be: of large accumulators fewer.
    const ROWS: usize = {
        let fitting = PRE_AGGREGATED_BYTES / size_of::<Row<K, I>>();
        if fitting == 0 {
            1
        } else if fitting < PRE_AGGREGATED_ROWS {
            fitting
        } else {
            PRE_AGGREGATED_ROWS
        }
    };

    /// Adds up, for each `key(record)` and pane of `windows`, what `aggregate` makes of the records of a tick, and sends that to the owner of the key.
    pub fn new(
        key: FK,
        aggregate: A,
        windows: Windows,
        router: Arc<Router>,
        channels: ExchangeWriter,
    ) -> Self {
        let rows = Vec::with_capacity(Self::ROWS);
        // No time is in it.
        let pane = (i64::MAX, i64::MIN);
        PreAggregatedByKey {
            key,
            aggregate,
            windows,
            pane,
            rows,
            slots: Box::new([0; SLOTS]),
            overdue: None,
            router,
            channels,
        }
    }

    /// The beginning of the pane that a time is in.
    #[inline(always)]
    fn pane(&mut self, at: i64) -> i64 {
        if at < self.pane.0 || at >= self.pane.1 {
            let start = self.windows.pane(at);
            self.pane = (start, self.windows.pane_end(start));
        }
        self.pane.0
    }

    /// The row of a key and pane, or else a slot that it may have.
    #[inline(always)]
    fn find(&self, hash: u64, pane: i64, key: &K) -> Result<usize, Option<usize>> {
        // The high bits of a hash choose the shard.
        let first = hash as usize;
        if self.overdue.is_some() {
            return Err(None);
        }
        for slot in (0..LOOKS).map(|look| first.wrapping_add(look) % SLOTS) {
            let Some(number) = usize::from(self.slots[slot]).checked_sub(1) else {
                return Err((self.rows.len() < Self::ROWS).then_some(slot));
            };
            let row = &self.rows[number];
            if row.hash == hash && row.keyed.at == pane && row.keyed.key == *key {
                return Ok(number);
            }
        }
        Err(None)
    }

    /// Rows that may still begin: they need no room before the tick ends.
    fn free(&self) -> usize {
        Self::ROWS - self.rows.len()
    }
}

/// Sends a row to the owner of its key.
fn send<K: Key, I: Record>(channels: &mut ExchangeWriter, router: &Router, hash: u64, keyed: &Keyed<K, I>) {
    channels.sample(router, hash);
    channels.push(usize::from(router.shard(hash).0), keyed, hash);
}

impl<T, FK, A, K> Push<T> for PreAggregatedByKey<FK, A, K, A::Item>
where
    K: Key,
    FK: Fn(&T) -> K + 'static,
    A: Aggregate<T>,
{
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let (hash, pane) = (key.hash(), self.pane(at.0));
        match self.find(hash, pane, &key) {
            Ok(number) => {
                let keyed = &mut self.rows[number].keyed;
                if owned(&keyed.item) < PRE_AGGREGATED_OWNED {
                    return self.aggregate.absorb(&mut keyed.item, record);
                }
                send(&mut self.channels, &self.router, hash, keyed);
                keyed.item = self.aggregate.take_item(record);
            }
            Err(slot) => {
                let keyed = Keyed { at: pane, key, item: self.aggregate.take_item(record) };
                match slot {
                    Some(slot) => {
                        self.rows.push(Row { hash, slot, keyed });
                        self.slots[slot] = self.rows.len() as u16;
                    }
                    None => send(&mut self.channels, &self.router, hash, &keyed),
                }
            }
        }
    }
}

impl<FK: 'static, A: 'static, K: Key, I: Record> Pipe for PreAggregatedByKey<FK, A, K, I> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
    }
}

/// The channels are a part of it, and come into the tick's end behind the rows.
impl<FK: 'static, A: 'static, K: Key, I: Record> Link for PreAggregatedByKey<FK, A, K, I> {
    /// What the channels have no room for goes beside the ring, as ever.
    fn seal(&mut self, end: TickEnd) {
        if self.overdue.is_some() {
            Link::overdue(&mut self.channels, None);
        }
        for Row { hash, slot, keyed } in self.rows.drain(..) {
            self.slots[slot] = 0;
            send(&mut self.channels, &self.router, hash, &keyed);
        }
        if self.overdue.is_some() {
            Link::overdue(&mut self.channels, self.overdue);
        }
        Link::seal(&mut self.channels, end);
    }

    fn flush(&mut self) {
        Link::flush(&mut self.channels);
    }

    /// A record takes a row, or no room at all; only when there are no more rows it takes room.
    fn room(&mut self) -> usize {
        match Link::room(&mut self.channels) {
            0 => 0,
            room => room.max(self.free()),
        }
    }

    fn can_seal(&mut self) -> bool {
        Link::can_seal(&mut self.channels)
    }

    fn overdue(&mut self, watermark: Option<EventTime>) {
        self.overdue = watermark;
        Link::overdue(&mut self.channels, watermark);
    }

    fn part(&self) -> Option<Part> {
        Link::part(&self.channels)
    }

    fn note(&mut self, notes: &mut Notes) {
        Link::note(&mut self.channels, notes);
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        Link::recall(&mut self.channels, earlier)
    }

    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::aggregate::{count, pre_aggregated, sum};
    use crate::exchange::frame::{RowFormat, peek, take};
    use crate::exchange::ring::{Consumer, ring};
    use crate::ids::{EdgeId, Nanos, Tick};
    use crate::record::read;
    use crate::stage::context::StageContext;
    use crate::state::memory::{HeapMemory, Memory};
    use crate::window::tumbling;
    use alloc::rc::Rc;
    use alloc::vec;
    use core::time::Duration;

    type Acc = (u64, <u64 as crate::aggregate::Number>::Sum);
    type Sent = Keyed<u64, crate::aggregate::Partial<Acc>>;

    /// A writer of rows of `T` with one ring of so many bytes, and its other end.
    fn writer<T: Record>(ring_bytes: usize) -> (ExchangeWriter, Consumer, Rc<StageContext>) {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (producer, consumer) = ring(&HeapMemory, ring_bytes).unwrap();
        let context = Rc::new(StageContext::alone());
        let origins = (vec![], false);
        let writer =
            ExchangeWriter::new::<T>(EdgeId(0), vec![producer], &memory, context.clone(), origins, None);
        (writer, consumer, context)
    }

    /// What crosses, as (pane, key, records, sum), of `(time, key)`, in panes of 10 ns: all of one tick, and then of another one. With `pauses` the tick
    /// pauses after every record.
    fn crossing(records: &[(i64, u64)], pauses: bool) -> [Vec<(i64, u64, u64, u64)>; 2] {
        let (writer, mut consumer, context) = writer::<Sent>(1 << 20);
        let aggregate = pre_aggregated((count(), sum(|record: &(i64, u64)| record.1)));
        let windows = tumbling(Duration::from_nanos(10));
        let router = Arc::new(Router::new(64, 1));
        let mut end =
            PreAggregatedByKey::new(|record: &(i64, u64)| record.1, aggregate, windows, router, writer);
        [1, 2].map(|tick| {
            context.tick.set(Tick(tick));
            for record in records {
                end.push(EventTime(record.0), *record);
                if pauses {
                    Pipe::flush(&mut end);
                }
            }
            Pipe::seal(&mut end, TickEnd { ended: false, input: EventTime::MIN, now: Nanos(0) });
            received(&mut consumer)
        })
    }

    fn received(ring: &mut Consumer) -> Vec<(i64, u64, u64, u64)> {
        let mut rows = Vec::new();
        while let Some(head) = peek(ring) {
            let taken = take::<()>(ring, head, RowFormat::of::<Sent>(), |frame| {
                for row in frame.batch::<Sent>().fixed().unwrap() {
                    let Sent { at, key, item } = read::<Sent>(row);
                    let sum = <u64 as crate::aggregate::Number>::total(&item.value.1).unwrap();
                    assert_eq!(item.value.0, item.records, "every record was added");
                    rows.push((at, key, item.records, sum));
                }
                Ok(())
            });
            taken.unwrap();
        }
        rows
    }

    #[test]
    fn one_row_of_each_key_and_pane_crosses_in_the_order_of_their_first_records() {
        let records = [(13, 7), (25, 7), (11, 3), (19, 7), (-1, 3), (10, 3), (-10, 3)];
        let rows = [(10, 7, 2, 14), (20, 7, 1, 7), (10, 3, 2, 6), (-10, 3, 2, 6)];
        assert_eq!(crossing(&records, false), [rows.to_vec(), rows.to_vec()]);
    }

    #[test]
    fn what_has_no_row_crosses_at_once_and_nothing_is_lost() {
        let keys = 3 * PRE_AGGREGATED_ROWS as u64;
        let records: Vec<(i64, u64)> = (0..4 * keys).map(|n| (5, n % keys)).collect();
        let [first, second] = crossing(&records, false);
        assert_eq!(first, second, "nothing is kept from one tick to the next");
        let added_up = first.iter().filter(|row| row.2 == 4).count();
        assert!(added_up > PRE_AGGREGATED_ROWS / 2 && added_up <= PRE_AGGREGATED_ROWS, "{added_up}");
        let mut counts = vec![0; keys as usize];
        first.iter().for_each(|(_, key, records, _)| counts[*key as usize] += records);
        assert!(counts.iter().all(|count| *count == 4));
    }

    #[test]
    fn a_pause_changes_nothing_of_what_crosses() {
        let records: Vec<(i64, u64)> =
            (0..2_000).map(|n| (n, crate::exchange::hash::fold(n as u64) % 500)).collect();
        assert_eq!(crossing(&records, true), crossing(&records, false));
    }

    /// All numbers of a key, which is as much as there can be.
    #[derive(Clone)]
    struct All;

    impl Aggregate<u64> for All {
        type Item = u64;
        type Acc = Vec<u64>;
        type Out = usize;
        fn item(&self, n: &u64) -> u64 {
            *n
        }
        fn empty(&self) -> Vec<u64> {
            Vec::new()
        }
        fn add(&self, all: &mut Vec<u64>, n: u64) {
            all.push(n);
        }
        fn merge(&self, all: &mut Vec<u64>, other: &Vec<u64>) {
            all.extend(other);
        }
        fn finish(&self, all: &Vec<u64>) -> usize {
            all.len()
        }
    }

    #[test]
    fn rows_that_own_much_leave_and_large_ones_are_few() {
        type Grown = Keyed<u64, crate::aggregate::Partial<Vec<u64>>>;
        let (writer, mut consumer, context) = writer::<Grown>(1 << 20);
        let (windows, router) = (tumbling(Duration::from_nanos(10)), Arc::new(Router::new(64, 1)));
        let mut end = PreAggregatedByKey::new(|n: &u64| n % 2, pre_aggregated(All), windows, router, writer);
        context.tick.set(Tick(1));
        for n in 0..10_000 {
            end.push(EventTime(0), n);
            let kept: usize = end.rows.iter().map(|row| owned(&row.keyed.item)).sum();
            assert!(kept <= 2 * (2 * PRE_AGGREGATED_OWNED + 64), "{kept} bytes are kept");
        }
        Pipe::seal(&mut end, TickEnd { ended: false, input: EventTime::MIN, now: Nanos(0) });
        let mut all = Vec::new();
        while let Some(head) = peek(&mut consumer) {
            let taken = take::<()>(&mut consumer, head, RowFormat::of::<Grown>(), |frame| {
                frame
                    .batch::<Grown>()
                    .entries()
                    .for_each(|(_, row)| all.extend(read::<Grown>(row).item.value));
                Ok(())
            });
            taken.unwrap();
        }
        all.sort_unstable();
        assert_eq!(all, (0..10_000).collect::<Vec<u64>>());

        type End<I> = PreAggregatedByKey<(), (), u64, I>;
        assert_eq!(End::<u64>::ROWS, PRE_AGGREGATED_ROWS);
        assert!((2..100).contains(&End::<[u64; 1_000]>::ROWS));
        assert_eq!(End::<[u64; 100_000]>::ROWS, 1);
    }

    /// As many records as it says there is room for go through the ring, and no row goes beside it: of keys that have rows, and of others.
    #[test]
    fn a_record_with_a_row_needs_no_room() {
        type Large = Keyed<u64, crate::aggregate::Partial<[u64; 500]>>;
        let (writer, _consumer, _) = writer::<Large>(64 << 10);
        let windows = tumbling(Duration::from_nanos(10));
        let router = Arc::new(Router::new(64, 1));
        let mut end: PreAggregatedByKey<(), (), u64, crate::aggregate::Partial<[u64; 500]>> =
            PreAggregatedByKey::new((), (), windows, router, writer);
        let (rows, channels) = (end.free(), Link::room(&mut end.channels));
        assert!(channels < rows, "{channels} of them fit into the ring");
        assert_eq!(Link::room(&mut end), rows);
    }
}
