//! Clock lines: how far each shard has come in a stage.
//!
//! A stage publishes `done through tick T` in a line of its own that every other shard reads: one store, N readers, no
//! marker messages. The store comes after the rings' tails, so whoever sees `T` here sees every frame of a tick <= `T` there.

use crate::ids::{ShardId, Tick};
use crate::sync::{Arc, AtomicU64, Ordering, Padded};
use alloc::vec::Vec;

/// The clock lines of one stage, one for each shard.
#[derive(Clone)]
pub struct Clocks {
    lines: Arc<Vec<Padded<AtomicU64>>>,
}

impl Clocks {
    /// Lines for `shards` shards, all at tick 0, before the first.
    pub fn new(shards: usize) -> Self {
        Clocks { lines: Arc::new((0..shards).map(|_| Padded::new(AtomicU64::new(0))).collect()) }
    }

    /// How far `shard` is.
    #[inline]
    pub fn read(&self, shard: ShardId) -> Tick {
        Tick(self.lines[usize::from(shard.0)].load(Ordering::Acquire))
    }

    /// The largest tick of any shard that has not ended.
    #[inline]
    pub fn highest(&self) -> Tick {
        let running =
            |line: &Padded<AtomicU64>| Some(line.load(Ordering::Acquire)).filter(|&t| t != Tick::END.0);
        Tick(self.lines.iter().filter_map(running).max().unwrap_or(0))
    }

    /// The least tick of all shards.
    #[inline]
    pub fn lowest(&self) -> Tick {
        Tick(self.lines.iter().map(|line| line.load(Ordering::Acquire)).min().unwrap_or(0))
    }

    /// Publishes that `shard` is done through `tick`. Only the shard itself may call this, with rising ticks.
    #[inline]
    pub fn publish(&self, shard: ShardId, tick: Tick) {
        self.lines[usize::from(shard.0)].store(tick.0, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_highest_is_that_of_the_shards_that_run() {
        let clocks = Clocks::new(3);
        assert_eq!((clocks.highest(), clocks.read(ShardId(2))), (Tick(0), Tick(0)));
        clocks.publish(ShardId(0), Tick(7));
        clocks.publish(ShardId(2), Tick(9));
        assert_eq!(clocks.highest(), Tick(9));
        clocks.publish(ShardId(2), Tick::END);
        assert_eq!((clocks.highest(), clocks.read(ShardId(2))), (Tick(7), Tick::END));
        clocks.publish(ShardId(0), Tick::END);
        clocks.publish(ShardId(1), Tick::END);
        assert_eq!(clocks.highest(), Tick(0));
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use crate::exchange::ring::{Prefix, ring};
    use crate::state::memory::HeapMemory;
    use loom::thread;

    /// Whoever sees tick `T` in the clock line sees every frame of a tick up to `T` in the ring, as a stage relies on: it looks
    /// at the ring, then at the clock, then at the ring again.
    fn check(ticks: u32) {
        loom::model(move || {
            let (mut producer, mut consumer) = ring(&HeapMemory, 64).unwrap();
            let clocks = Clocks::new(1);
            let sender = thread::spawn({
                let clocks = clocks.clone();
                move || {
                    for tick in 1..=ticks {
                        let (at, _) = producer.claim(16, 16).unwrap();
                        // SAFETY: the claimed span holds a prefix.
                        unsafe { at.cast::<Prefix>().write(Prefix { len: 16, kind: tick << 8 }) };
                        producer.commit(16);
                        producer.publish();
                        clocks.publish(ShardId(0), Tick(tick.into()));
                    }
                }
            });
            let done = clocks.read(ShardId(0));
            let mut seen = 0;
            while let Some(at) = consumer.peek() {
                // SAFETY: a frame is here until it is consumed.
                seen = unsafe { at.read() }.kind >> 8;
                consumer.consume(16);
            }
            assert!(u64::from(seen) >= done.0, "tick {} is done, and only {seen} frames are there", done.0);
            sender.join().unwrap();
        });
    }

    #[test]
    fn whoever_sees_a_tick_sees_its_frames() {
        check(1);
        check(2);
    }
}
