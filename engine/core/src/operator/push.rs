//! The inside of a stage: operators that push records into the next one, fused by monomorphisation.
//!
//! A chain of [`Push`]es ends in an exchange, a local queue or a sink. Records go down one at a time and are inlined into the loop of
//! whatever reads them. What happens once per tick, or less often, goes to the few [`Link`]s of the chain that have a part in it: a chain
//! shows them one after the other, and an operator without state between two records is none.

use crate::checkpoint::notes::{Earlier, EarlierParts, Notes, Part};
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, Tick};
use crate::ingress::Taken;
use crate::sink::SinkNotes;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// How a tick ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickEnd {
    /// Whether everything that will ever enter the stage has entered.
    pub ended: bool,
    /// The least watermark of what enters the stage: it may fall, or be [`IDLE`](crate::stage::context::IDLE). In stage 0 there is none.
    pub input: EventTime,
    /// As for [`Link::mark`].
    pub now: Nanos,
}

/// A part of a chain that does something once per tick, or less often. Whatever it has no part in, it leaves out.
pub trait Link {
    /// The partition in hand has been read for now, and gave `taken`; `now` is the driver's clock of the tick, which is 0 behind an exchange.
    /// Returns whether there was anything new that will be remembered.
    fn mark(&mut self, taken: &Taken, now: Nanos) -> bool {
        let _ = (taken, now);
        false
    }

    /// The tick in progress ends: everything pushed becomes visible to those who receive it.
    fn seal(&mut self, end: TickEnd) {
        let _ = end;
    }

    /// A long tick pauses: what was pushed so far may be received already.
    fn flush(&mut self) {}

    /// How many more records surely fit.
    fn room(&mut self) -> usize {
        usize::MAX
    }

    /// Whether a tick can end here whatever it holds.
    fn can_seal(&mut self) -> bool {
        true
    }

    /// What is pushed from now on is *overdue*: older than `watermark`, to which its own partition had come before. With `None` it is not, as in the
    /// beginning.
    ///
    /// So whether a record is late follows from its partition alone: it counts for what ends after that watermark, and the least of all partitions
    /// has not come to any of that before the record has gone by. Where it is late for a part of what it would have counted for, that part may still
    /// be open here, and in another run it may have closed: so it does not count. Overdue records are few, and whoever passes them on says so
    /// for all that follow each other, so the others cost nothing.
    fn overdue(&mut self, watermark: Option<EventTime>) {
        let _ = watermark;
    }

    /// The job's input has ended, and everything has been pushed and sealed.
    fn finish(&mut self) {}

    /// What followed from ticks up to `through` may leave the job: its input will be durable. Called when that has risen.
    fn release(&mut self, through: Tick) {
        let _ = through;
    }

    /// What its notes are called, if it keeps anything between ticks, sinks aside.
    fn part(&self) -> Option<Part> {
        None
    }

    /// Notes what the link keeps between ticks. Called between two ticks.
    fn note(&mut self, notes: &mut Notes) {
        let _ = notes;
    }

    /// Takes back what [`note`](Self::note) wrote on each shard; on none where the program that wrote it had no such link.
    ///
    /// # Errors
    /// When the notes are of another kind of link.
    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let _ = earlier;
        Ok(())
    }

    /// From now on keys live where `router` says. Called between two ticks.
    fn reroute(&mut self, router: &Arc<Router>) {
        let _ = router;
    }

    /// The sink, if the link ends in one.
    fn sink(&mut self) -> Option<&mut dyn SinkLink> {
        None
    }
}

/// The end of a chain in a sink, as durability sees it.
pub trait SinkLink {
    /// Notes what the sink keeps, once everything of a checkpoint's ticks has been released to it.
    ///
    /// # Errors
    /// When the sink cannot keep what it was given.
    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault>;

    /// The job is suspended: nothing more is released to the sink in this run.
    ///
    /// # Errors
    /// When the sink cannot keep what it was given.
    fn suspend(&mut self) -> Result<(), Fault>;

