//! Which records need not cross an exchange: those that add nothing to a window beside one that was sent before.
//!
//! Some aggregates keep a record whole and drop most of them: the dearest bid of an auction. For these
//! ([`Aggregate::SELECTS`](crate::aggregate::Aggregate::SELECTS)) a sender remembers the last item that it sent of a key and pane. A
//! record that adds nothing beside it is neither archived nor sent, and its text is not even read. Nothing else changes: the item
//! before it is at the receiver by then, since what one shard sends another is taken in its order, so the state there is the same after
//! every tick, whatever was left out.
//!
//! A record that comes late has to be counted, so none is left out that might. A receiver has closed a window only if all its senders
//! have said a watermark at or beyond its end: as long as this sender has not (`risen`), no record of the pane is late anywhere. A
//! sender that was idle was not waited for, and says so by a watermark beyond all others; from then on it leaves nothing out.
//!
//! ```text
//!  slots    a fixed number; a key's is chosen by its hash, and the next key with the same slot takes its place
//! ```
//!
//! It is no part of the state: what a sender has said is noted, and a restart begins with empty slots, and sends a little more. Behind a
//! start of a changed program nothing is left out, since nobody knows what the one before it had said. Costs a look at one slot for each record.

use crate::bounds::{SURPASSED_BYTES_MAX, SURPASSED_SLOTS};
use crate::ids::EventTime;
use crate::state::memory::{Buf, Memory};
use crate::window::{Windows, within};
use alloc::sync::Arc;

/// The last that was sent of a key and pane.
struct Slot<K, I> {
    hash: u64,
    /// The pane, and the end of its last window.
    from: i64,
    to: i64,
    last_end: EventTime,
    key: K,
    item: I,
}

/// See the [module](self).
pub(crate) struct Surpassed<K, I> {
    windows: Windows,
    /// A power of two of them, once anything was sent; none at all if there was no memory for them.
    slots: Buf<Option<Slot<K, I>>>,
    is_off: bool,
}

impl<K: Eq, I> Surpassed<K, I> {
    /// As many slots as there may be bytes for.
    const SLOTS: usize = {
        let fit = SURPASSED_BYTES_MAX / size_of::<Option<Slot<K, I>>>();
        let fit = if fit < SURPASSED_SLOTS { fit } else { SURPASSED_SLOTS };
        if fit == 0 { 1 } else { 1 << fit.ilog2() }
    };

    /// Nothing was sent into `windows` yet.
    pub(crate) fn new(windows: Windows, memory: &Arc<dyn Memory>) -> Self {
        Surpassed { windows, slots: Buf::new(memory.clone()), is_off: false }
    }

    /// The item that was sent of the key, into the pane that holds `at`, if it is known still and nothing of that pane can be late while
    /// no watermark beyond `risen` was said.
    #[inline(always)]
    pub(crate) fn sent(&self, (hash, key): (u64, &K), at: EventTime, risen: EventTime) -> Option<&I> {
        let slot = self.slots.get(hash as usize % Self::SLOTS)?.as_ref()?;
        let same = slot.hash == hash && slot.from <= at.0 && at.0 < slot.to && slot.key == *key;
        (same && slot.last_end > risen).then_some(&slot.item)
    }

    /// Remembers what was sent.
    #[inline(always)]
    pub(crate) fn remember(&mut self, (hash, key): (u64, K), at: EventTime, item: I) {
        if self.slots.is_empty() && !self.make() {
            return;
        }
        let from = self.windows.pane(at.0);
        let (to, last_end) = (self.windows.pane_end(from), within(self.windows.last_end(from)));
        self.slots[hash as usize % Self::SLOTS] = Some(Slot { hash, from, to, last_end, key, item });
    }

