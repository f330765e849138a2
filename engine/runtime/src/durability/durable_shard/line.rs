//! Through which tick a shard's log is durable: said to the other shards, and heard of them.

use super::super::mailbox::Mailbox;
use pelton_core::{Shard, ShardId, Tick};
use pelton_storage::Log;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub(super) struct Line {
    id: ShardId,
    log: Rc<RefCell<Log>>,
    mailbox: Arc<Mailbox>,
    /// A flush is what makes a tick durable.
    flushes: bool,
    published: Tick,
    released: Tick,
}

impl Line {
    pub(super) fn new(id: ShardId, log: Rc<RefCell<Log>>, mailbox: Arc<Mailbox>, flushes: bool) -> Self {
        Line { id, log, mailbox, flushes, published: Tick(0), released: Tick(0) }
    }

    /// Publishes through which tick the log is durable, if that has risen; whether it has. `clock` is the shard's.
    pub(super) fn publish(&mut self, clock: Tick) -> bool {
        let pending = self.log.borrow().pending();
        // Never back: an entry may be older than what is published only if it is no input.
        let through = pending.map_or(clock, |tick| clock.min(Tick(tick - 1)));
        let risen = through > self.published;
        if risen {
            self.published = through;
            self.mailbox.lines().publish(self.id, through);
        }
        risen
    }

    /// Through which tick all logs are durable, if the shard has not released everything up to there.
    pub(super) fn due(&self, shard: &Shard) -> Option<Tick> {
        // What was appended outlasts a process, and a shard's clock shows no tick before that.
        let all = if self.flushes { self.mailbox.lines().lowest() } else { shard.appended_through() };
        (all > self.released).then_some(all)
    }

    /// The shard has released what follows from ticks up to `through`.
    pub(super) fn has_released(&mut self, through: Tick) {
        self.released = through;
    }

    /// What the shard has released.
    pub(super) fn released(&self) -> Tick {
        self.released
    }
}