    /// Takes back what [`note`](Self::note) wrote, and finds out through which tick the sink has rows, which is returned.
    ///
    /// # Errors
    /// When the notes are of another sink, or the sink has lost what it kept.
    fn recall(&mut self, earlier: &mut EarlierParts<'_>, checkpoint: Tick) -> Result<Tick, Fault>;

    /// The start that [`recall`](Self::recall) was part of is certain: the sink takes back what does not count. Ticks through `replayed` were
    /// taken in by an earlier run.
    ///
    /// # Errors
    /// When it cannot.
    fn begin(&mut self, replayed: Tick) -> Result<(), Fault>;
}

/// A chain, seen from outside.
pub trait Pipe: 'static {
    /// Shows every link of the chain to `visit`, in an order that never changes.
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link));

    /// See [`Link::mark`].
    fn mark(&mut self, taken: &Taken, now: Nanos) -> bool {
        let mut news = false;
        self.each_link(&mut |link| news |= link.mark(taken, now));
        news
    }

    /// See [`Link::seal`].
    fn seal(&mut self, end: TickEnd) {
        self.each_link(&mut |link| link.seal(end));
    }

    /// See [`Link::flush`].
    fn flush(&mut self) {
        self.each_link(&mut |link| link.flush());
    }

    /// How many more records surely fit into all that the chain ends in.
    fn room(&mut self) -> usize {
        let mut room = usize::MAX;
        self.each_link(&mut |link| room = room.min(link.room()));
        room
    }

    /// See [`Link::can_seal`].
    fn can_seal(&mut self) -> bool {
        let mut can_seal = true;
        self.each_link(&mut |link| can_seal &= link.can_seal());
        can_seal
    }

    /// See [`Link::overdue`].
    #[cold]
    #[inline(never)]
    fn overdue(&mut self, watermark: Option<EventTime>) {
        self.each_link(&mut |link| link.overdue(watermark));
    }

    /// See [`Link::finish`].
    fn finish(&mut self) {
        self.each_link(&mut |link| link.finish());
    }

    /// See [`Link::release`].
    fn release(&mut self, through: Tick) {
        self.each_link(&mut |link| link.release(through));
    }

    /// See [`Link::note`].
    fn note(&mut self, notes: &mut Notes) {
        self.each_link(&mut |link| {
            if let Some(part) = link.part() {
                notes.part(part, |notes| link.note(notes));
            }
        });
    }

    /// See [`Link::recall`].
    ///
    /// # Errors
    /// The first of any link.
    fn recall(&mut self, earlier: &mut EarlierParts<'_>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        self.each_link(&mut |link| {
            if outcome.is_ok()
                && let Some(part) = link.part()
            {
                outcome = earlier.recall(part, |earlier| link.recall(earlier));
            }
        });
        outcome
    }

    /// See [`Link::reroute`].
    fn reroute(&mut self, router: &Arc<Router>) {
        self.each_link(&mut |link| link.reroute(router));
    }

    /// Calls every sink in turn, up to the first error, which is returned.
    ///
    /// # Errors
    /// Those of `call`.
    fn each_sink(
        &mut self,
        call: &mut dyn FnMut(&mut dyn SinkLink) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut outcome = Ok(());
        self.each_link(&mut |link| {
            if outcome.is_ok()
                && let Some(sink) = link.sink()
            {
                outcome = call(sink);
            }
        });
        outcome
    }
}

impl<P: Pipe + ?Sized> Pipe for Box<P> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        (**self).each_link(visit);
    }
}

/// The receiving side of a fused operator.
pub trait Push<T>: Pipe {
    /// Takes one record, which happened `at`.
    fn push(&mut self, at: EventTime, record: T);
}

/// A chain that leads nowhere.
#[cfg(test)]
pub(crate) struct Nowhere;

#[cfg(test)]
impl Pipe for Nowhere {
    fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
}

#[cfg(test)]
impl<T> Push<T> for Nowhere {
    fn push(&mut self, _: EventTime, _: T) {}
}
