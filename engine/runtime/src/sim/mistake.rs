//! Mistakes on purpose, for the simulator to find: if it does not, it is blind.

use pelton_core::ingress::input_log::Replay;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EventTime, Fault, IngressEntry};
use std::sync::Arc;

/// Nanoseconds.
const LATER: i64 = 10_000_000;

/// A mistake in how a job recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// What a log holds is taken in again without the first entry.
    Skipped,
    /// The time of day at which it was taken in is read anew.
    Reread,
}

impl Mistake {
    /// What makes it, in each shard that is built.
    pub(super) fn builder(self) -> Arc<dyn Fn(&mut ShardBuilder) + Send + Sync> {
        match self {
            Mistake::Skipped => Arc::new(|builder| {
                builder.wrap_replay(|log| Box::new(Skipping { log, skipped: false }));
            }),
            Mistake::Reread => Arc::new(|builder| builder.wrap_replay(|log| Box::new(Rereading { log }))),
        }
    }
}

/// What a log holds, without the first entry.
struct Skipping {
    log: Box<dyn Replay>,
    skipped: bool,
}

impl Replay for Skipping {
    fn next(&mut self) -> Result<Option<IngressEntry>, Fault> {
        if !std::mem::replace(&mut self.skipped, true) {
            self.log.next()?;
        }
        self.log.next()
    }
}

/// What a log holds, taken in somewhat later than it was.
struct Rereading {
    log: Box<dyn Replay>,
}

impl Replay for Rereading {
    fn next(&mut self) -> Result<Option<IngressEntry>, Fault> {
        let later = |entry: IngressEntry| IngressEntry { wall: EventTime(entry.wall.0 + LATER), ..entry };
        Ok(self.log.next()?.map(later))
    }
}