    #[cold]
    fn make(&mut self) -> bool {
        if !self.is_off && self.slots.reserve(Self::SLOTS).is_ok() {
            (0..Self::SLOTS).for_each(|_| self.slots.push(None));
        } else {
            self.is_off = true;
        }
        !self.is_off
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::aggregate::max_by;
    use crate::bounds::RING_BYTES_MIN;
    use crate::checkpoint::notes::{Earlier, Noted, Notes};
    use crate::exchange::frame::{RowFormat, peek, take};
    use crate::exchange::partition::{ByKey, ExchangeWriter, Keyed};
    use crate::exchange::ring::{Consumer, ring};
    use crate::exchange::router::Router;
    use crate::ids::{EdgeId, ShardId};
    use crate::operator::push::Push;
    use crate::stage::context::{IDLE, StageContext, WatermarkOrigin};
    use crate::state::memory::HeapMemory;
    use crate::window::{hopping, tumbling};
    use alloc::rc::Rc;
    use alloc::string::String;
    use alloc::vec;
    use core::cell::Cell;
    use core::convert::Infallible;
    use core::time::Duration;

    fn surpassed<I>(size: u64, slide: u64) -> Surpassed<u64, I> {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        Surpassed::new(hopping(Duration::from_nanos(size), Duration::from_nanos(slide)), &memory)
    }

    #[test]
    fn what_was_sent_is_known_for_its_key_and_pane_until_it_may_be_late() {
        let mut sent = surpassed(10, 5);
        assert_eq!(sent.sent((7, &1), EventTime(3), EventTime::MIN), None);
        sent.remember((7, 1), EventTime(3), 'a');
        assert_eq!(sent.sent((7, &1), EventTime(0), EventTime::MIN), Some(&'a'));
        // Another key of the same hash, another hash, another pane.
        assert_eq!(sent.sent((7, &2), EventTime(3), EventTime::MIN), None);
        assert_eq!(sent.sent((8, &1), EventTime(3), EventTime::MIN), None);
        assert_eq!(sent.sent((7, &1), EventTime(5), EventTime::MIN), None);
        assert_eq!(sent.sent((7, &1), EventTime(-1), EventTime::MIN), None);
        // The last window with the pane is 0 to 10.
        assert_eq!(sent.sent((7, &1), EventTime(3), EventTime(9)), Some(&'a'));
        assert_eq!(sent.sent((7, &1), EventTime(3), EventTime(10)), None);
        assert_eq!(sent.sent((7, &1), EventTime(3), IDLE), None);
        sent.remember((7 + Surpassed::<u64, char>::SLOTS as u64, 2), EventTime(3), 'b');
        assert_eq!(sent.sent((7, &1), EventTime(3), EventTime::MIN), None, "another has its slot");
    }

    #[test]
    fn at_the_ends_of_time_nothing_is_left_out_that_may_be_late() {
        let mut sent = surpassed(10, 10);
        for at in [EventTime(i64::MIN), EventTime(i64::MAX), EventTime(i64::MIN + 3)] {
            sent.remember((7, 1), at, ());
            assert_eq!(sent.sent((7, &1), at, EventTime::MAX), None);
        }
    }

    #[test]
    fn large_items_have_fewer_slots() {
        assert_eq!(Surpassed::<u64, char>::SLOTS, SURPASSED_SLOTS);
        const { assert!(Surpassed::<u64, [u64; 1_000]>::SLOTS * 8_000 <= SURPASSED_BYTES_MAX) };
        assert_eq!(Surpassed::<u64, [u64; 1_000_000]>::SLOTS, 1);
    }

    /// The sending end of an exchange whose windows keep the greatest price, and the ring behind it. Prices are the numbers; the text owns memory.
    struct Sender<P> {
        end: P,
        ring: Consumer,
        watermark: Rc<Cell<EventTime>>,
        context: Rc<StageContext>,
    }

    fn sender() -> Sender<impl Push<(u64, String)>> {
        let (producer, consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
        let (context, memory) = (StageContext::new(ShardId(0), Arc::default()), Arc::new(HeapMemory) as _);
        let watermark = context.generator(0);
        let says = (vec![WatermarkOrigin::Generator(0)], false);
        let channels = ExchangeWriter::new::<Keyed<u8, (u64, String)>>(
            EdgeId(0),
            vec![producer],
            &memory,
            context.clone(),
            says,
            None,
        );
        let windows = tumbling(Duration::from_nanos(10));
        let dearest = max_by(|(price, _): &(u64, String)| *price);
        let router = Arc::new(Router::new(1, 1));
        let end = ByKey::new(|_: &(u64, String)| 1u8, dearest, windows, router, channels);
        Sender { end, ring: consumer, watermark, context }
    }

    impl<P: Push<(u64, String)>> Sender<P> {
        /// Sends these prices at these times, and then says `watermark`; how many records crossed.
        fn tick(&mut self, records: &[(i64, u64)], watermark: EventTime) -> usize {
            for &(at, price) in records {
                self.end.push(EventTime(at), (price, String::from("text of a length")));
            }
            self.watermark.set(watermark);
            self.end.each_link(&mut |link| link.seal());
            self.context.check().unwrap();
            let mut crossed = 0;
            while let Some(head) = peek(&mut self.ring) {
                let Ok(_) = take(
                    &mut self.ring,
                    head,
                    RowFormat::of::<Keyed<u8, (u64, String)>>(),
                    |frame| -> Result<(), Infallible> {
                        crossed += frame.count();
                        Ok(())
                    },
                );
            }
            crossed
        }

        fn noted(&mut self) -> Notes {
            let mut notes = Notes::default();
            self.end.each_link(&mut |link| link.note(&mut notes));
            notes
        }

        fn recall(&mut self, notes: &[&Notes], mine: Option<usize>) {
            let shards = notes.iter().map(|notes| Noted::new(notes.as_slice())).collect();
            let mut earlier = Earlier { shards, mine };
            self.end.each_link(&mut |link| link.recall(&mut earlier).unwrap());
            assert!(earlier.shards.iter().all(Noted::is_empty));
        }
    }

    #[test]
    fn what_adds_nothing_stays_unless_it_may_be_late() {
        let mut sender = sender();
        assert_eq!(sender.tick(&[(3, 5), (4, 4), (3, 5), (5, 6), (9, 5)], EventTime(4)), 2);
        assert_eq!(sender.tick(&[(1, 5), (12, 1), (12, 1)], EventTime(10)), 1);
        // Whoever has heard of 10 may have closed the first window, not the second.
        assert_eq!(sender.tick(&[(12, 1), (13, 0)], EventTime(10)), 0);
        assert_eq!(sender.tick(&[(3, 9), (4, 4)], EventTime(10)), 2);
        // A watermark that falls was said all the same.
        sender.tick(&[], EventTime(20));
        assert_eq!(sender.tick(&[(12, 2), (13, 1)], EventTime(12)), 2);
        assert_eq!(sender.tick(&[(13, 1), (21, 1), (22, 1)], EventTime(12)), 2);
    }

    #[test]
    fn whoever_was_idle_leaves_nothing_out() {
        let mut sender = sender();
        assert_eq!(sender.tick(&[(3, 5), (4, 4)], IDLE), 1);
        assert_eq!(sender.tick(&[(25, 5), (26, 4)], EventTime(25)), 2);
        assert_eq!(sender.tick(&[(25, 5), (26, 4)], EventTime(25)), 2);
    }

    #[test]
    fn what_was_said_is_known_after_a_restart() {
        let (mut early, mut idle) = (sender(), sender());
        early.tick(&[], EventTime(20));
        early.tick(&[], EventTime(5));
        idle.tick(&[], IDLE);
        idle.tick(&[], EventTime(7));
        let (early, idle) = (early.noted(), idle.noted());
        let late_and_not = [(12, 2), (13, 1), (21, 2), (22, 1)];
        let after = |notes: &[&Notes], mine| {
            let mut sender = sender();
            sender.recall(notes, mine);
            sender.tick(&late_and_not, EventTime(5))
        };
        assert_eq!(after(&[&early], Some(0)), 3);
        assert_eq!(after(&[&idle], Some(0)), 4);
        // One that was waited for bounds what all receivers did.
        assert_eq!(after(&[&early, &idle], Some(0)), 3);
        assert_eq!(after(&[&early, &idle], Some(1)), 3);
        assert_eq!(after(&[&early, &idle], None), 3);
    }
}
