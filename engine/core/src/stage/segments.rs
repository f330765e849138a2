//! The segments of a stage on one shard: the chains behind what the stage reads, and those that begin at a queue inside of it.

use crate::fault::Fault;
use crate::operator::fork::ForkBuffer;
use crate::operator::push::Pipe;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Segments, of which `H` is what begins those that are no forks: a reader of a source, or an operator behind an exchange.
pub(crate) struct Segments<H: ?Sized> {
    pub(crate) heads: Vec<Box<H>>,
    pub(crate) forks: Vec<Box<dyn ForkBuffer>>,
    /// What each is called in reports: the heads, then the forks.
    names: Vec<String>,
    /// The one that runs, or ran last.
    pub(crate) running: usize,
}

impl<H: Pipe + ?Sized> Segments<H> {
    /// Segments with their names.
    pub(crate) fn new(heads: Vec<(Box<H>, String)>, forks: Vec<(Box<dyn ForkBuffer>, String)>) -> Self {
        let (heads, mut names): (Vec<_>, Vec<_>) = heads.into_iter().unzip();
        let (forks, fork_names): (Vec<_>, Vec<_>) = forks.into_iter().unzip();
        names.extend(fork_names);
        Segments { heads, forks, names, running: 0 }
    }

    /// Calls every segment in turn, so that reports name the one that runs.
    pub(crate) fn each(&mut self, mut call: impl FnMut(&mut dyn Pipe)) {
        let heads = self.heads.iter_mut().map(|head| head as &mut dyn Pipe);
        let forks = self.forks.iter_mut().map(|fork| fork as &mut dyn Pipe);
        for (number, segment) in heads.chain(forks).enumerate() {
            self.running = number;
            call(segment);
        }
    }

    /// Empties the queues, and calls each fork after its own.
    ///
    /// # Errors
    /// When there was no room in a queue for what came; its segment is the one that runs.
    pub(crate) fn drain_forks(&mut self, mut call: impl FnMut(&mut dyn Pipe)) -> Result<(), Fault> {
        for (number, fork) in self.forks.iter_mut().enumerate() {
            self.running = self.heads.len() + number;
            fork.drain()?;
            call(fork);
        }
        Ok(())
    }

    /// What segment number `number` is called.
    pub(crate) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }
}
