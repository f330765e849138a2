//! Streams that fork or meet inside of a stage: a queue between two chains of the same shard.
//!
//! The queue is emptied after every frame or poll, so it holds what one of them yields. Nothing crosses a core here. Its memory is counted, but
//! for what records own on the heap, which they are not asked for: they may be of any type. Where one frame or poll yields more than the memory
//! limit allows, which only a `flat_map` can do, the job stops and says so.

use crate::fault::{Fault, OutOfMemory};
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::state::fifo::Fifo;
use crate::state::memory::Memory;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;

/// A queue between chains.
pub type Queue<T> = Rc<RefCell<QueuedRecords<T>>>;

/// What is in a queue between chains.
pub struct QueuedRecords<T> {
    records: Fifo<(EventTime, T)>,
    /// How many have come, and of those that are overdue: after how many, and how far.
    came: u64,
    overdue: Fifo<(u64, EventTime)>,
    /// There was no room for a record, and what comes is dropped: the job stops.
    refused: Option<OutOfMemory>,
}

impl<T> QueuedRecords<T> {
    /// None, in memory of `memory`.
    pub(crate) fn queue(memory: Arc<dyn Memory>) -> Queue<T> {
        let (records, overdue) = (Fifo::new(memory.clone()), Fifo::new(memory));
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
    taken: Fifo<(EventTime, T)>,
    overdue: Fifo<(u64, EventTime)>,
    next: N,
}

impl<T, N> FromQueue<T, N> {
    /// Pushes what is in `queue` into `next`. What is taken out is in memory of `memory`.
    pub fn new(queue: Queue<T>, memory: Arc<dyn Memory>, next: N) -> Self {
        FromQueue { queue, taken: Fifo::new(memory.clone()), overdue: Fifo::new(memory), next }
    }
}

impl<T: 'static, N: Push<T>> FromQueue<T, N> {
    /// Pushes what was taken, some of which is overdue.
    #[cold]
    #[inline(never)]
    fn drain_overdue(&mut self) {
        let FromQueue { taken, overdue, next, .. } = self;
        let (mut number, mut told) = (0, None);
        let mut noted = overdue.iter().peekable();
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
        if !self.overdue.is_empty() {
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
                } else if chance.is_multiple_of(3) {
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
}
