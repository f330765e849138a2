//! A mistake on purpose, for the simulator to find: if it does not, it is blind.

use pelton_core::ingress::input_log::Replay;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{Fault, IngressEntry};

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

/// Has a shard miss the first entry of what it takes in again.
pub(super) fn skip_first(builder: &mut ShardBuilder) {
    builder.wrap_replay(|log| Box::new(Skipping { log, skipped: false }));
}
