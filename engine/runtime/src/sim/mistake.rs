//! Mistakes on purpose, for the simulator to find: if it does not, it is blind.

use pelton_core::ingress::input_log::Replay;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{Fault, IngressEntry};
use std::sync::Arc;

/// A mistake in how a job recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// What a log holds is taken in again without the first entry.
    Skipped,
}

impl Mistake {
    /// What makes it, in each shard that is built.
    pub(super) fn builder(self) -> Arc<dyn Fn(&mut ShardBuilder) + Send + Sync> {
        match self {
            Mistake::Skipped => Arc::new(|builder| {
                builder.wrap_replay(|log| Box::new(Skipping { log, skipped: false }));
            }),
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
