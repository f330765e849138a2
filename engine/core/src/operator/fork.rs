//! Streams that fork or meet inside of a stage: a queue between two chains of the same shard.
//!
//! The queue is emptied after every frame or poll, so it holds what one of them yields. Nothing crosses a core here. Its memory is counted, but
//! for what records own on the heap, which they are not asked for: they may be of any type. Where one frame or poll yields more than the memory
//! limit allows, which only a `flat_map` can do, the job stops and says so.

use crate::bounds::QUEUE_SPARE_MAX;
use crate::fault::{Fault, OutOfMemory};
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::state::blocks::BlockQueue;
use crate::state::charge::Charge;
use crate::state::memory::Memory;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;

/// A queue between chains.
pub type Queue<T> = Rc<RefCell<QueuedRecords<T>>>;

/// What is in a queue between chains.
pub struct QueuedRecords<T> {
    records: Counted<(EventTime, T)>,
    /// How many have come, and of those that are overdue: after how many, and how far.
    came: u64,
    overdue: Counted<(u64, EventTime)>,
    /// There was no room for a record, and what comes is dropped: the job stops.
    refused: Option<OutOfMemory>,
}

/// A queue whose blocks are counted.
struct Counted<T> {
    items: BlockQueue<T>,
    charge: Charge,
}

impl<T> Counted<T> {
    fn new(memory: &Arc<dyn Memory>) -> Self {
        let mut charge = Charge::default();
        charge.begin(memory);
        Counted { items: BlockQueue::with_spare(QUEUE_SPARE_MAX), charge }
    }

    #[inline(always)]
    fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        let charge = &mut self.charge;
        self.items.try_push_back(item, |bytes| charge.fits(bytes).and_then(|()| charge.add(bytes)))
    }

    #[inline]
    fn take_all(&mut self, take: impl FnMut(T)) {
        self.items.take_all(take);
        self.charge.sub(self.charge.bytes() - self.items.bytes());
    }
}

impl<T> QueuedRecords<T> {
    /// None, in memory of `memory`.
    pub(crate) fn queue(memory: Arc<dyn Memory>) -> Queue<T> {
        let (records, overdue) = (Counted::new(&memory), Counted::new(&memory));
        Rc::new(RefCell::new(QueuedRecords { records, came: 0, overdue, refused: None }))
    }

    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if self.refused.is_none() {
            self.refused = self.records.push((at, record)).err();
            self.came += 1;
        }
    }

    /// What is pushed next is overdue.
    #[cold]
    #[inline(never)]
    fn note_overdue(&mut self, watermark: EventTime) {
        if self.refused.is_none() {
            self.refused = self.overdue.push((self.came, watermark)).err();
        }
    }
}

/// The end of a chain in a queue.
pub struct ToQueue<T> {
    queue: Queue<T>,
    /// Of what this chain pushes: others may push into the same queue.
    overdue: Option<EventTime>,
}

impl<T> ToQueue<T> {
    /// Puts what is pushed into `queue`.
    pub fn new(queue: Queue<T>) -> Self {
        ToQueue { queue, overdue: None }
    }
}

impl<T: 'static> Pipe for ToQueue<T> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
    }
}

impl<T: 'static> Link for ToQueue<T> {
    fn overdue(&mut self, watermark: Option<EventTime>) {
        self.overdue = watermark;
    }
}

impl<T: 'static> Push<T> for ToQueue<T> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let mut queue = self.queue.borrow_mut();
        if let Some(watermark) = self.overdue {
            queue.note_overdue(watermark);
        }
        queue.push(at, record);
    }
}

/// Where an operator puts records that do not go on: into a queue with which another chain begins, or nowhere.
///
/// A field and not the end of a chain of its own: an operator would be compiled once for each kind of end.
pub struct SideOutput<T>(Option<Queue<T>>);

impl<T> SideOutput<T> {
    /// Into `queue`, if there is one.
    pub fn new(queue: Option<Queue<T>>) -> Self {
        SideOutput(queue)
    }

    /// Puts a record there. Rare, and kept out of the loops that do it.
    #[cold]
    #[inline(never)]
    pub fn push(&mut self, at: EventTime, record: T) {
        if let Some(queue) = &self.0 {
            queue.borrow_mut().push(at, record);
        }
    }
}

