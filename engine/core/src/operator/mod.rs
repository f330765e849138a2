//! One file per operator.
//!
//! The stateless ones are [`Push`](crate::operator::push::Push)es, fused into the loop that feeds them. The stateful ones read the frames of
//! an exchange, keep the state of the keys that the shard owns, and act when a tick completes.

pub(crate) mod assign_timestamps;
pub(crate) mod chained;
pub(crate) mod deduplicate;
pub(crate) mod filter;
pub(crate) mod flat_map;
pub mod fork;
pub(crate) mod inspect;
pub(crate) mod keyed_windows;
pub(crate) mod map;
pub(crate) mod pass;
pub mod process;
pub mod push;
#[cfg(test)]
mod recovery;
pub(crate) mod sessions;
pub(crate) mod side;
pub(crate) mod sort;
pub(crate) mod window;
pub(crate) mod window_join;

pub use assign_timestamps::{AssignTimestamps, WatermarkKind};
pub use deduplicate::DeduplicateOperator;
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use inspect::Inspect;
pub use map::Map;
pub use pass::{Pass, PassArchived};
pub use process::{
    Expiring, ExpiringValue, FiredTimer, KeyContext, KeyedState, MapOf, MapState, ProcessFunction,
    ProcessOperator, StateDescription, StateOf, Ttl, ValueState,
};
pub use sessions::{OpenSessions, Sessions};
pub use side::Side;
pub use sort::SortOperator;
pub use window::WindowOperator;
pub use window_join::{JoinKind, Joined, WindowJoinOperator};

use crate::exchange::frame::{Frame, RowFormat};
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime, Tick};
use crate::operator::push::Pipe;
use crate::record::Record;

/// An exchange that an operator reads: one of its ports, which count from 0 in the order in which they are given.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub(crate) edge: EdgeId,
    pub(crate) rows: RowFormat,
}

impl Port {
    /// The exchange `edge`, of rows that are `R`s.
    pub fn of<R: Record>(edge: EdgeId) -> Self {
        Port { edge, rows: RowFormat::of::<R>() }
    }
}

/// A tick of which all frames have been taken.
#[derive(Clone, Copy, Debug)]
pub struct TickInfo<'a> {
    /// The tick.
    pub tick: Tick,
    /// The processing time of the tick: the latest that any shard has said. It never falls.
    pub time: EventTime,
    /// The least of the ports' watermarks as of the tick. It never falls.
    pub watermark: EventTime,
    /// Each port's own.
    pub inputs: &'a [EventTime],
}

/// What an operator waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The least watermark at which something that it holds leaves; [`MAX`](EventTime::MAX) if it waits for none.
    pub watermark: EventTime,
    /// The least processing time at which it has something to do; [`MAX`](EventTime::MAX) if it waits for none.
    pub time: EventTime,
}

impl Due {
    /// It waits for nothing.
    pub const NEVER: Due = Due { watermark: EventTime::MAX, time: EventTime::MAX };

    /// It waits for a watermark alone.
    pub const fn at(watermark: EventTime) -> Self {
        Due { watermark, ..Due::NEVER }
    }

    pub(crate) fn or(self, other: Due) -> Due {
        Due { watermark: self.watermark.min(other.watermark), time: self.time.min(other.time) }
    }
}

/// An operator behind exchanges, on one shard.
pub trait Operator: Pipe {
    /// Takes the records of one frame of the tick in progress, which came in through port number `port`.
    ///
    /// # Errors
    /// When the state outgrows the memory limit.
    fn frame(&mut self, port: usize, frame: Frame<'_>) -> Result<(), Fault>;

    /// Takes what the chain in front has left for it since the last time, if it stands within a chain.
    ///
    /// # Errors
    /// As for [`frame`](Self::frame).
    fn drain(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// All frames of the tick have been taken: does a bounded part of what follows from that, and returns whether it is done.
    ///
    /// # Errors
    /// When a result outgrows the memory limit.
    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault>;

    /// Until when the operator waits. A clock makes a tick for that, should no record make one.
    fn due(&mut self) -> Due {
        Due::NEVER
    }

    /// Gives a bounded part of the memory back, besides that of its state, that the operator has not needed for a while; true when nothing is left of
    /// that. A while `ends`, and another begins. It changes nothing that can be seen.
    fn tidy(&mut self, ends: bool) -> bool {
        let _ = ends;
        true
    }

    /// Rows of the operator's state came back from a checkpoint, or came or went with key groups: makes a bounded part of what is derived from
    /// the state anew, and returns whether that is done. Between two ticks; it is called until it is done, and in between nothing else is.
    ///
    /// # Errors
    /// When the state is of another operator, or there is no memory for what is derived.
    fn restored(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }
}
