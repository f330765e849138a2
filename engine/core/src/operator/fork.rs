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
        Rc::new(RefCell::new(QueuedRecords { records: Counted::new(&memory), refused: None }))
    }

    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if self.refused.is_none() {
            self.refused = self.records.push((at, record)).err();
        }
    }
}

/// The end of a chain in a queue.
pub struct ToQueue<T> {
    queue: Queue<T>,
}

impl<T> ToQueue<T> {
    /// Puts what is pushed into `queue`.
    pub fn new(queue: Queue<T>) -> Self {
        ToQueue { queue }
    }
}

impl<T: 'static> Pipe for ToQueue<T> {
    fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
}

impl<T: 'static> Push<T> for ToQueue<T> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        self.queue.borrow_mut().push(at, record);
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
    fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
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
    next: N,
}

impl<T, N> FromQueue<T, N> {
    /// Pushes what is in `queue` into `next`. What is taken out is in memory of `memory`.
    pub fn new(queue: Queue<T>, memory: Arc<dyn Memory>, next: N) -> Self {
        FromQueue { queue, taken: Counted::new(&memory), next }
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
    use crate::exchange::hash::join;
    use crate::state::memory::limited::Limited;

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
