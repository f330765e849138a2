//! Bytes of rows that wait outside of a shard's state, charged to the memory limit: in an inlet, in a subscription.
//!
//! Whoever puts a row there says what it takes, and whoever takes it away says the same. The memory is told in pieces, so that a row costs an
//! addition. A charge without a memory, before a run begins or in a test, counts and is never refused.

use crate::bounds::HEAP_STEP_BYTES;
use crate::fault::OutOfMemory;
use crate::state::memory::{Memory, Region};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A part of a memory for what can be held back, so that it leaves room for what cannot: rows that wait to be taken in must not be what a table
/// is refused for.
pub struct Share {
    memory: Arc<dyn Memory>,
    limit: usize,
    in_use: AtomicUsize,
}

impl Share {
    /// One part in `parts` of `memory`.
    pub fn one_in(parts: usize, memory: &Arc<dyn Memory>) -> Arc<dyn Memory> {
        let (memory, limit) = (memory.clone(), memory.limit() / parts);
        Arc::new(Share { memory, limit, in_use: AtomicUsize::new(0) })
    }
}

impl Memory for Share {
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
        self.memory.map(bytes)
    }

    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let limit = self.limit;
        let add = |in_use: usize| in_use.checked_add(bytes).filter(|sum| *sum <= limit);
        let before = self.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        before.map_err(|in_use| OutOfMemory { asked: bytes, in_use, limit })?;
        self.memory.charge(bytes).inspect_err(|_| {
            self.in_use.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn refund(&self, bytes: usize) {
        self.memory.refund(bytes);
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

/// See the [module](self). Dropped, it gives back what was charged.
#[derive(Default)]
pub struct Charge {
    memory: Option<Arc<dyn Memory>>,
    counted: usize,
    charged: usize,
}

impl Charge {
    /// What is counted from now on is charged to `memory`, and what is counted already as far as there is room for it.
    pub fn begin(&mut self, memory: &Arc<dyn Memory>) {
        self.refund(0);
        self.memory = Some(memory.clone());
        // What is more waits already, and cannot be refused any more.
        let _ = self.fits(0);
    }

    /// Bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.counted
    }

    /// Whether `bytes` more fit; if so, they are charged already when they are [added](Self::add).
    ///
    /// # Errors
    /// When the memory limit refuses them.
    #[inline]
    pub fn fits(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let wanted = self.counted.saturating_add(bytes);
        if wanted <= self.charged { Ok(()) } else { self.charge(wanted) }
    }

    #[cold]
    fn charge(&mut self, wanted: usize) -> Result<(), OutOfMemory> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let wanted = wanted.checked_next_multiple_of(HEAP_STEP_BYTES).unwrap_or(usize::MAX);
        memory.charge(wanted - self.charged)?;
        self.charged = wanted;
        Ok(())
    }

    /// Counts `bytes` more, and charges them.
    ///
    /// # Errors
    /// When the memory limit refuses them. They are counted then as well: it is for the caller to say whether they stay, or [go](Self::sub).
    #[inline]
    pub fn add(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let fits = self.fits(bytes);
        self.counted += bytes;
        fits
    }

    /// `bytes` that were counted are gone.
    #[inline]
    pub fn sub(&mut self, bytes: usize) {
        // A type of somebody's own may be wrong about what it owns.
        self.counted = self.counted.saturating_sub(bytes);
        self.trim();
    }

    #[inline]
    fn trim(&mut self) {
        // Two pieces of play, so that what comes and goes in turn costs nothing.
        if self.charged >= self.counted + 3 * HEAP_STEP_BYTES {
            self.refund(self.counted.next_multiple_of(HEAP_STEP_BYTES));
        }
    }

    /// Nothing is there any more.
    pub fn clear(&mut self) {
        self.counted = 0;
        self.refund(0);
    }

    /// Takes over what `other` has counted and been charged, which has nothing then. Both must be charged to the same memory.
    pub fn absorb(&mut self, other: &mut Charge) {
        self.counted += core::mem::take(&mut other.counted);
        self.charged += core::mem::take(&mut other.charged);
        self.trim();
    }

    fn refund(&mut self, to: usize) {
        if let Some(memory) = &self.memory
            && self.charged > to
        {
            memory.refund(self.charged - to);
            self.charged = to;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.refund(0);
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Charge { counted, charged, .. } = self;
        f.debug_struct("Charge").field("counted", counted).field("charged", charged).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::memory::limited::Limited;

    const STEP: usize = HEAP_STEP_BYTES;

    #[test]
    fn what_waits_is_charged_in_pieces_and_given_back() {
        let limited = Limited::new(10 * STEP);
        let memory: Arc<dyn Memory> = limited.clone();
        let (mut one, mut other) = (Charge::default(), Charge::default());
        one.add(STEP + 1).unwrap();
        assert_eq!(limited.in_use(), 0, "nobody asked");
        one.begin(&memory);
        other.begin(&memory);
        assert_eq!(limited.in_use(), 2 * STEP);
        other.add(3 * STEP).unwrap();
        one.absorb(&mut other);
        assert_eq!((one.bytes(), other.bytes(), limited.in_use()), (4 * STEP + 1, 0, 5 * STEP));
        one.fits(5 * STEP).unwrap();
        assert_eq!(limited.in_use(), 10 * STEP, "it is there when it is needed");
        let refused = one.fits(6 * STEP).unwrap_err();
        assert_eq!((refused.asked, refused.in_use, refused.limit), (STEP, 10 * STEP, 10 * STEP));
        one.sub(4 * STEP);
        assert_eq!((one.bytes(), limited.in_use()), (1, STEP));
        assert!(one.add(20 * STEP).is_err());
        assert_eq!(one.bytes(), 20 * STEP + 1, "counted, be it refused");
        one.sub(20 * STEP);
        one.clear();
        other.add(1).unwrap();
        drop((one, other));
        assert_eq!(limited.in_use(), 0);
    }

    #[test]
    fn a_share_has_a_limit_of_its_own_below_that_of_the_whole() {
        let limited = Limited::new(16 * STEP);
        let memory: Arc<dyn Memory> = limited.clone();
        let share = Share::one_in(4, &memory);
        let (mut one, mut other) = (Charge::default(), Charge::default());
        one.begin(&share);
        other.begin(&share);
        one.add(3 * STEP).unwrap();
        let refused = other.fits(2 * STEP).unwrap_err();
        assert_eq!((refused.in_use, refused.limit, limited.in_use()), (3 * STEP, 4 * STEP, 3 * STEP));
        other.add(STEP).unwrap();
        drop(one);
        assert_eq!(limited.in_use(), STEP);
        memory.charge(15 * STEP).unwrap();
        assert_eq!(other.fits(STEP).unwrap_err().limit, 16 * STEP, "the whole is full");
        memory.refund(STEP);
        assert_eq!((other.fits(STEP), limited.in_use()), (Ok(()), 16 * STEP));
    }

    /// Many small parts that are taken over take together what they are, and not a piece each.
    #[test]
    fn what_is_taken_over_often_is_not_charged_more_than_it_is() {
        let limited = Limited::new(usize::MAX);
        let memory: Arc<dyn Memory> = limited.clone();
        let (mut all, mut part) = (Charge::default(), Charge::default());
        all.begin(&memory);
        part.begin(&memory);
        for _ in 0..1_000 {
            part.add(100).unwrap();
            all.absorb(&mut part);
        }
        assert_eq!(all.bytes(), 100_000);
        assert!(limited.in_use() <= 100_000 + 3 * STEP, "{}", limited.in_use());
    }

    /// A run begins where rows wait that came before it: they stay, whatever its limit.
    #[test]
    fn what_waits_already_is_not_refused() {
        let limited = Limited::new(STEP);
        let memory: Arc<dyn Memory> = limited.clone();
        let mut charge = Charge::default();
        charge.add(5 * STEP).unwrap();
        charge.begin(&memory);
        assert_eq!((charge.bytes(), limited.in_use()), (5 * STEP, 0));
        assert!(charge.fits(1).is_err());
        charge.sub(5 * STEP);
        assert_eq!(charge.add(1), Ok(()));
    }
}