/// The end of a chain in two queues, each of which gets every record.
pub struct ToBoth<T> {
    left: ToQueue<T>,
    right: ToQueue<T>,
}

impl<T> ToBoth<T> {
    /// Puts what is pushed into `left` and `right`.
    pub fn new(left: Queue<T>, right: Queue<T>) -> Self {
        ToBoth { left: ToQueue::new(left), right: ToQueue::new(right) }
    }
}

impl<T: 'static> Pipe for ToBoth<T> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(&mut self.left);
        visit(&mut self.right);
    }
}

impl<T: Clone + 'static> Push<T> for ToBoth<T> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        self.left.push(at, record.clone());
        self.right.push(at, record);
    }
}

/// A chain that begins at a queue.
pub trait ForkBuffer: Pipe {
    /// Pushes everything in the queue down the chain.
    ///
    /// # Errors
    /// When there was no room in the queue for all that came.
    fn drain(&mut self) -> Result<(), Fault>;
}

/// The reader of a queue.
pub struct FromQueue<T, N> {
    queue: Queue<T>,
    taken: Counted<(EventTime, T)>,
    overdue: Counted<(u64, EventTime)>,
    next: N,
}

impl<T, N> FromQueue<T, N> {
    /// Pushes what is in `queue` into `next`. What is taken out is in memory of `memory`.
    pub fn new(queue: Queue<T>, memory: Arc<dyn Memory>, next: N) -> Self {
        let (taken, overdue) = (Counted::new(&memory), Counted::new(&memory));
        FromQueue { queue, taken, overdue, next }
    }
}

impl<T: 'static, N: Push<T>> FromQueue<T, N> {
    /// Pushes what was taken, some of which is overdue.
    #[cold]
    #[inline(never)]
    fn drain_overdue(&mut self) {
        let FromQueue { taken, overdue, next, .. } = self;
        let (mut number, mut told) = (0, None);
        let mut noted = overdue.items.iter().peekable();
        taken.take_all(|(at, record)| {
            let watermark = noted.next_if(|(of, _)| *of == number).map(|(_, watermark)| *watermark);
            if watermark != told {
                next.overdue(watermark);
                told = watermark;
            }
            number += 1;
            next.push(at, record);
        });
        if told.is_some() {
            next.overdue(None);
        }
        drop(noted);
        overdue.take_all(drop);
    }
}

impl<T: 'static, N: Push<T>> ForkBuffer for FromQueue<T, N> {
    fn drain(&mut self) -> Result<(), Fault> {
        {
            let mut queue = self.queue.borrow_mut();
            if let Some(refused) = queue.refused.take() {
                return Err(refused.into());
            }
            core::mem::swap(&mut self.taken, &mut queue.records);
            core::mem::swap(&mut self.overdue, &mut queue.overdue);
            queue.came = 0;
        }
        if !self.overdue.items.is_empty() {
            self.drain_overdue();
            return Ok(());
        }
        self.taken.take_all(|(at, record)| self.next.push(at, record));
        Ok(())
    }
}

