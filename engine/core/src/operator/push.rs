//! The inside of a stage: operators that push records into the next one, fused by monomorphisation.
//!
//! A chain of [`Push`]es ends in an exchange, a local queue or a sink. Records go down one at a time and are inlined into the
//! loop of whatever reads them; the calls of [`Pipe`] go down once per tick.

use crate::checkpoint::notes::{Earlier, Notes};
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EventTime, Tick};
use crate::sink::SinkNotes;
use alloc::sync::Arc;

/// The once-per-tick side of a chain.
pub trait Pipe: 'static {
    /// The partition in hand has been read for now: generators note its progress.
    fn mark(&mut self);

    /// The tick in progress ends: everything pushed becomes visible to those who receive it.
    fn seal(&mut self);

    /// A long tick pauses: what was pushed so far may be received already.
    fn flush(&mut self);

    /// How many more records surely fit into what the chain ends in.
    fn room(&mut self) -> usize;

    /// Whether a tick can end here whatever it holds.
    fn can_seal(&mut self) -> bool;

    /// The job's input has ended, and everything has been pushed and sealed.
    fn finish(&mut self);

    /// What followed from ticks up to `through` may leave the job: its input will be durable. Called when that has risen.
    fn release(&mut self, through: Tick);

    /// Notes what the chain keeps between ticks, sinks aside. Called between two ticks.
    fn note(&mut self, notes: &mut Notes);

    /// Takes back what [`note`](Self::note) wrote.
    ///
    /// # Errors
    /// When the notes are of another chain.
    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault>;

    /// From now on keys live where `router` says. Called between two ticks.
    fn reroute(&mut self, router: &Arc<Router>);

    /// Has the sinks note what they keep, once everything of a checkpoint's ticks has been released to them.
    ///
    /// # Errors
    /// When a sink cannot keep what it was given.
    fn note_sinks(&mut self, notes: &mut SinkNotes) -> Result<(), Fault>;

    /// The job is suspended: nothing more is released to the sinks in this run.
    ///
    /// # Errors
    /// When a sink cannot keep what it was given.
    fn suspend_sinks(&mut self) -> Result<(), Fault>;

    /// Takes back what [`note_sinks`](Self::note_sinks) wrote, and finds out what the sinks kept since.
    ///
    /// # Errors
    /// When the notes are of other sinks, or a sink has lost what it kept.
    fn recall_sinks(&mut self, earlier: &mut Earlier<'_>, checkpoint: Tick) -> Result<(), Fault>;

    /// The start that [`recall_sinks`](Self::recall_sinks) was part of is certain: sinks take back what does not count.
    ///
    /// # Errors
    /// When a sink cannot.
    fn begin_sinks(&mut self) -> Result<(), Fault>;
}

/// The receiving side of a fused operator.
pub trait Push<T>: Pipe {
    /// Takes one record, which happened `at`.
    fn push(&mut self, at: EventTime, record: T);
}

