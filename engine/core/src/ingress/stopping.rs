//! Whether a shard takes in what is new, and how it stops: at the end of the input, or for a later run to go on.

use super::Ingress;
use crate::stage::shard::Beginning;

/// How a shard stops taking in what is new. What its sources have accepted is taken in before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    /// The input ends.
    Ending,
    /// The input does not end: a later run goes on with it.
    Pausing,
}

impl Ingress {
    /// The start is certain.
    pub(crate) fn begin(&mut self, beginning: Beginning) {
        (self.replayed, self.paused) = (beginning.replayed_through, beginning.paused);
    }

    /// Ends all sources, once what they have accepted is taken in.
    pub(crate) fn close(&mut self) {
        self.stopping.get_or_insert(Stopping::Ending);
    }

    /// Takes in what the sources have accepted, and then nothing new, for a later run to go on.
    pub(crate) fn suspend(&mut self) {
        self.stopping = Some(Stopping::Pausing);
    }

    /// Whether nothing is taken in any more, and everything that was is in the input log.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ended || self.paused && self.is_live()
    }

    /// Has the sources refuse what is new, and pauses when none of them holds anything any more, or ends.
    #[cold]
    pub(super) fn settle(&mut self, how: Stopping) {
        let ends = how == Stopping::Ending;
        let holds = self.segments.heads.iter_mut().fold(false, |holds, reader| reader.settle(ends) | holds);
        if !holds {
            self.log_quota.clear();
            self.paused |= !ends;
        }
    }
}