impl<T: 'static, N: Pipe> Pipe for FromQueue<T, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::HEAP_STEP_BYTES;
    use crate::exchange::hash::join;
    use crate::state::memory::limited::Limited;
    use alloc::vec::Vec;

    const BLOCK: usize = BlockQueue::<(u64, [u64; 15])>::BLOCK_BYTES;

    /// In their order, however many; and all blocks but a few go back that are not needed.
    #[test]
    fn records_come_out_as_they_went_in_and_blocks_go_back() {
        let limited = Limited::new(usize::MAX);
        let mut queue = Counted::new(&(limited.clone() as Arc<dyn Memory>));
        for round in 0..200u64 {
            let count = if round == 150 { 20_000 } else { join(7, round) % 700 };
            (0..count).for_each(|item| queue.push((item, [round; 15])).unwrap());
            assert!(limited.in_use() >= count as usize * size_of::<(u64, [u64; 15])>());
            let mut next = 0;
            queue.take_all(|(item, rest)| {
                assert_eq!((item, rest), (next, [round; 15]));
                next += 1;
            });
            assert_eq!(next, count);
            queue.take_all(|_| panic!("it is empty"));
            // The one that is left, those that are spare, and what is charged ahead.
            assert!(limited.in_use() <= (QUEUE_SPARE_MAX + 1 + 2) * BLOCK, "{}", limited.in_use());
        }
        assert!(limited.in_use() > QUEUE_SPARE_MAX * BLOCK, "as many as there may be have stayed");
        drop(queue);
        assert_eq!(limited.in_use(), 0);
    }

    /// What came out of a queue, and how far it was overdue.
    type Seen = Vec<(EventTime, u64, Option<EventTime>)>;

    /// Notes what comes.
    struct Out {
        overdue: Option<EventTime>,
        seen: Rc<RefCell<Seen>>,
    }

    impl Pipe for Out {
        fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
            visit(self);
        }
    }

    impl Link for Out {
        fn overdue(&mut self, watermark: Option<EventTime>) {
            self.overdue = watermark;
        }
    }

    impl Push<u64> for Out {
        fn push(&mut self, at: EventTime, record: u64) {
            self.seen.borrow_mut().push((at, record, self.overdue));
        }
    }

    /// Two chains push into one queue, each with what is overdue of its own: through any number of blocks, one record or many in a row.
    #[test]
    fn what_is_overdue_is_so_behind_the_queue() {
        let memory: Arc<dyn Memory> = Limited::new(usize::MAX);
        let queue = QueuedRecords::queue(memory.clone());
        let seen = Rc::<RefCell<Seen>>::default();
        let mut from = FromQueue::new(queue.clone(), memory, Out { overdue: None, seen: seen.clone() });
        for (round, count) in [3, 0, 700, 10_000, 900].into_iter().enumerate() {
            let mut chains = [ToQueue::new(queue.clone()), ToQueue::new(queue.clone())];
            let mut expected = Vec::new();
            for n in 0..count {
                let chance = join(round as u64, n);
                let chain = &mut chains[(chance >> 40) as usize % 2];
                // Rounds in which most are, few are and none is.
                if chance % [2, 50, usize::MAX as u64][round % 3] == 1 {
                    Link::overdue(chain, Some(EventTime((chance >> 20) as i64 % 3)));
                } else if chance % 3 == 0 {
                    Link::overdue(chain, None);
                }
                chain.push(EventTime(n as i64), chance);
                expected.push((EventTime(n as i64), chance, chain.overdue));
            }
            from.drain().unwrap();
            assert!(seen.take() == expected, "round {round}");
            assert_eq!(from.next.overdue, None, "what comes next is not, unless that is said");
        }
    }

    /// Notes of what is overdue count as records do: without room for them the job stops, and no record goes on as what it is not.
    #[test]
    fn notes_of_what_is_overdue_are_refused_without_room() {
        let memory: Arc<dyn Memory> = Limited::new(HEAP_STEP_BYTES);
        let queue = QueuedRecords::queue(memory.clone());
        let seen = Rc::<RefCell<Seen>>::default();
        let mut from = FromQueue::new(queue.clone(), memory, Out { overdue: None, seen: seen.clone() });
        let mut chain = ToQueue::new(queue);
        chain.push(EventTime(0), 1);
        Link::overdue(&mut chain, Some(EventTime(7)));
        // There is a block of records with room for more, and none for notes.
        chain.push(EventTime(0), 2);
        assert!(from.drain().is_err() && seen.borrow().is_empty());
    }

    #[test]
    fn a_block_too_much_is_refused_and_what_is_there_stays() {
        let limited = Limited::new(4 * BLOCK);
        let mut queue = Counted::new(&(limited.clone() as Arc<dyn Memory>));
        let fit = 4 * BLOCK as u64 / 8;
        (0..fit).for_each(|item| queue.push(item).unwrap());
        let refused = queue.push(fit).unwrap_err();
        assert_eq!((refused.asked, refused.in_use, refused.limit), (BLOCK, 4 * BLOCK, 4 * BLOCK));
        let mut next = 0;
        queue.take_all(|item| {
            assert_eq!(item, next);
            next += 1;
        });
        assert_eq!(next, fit);
        assert_eq!(queue.push(1), Ok(()));
    }
}
