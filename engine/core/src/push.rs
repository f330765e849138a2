//! The inside of a stage: operators that push records into the next one, fused by monomorphisation.
//!
//! A chain of [`Push`]es ends in an exchange, a local queue or a sink. Records go down one at a time and are inlined into the
//! loop of whatever reads them; the calls of [`Pipe`] go down once per tick.

use crate::ids::EventTime;

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
}

/// The receiving side of a fused operator.
pub trait Push<T>: Pipe {
    /// Takes one record, which happened `at`.
    fn push(&mut self, at: EventTime, record: T);
}

/// The methods of [`Pipe`] handed to fields: `forward!(next)`, or `forward!(next, late)`; with `but mark` or `but mark and seal` all but those.
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
    };
}
pub(crate) use forward;

/// A chain that leads nowhere.
pub struct Nowhere;

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
}

impl<T> Push<T> for Nowhere {
    fn push(&mut self, _: EventTime, _: T) {}
}
