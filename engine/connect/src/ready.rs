//! Many senders, one reader: which of the queues that senders are spread over have something in them.
//!
//! Senders on many threads that share one lock spend their time waiting for each other: 64 of them got 5,000 records a second through it. So a
//! source that is fed from outside has [`STRIPES`] queues, each with a lock of its own, and each sender always uses the same one. A queue that
//! gets something while it was empty is *listed*: its bit is set here, and the engine is rung for, once. The reader takes all bits at once, and
//! goes through the queues in turn, from where it was.
//!
//! The reader only tries a queue's lock: whoever holds it may have lost his CPU, and the others are not to wait for that. A queue whose lock is
//! held stays listed with the reader.
//!
//! Costs: for each record one lock that is hardly ever contended; for each listing one atomic on a shared line, and a look at the doorbell.

use crate::bounds::STRIPES;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place on its own cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// The queues that are listed.
#[derive(Debug, Default)]
pub(super) struct Ready(Padded<AtomicU64>);

impl Ready {
    /// Lists a queue, under its lock: who holds that lock later sees it listed.
    pub(super) fn list(&self, stripe: usize) {
        self.0.0.fetch_or(1 << stripe, Ordering::Release);
    }

    fn take(&self) -> u64 {
        if self.0.0.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.0.0.swap(0, Ordering::Acquire)
    }
}

/// The reader's side: the queues that it has to look at, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    left: u64,
    next: u32,
}

impl Turns {
    /// Takes over what is listed.
    pub(super) fn refill(&mut self, ready: &Ready) {
        self.left |= ready.take();
    }

    /// The next queue to look at.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let ahead = self.left.rotate_right(self.next).trailing_zeros();
        let stripe = (self.next + ahead) % STRIPES as u32;
        self.left &= !(1 << stripe);
        self.next = (stripe + 1) % STRIPES as u32;
        Some(stripe as usize)
    }
}

/// Empties the next queue that can be had, by `empty`, which says what was in it if anything was. `try_lock` looks whether a queue can be had
/// now, and `lock` waits for it: that is done only when there is nothing else, and whoever holds it is about to let go.
pub(super) fn next_batch<G, B>(
    turns: &mut Turns,
    try_lock: impl Fn(usize) -> Option<G>,
    lock: impl Fn(usize) -> G,
    mut empty: impl FnMut(usize, G) -> Option<B>,
) -> Option<B> {
    let mut busy = 0u64;
    let mut batch = None;
    while batch.is_none()
        && let Some(stripe) = turns.next()
    {
        match try_lock(stripe) {
            Some(guard) => batch = empty(stripe, guard),
            None => busy |= 1 << stripe,
        }
    }
    while batch.is_none() && busy != 0 {
        let stripe = busy.trailing_zeros() as usize;
        busy &= busy - 1;
        batch = empty(stripe, lock(stripe));
    }
    turns.left |= busy;
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_have_their_turns() {
        let (ready, mut turns) = (Ready::default(), Turns::default());
        [0, 5, 63].iter().for_each(|stripe| ready.list(*stripe));
        turns.refill(&ready);
        assert_eq!((turns.next(), turns.next()), (Some(0), Some(5)));
        // Those that come again wait for those that are there.
        [0, 5, 6].iter().for_each(|stripe| ready.list(*stripe));
        turns.refill(&ready);
        let order: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(order, [6, 63, 0, 5]);
        turns.refill(&ready);
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn a_queue_whose_lock_is_held_keeps_no_other_waiting() {
        let (ready, mut turns) = (Ready::default(), Turns::default());
        (0..3).for_each(|stripe| ready.list(stripe));
        turns.refill(&ready);
        let take = |turns: &mut Turns, held: usize| {
            next_batch(
                turns,
                |stripe| (stripe != held).then_some(stripe),
                |stripe| stripe,
                |_, stripe| Some(stripe),
            )
        };
        assert_eq!(take(&mut turns, 0), Some(1));
        assert_eq!(take(&mut turns, 2), Some(0), "its turn came again");
        assert_eq!(take(&mut turns, 2), Some(2), "there is nothing else");
        assert_eq!(take(&mut turns, 2), None);
    }
}