/// The methods of [`Pipe`] handed to fields: `forward!(next)`, or `forward!(next, late)`; with `but mark`, `but mark and seal`, or
/// `but note and recall`, or all of these, without them; `forward!(but reroute, channels)` is for what sends by key.
macro_rules! forward {
    ($first:ident $(, $other:ident)*) => {
        fn mark(&mut self) {
            self.$first.mark();
            $(self.$other.mark();)*
        }
        forward!(but mark, $first $(, $other)*);
    };
    (but mark, $first:ident $(, $other:ident)*) => {
        fn seal(&mut self) {
            self.$first.seal();
            $(self.$other.seal();)*
        }
        forward!(but mark and seal, $first $(, $other)*);
    };
    (but mark and seal, $first:ident $(, $other:ident)*) => {
        fn note(&mut self, notes: &mut $crate::checkpoint::notes::Notes) {
            self.$first.note(notes);
            $(self.$other.note(notes);)*
        }
        fn recall(&mut self, earlier: &mut $crate::checkpoint::notes::Earlier<'_>) -> Result<(), $crate::fault::Fault> {
            self.$first.recall(earlier)?;
            $(self.$other.recall(earlier)?;)*
            Ok(())
        }
        forward!(but mark, seal, note and recall, $first $(, $other)*);
    };
    (but note and recall, $first:ident $(, $other:ident)*) => {
        fn mark(&mut self) {
            self.$first.mark();
            $(self.$other.mark();)*
        }
        fn seal(&mut self) {
            self.$first.seal();
            $(self.$other.seal();)*
        }
        forward!(but mark, seal, note and recall, $first $(, $other)*);
    };
    (but reroute, $only:ident) => {
        fn mark(&mut self) {
            self.$only.mark();
        }
        fn seal(&mut self) {
            self.$only.seal();
        }
        fn note(&mut self, notes: &mut $crate::checkpoint::notes::Notes) {
            self.$only.note(notes);
        }
        fn recall(&mut self, earlier: &mut $crate::checkpoint::notes::Earlier<'_>) -> Result<(), $crate::fault::Fault> {
            self.$only.recall(earlier)
        }
        forward!(the rest, $only);
    };
    (but mark, seal, note and recall, $first:ident $(, $other:ident)*) => {
        fn reroute(&mut self, router: &alloc::sync::Arc<$crate::exchange::router::Router>) {
            self.$first.reroute(router);
            $(self.$other.reroute(router);)*
        }
        forward!(the rest, $first $(, $other)*);
    };
    (the rest, $first:ident $(, $other:ident)*) => {
        fn flush(&mut self) {
            self.$first.flush();
            $(self.$other.flush();)*
        }
        fn room(&mut self) -> usize {
            self.$first.room() $(.min(self.$other.room()))*
        }
        fn can_seal(&mut self) -> bool {
            self.$first.can_seal() $(&& self.$other.can_seal())*
        }
        fn finish(&mut self) {
            self.$first.finish();
            $(self.$other.finish();)*
        }
        fn release(&mut self, through: $crate::ids::Tick) {
            self.$first.release(through);
            $(self.$other.release(through);)*
        }
        fn suspend_sinks(&mut self) -> Result<(), $crate::fault::Fault> {
            self.$first.suspend_sinks()?;
            $(self.$other.suspend_sinks()?;)*
            Ok(())
        }
        fn note_sinks(&mut self, notes: &mut $crate::sink::SinkNotes) -> Result<(), $crate::fault::Fault> {
            self.$first.note_sinks(notes)?;
            $(self.$other.note_sinks(notes)?;)*
            Ok(())
        }
        fn recall_sinks(
            &mut self,
            earlier: &mut $crate::checkpoint::notes::Earlier<'_>,
            checkpoint: $crate::ids::Tick,
        ) -> Result<(), $crate::fault::Fault> {
            self.$first.recall_sinks(earlier, checkpoint)?;
            $(self.$other.recall_sinks(earlier, checkpoint)?;)*
            Ok(())
        }
        fn begin_sinks(&mut self) -> Result<(), $crate::fault::Fault> {
            self.$first.begin_sinks()?;
            $(self.$other.begin_sinks()?;)*
            Ok(())
        }
    };
}
pub(crate) use forward;

/// The methods of [`Pipe`] that durability needs, for what ends a chain and keeps nothing between ticks.
macro_rules! keeps_nothing {
    () => {
        fn note(&mut self, _: &mut $crate::checkpoint::notes::Notes) {}
        fn recall(&mut self, _: &mut $crate::checkpoint::notes::Earlier<'_>) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
        keeps_nothing!(but notes);
    };
    (but notes) => {
        fn reroute(&mut self, _: &alloc::sync::Arc<$crate::exchange::router::Router>) {}
        fn release(&mut self, _: $crate::ids::Tick) {}
        fn suspend_sinks(&mut self) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
        fn note_sinks(&mut self, _: &mut $crate::sink::SinkNotes) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
        fn recall_sinks(
            &mut self,
            _: &mut $crate::checkpoint::notes::Earlier<'_>,
            _: $crate::ids::Tick,
        ) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
        fn begin_sinks(&mut self) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
    };
}
pub(crate) use keeps_nothing;

/// A chain that leads nowhere.
#[cfg(test)]
pub(crate) struct Nowhere;

#[cfg(test)]
impl Pipe for Nowhere {
    fn mark(&mut self) {}
    fn seal(&mut self) {}
    fn flush(&mut self) {}
    fn room(&mut self) -> usize {
        usize::MAX
    }
    fn can_seal(&mut self) -> bool {
        true
    }
    fn finish(&mut self) {}
    keeps_nothing!();
}

#[cfg(test)]
impl<T> Push<T> for Nowhere {
    fn push(&mut self, _: EventTime, _: T) {}
}
