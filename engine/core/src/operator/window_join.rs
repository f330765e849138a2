//! Window join: what two streams have in each window of a key meets when the window closes.
//!
//! Each side is aggregated as by a window of its own; both accumulators lie side by side, so a record of either costs one lookup and a row
//! costs no second one. Which keys have a row says the [`JoinKind`]: those that both sides have, those of one, or all. Rows leave in the order
//! (window end, key), when the watermarks of both sides have passed the window's end.

use crate::aggregate::{Aggregate, Overflow};
use crate::exchange::frame::Frame;
use crate::exchange::partition::Keyed;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::fork::SideOutput;
use crate::operator::keyed_windows::{Adds, Closes, KeyedWindows};
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Due, Operator, TickInfo};
use crate::record::Archived;
use crate::record::key::Key;
use crate::record::struct_record;
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::window::{Window, Windowed, Windows};
use alloc::rc::Rc;
use core::marker::PhantomData;
use rkyv::{Archive, Deserialize, Serialize};

/// Which keys of a window have a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Those with records on both sides.
    Inner,
    /// Those with records on the left side.
    Left,
    /// Those with records on the right side.
    Right,
    /// All.
    Full,
}

impl JoinKind {
    /// Its name, which never changes.
    pub const fn name(self) -> &'static str {
        match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
        }
    }

    /// The sides that a key must have records on.
    const fn needs(self) -> u8 {
        match self {
            JoinKind::Inner => LEFT | RIGHT,
            JoinKind::Left => LEFT,
            JoinKind::Right => RIGHT,
            JoinKind::Full => 0,
        }
    }
}

const LEFT: u8 = 1;
const RIGHT: u8 = 2;

/// What is kept for a key and a window.
#[derive(Archive, Serialize, Deserialize, Clone)]
struct BothSides<L, R> {
    left: L,
    right: R,
    /// The sides that there were records of.
    seen: u8,
}
struct_record!(BothSides<L, R> { left: L, right: R, seen: u8 });

/// Two aggregates as one.
struct Sides<T, U, A: Aggregate<T>, B: Aggregate<U>, N> {
    kind: JoinKind,
    left: A,
    right: B,
    next: N,
    left_late: SideOutput<A::Item>,
    right_late: SideOutput<B::Item>,
    _records: PhantomData<(T, U)>,
}

impl<T, U, A: Aggregate<T>, B: Aggregate<U>, N> Sides<T, U, A, B, N> {
    fn empty(&self) -> BothSides<A::Acc, B::Acc> {
        BothSides { left: self.left.empty(), right: self.right.empty(), seen: 0 }
    }
}

/// The sides, as records of the left one see them.
struct Left<'a, S>(&'a mut S);
/// The sides, as records of the right one see them.
struct Right<'a, S>(&'a mut S);

impl<T, U, K, A: Aggregate<T>, B: Aggregate<U>, N> Adds<K, BothSides<A::Acc, B::Acc>, A::Item>
    for Left<'_, Sides<T, U, A, B, N>>
{
    #[inline(always)]
    fn empty(&self) -> BothSides<A::Acc, B::Acc> {
        self.0.empty()
    }
    #[inline(always)]
    fn add(&self, sides: &mut BothSides<A::Acc, B::Acc>, item: &Archived<A::Item>) {
        self.0.left.add_archived(&mut sides.left, item);
        sides.seen |= LEFT;
    }
    fn late(&mut self, at: EventTime, item: A::Item) {
        self.0.left_late.push(at, item);
    }
}

impl<T, U, K, A: Aggregate<T>, B: Aggregate<U>, N> Adds<K, BothSides<A::Acc, B::Acc>, B::Item>
    for Right<'_, Sides<T, U, A, B, N>>
{
    #[inline(always)]
    fn empty(&self) -> BothSides<A::Acc, B::Acc> {
        self.0.empty()
    }
    #[inline(always)]
    fn add(&self, sides: &mut BothSides<A::Acc, B::Acc>, item: &Archived<B::Item>) {
        self.0.right.add_archived(&mut sides.right, item);
        sides.seen |= RIGHT;
    }
    fn late(&mut self, at: EventTime, item: B::Item) {
        self.0.right_late.push(at, item);
    }
}

/// The row of a join: what each side came to, if it had records.
pub type Joined<K, L, R> = Windowed<K, (Option<L>, Option<R>)>;

impl<T, U, K, A, B, N> Closes<K, BothSides<A::Acc, B::Acc>> for Sides<T, U, A, B, N>
where
    K: Key,
    A: Aggregate<T>,
    B: Aggregate<U>,
    N: Push<Joined<K, A::Out, B::Out>>,
{
    #[inline(always)]
    fn merge(&self, sides: &mut BothSides<A::Acc, B::Acc>, other: &BothSides<A::Acc, B::Acc>) {
        self.left.merge(&mut sides.left, &other.left);
        self.right.merge(&mut sides.right, &other.right);
        sides.seen |= other.seen;
    }
    #[inline(always)]
    fn emit(
        &mut self,
        at: EventTime,
        window: Window,
        key: &K,
        sides: &BothSides<A::Acc, B::Acc>,
    ) -> Result<(), Overflow> {
        let needs = self.kind.needs();
        if sides.seen & needs == needs {
            let left = (sides.seen & LEFT != 0).then(|| self.left.try_finish(&sides.left)).transpose()?;
            let right = (sides.seen & RIGHT != 0).then(|| self.right.try_finish(&sides.right)).transpose()?;
            self.next.push(at, Windowed { window, key: key.clone(), value: (left, right) });
        }
        Ok(())
    }
    fn room(&mut self) -> usize {
        self.next.room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
}

/// The join operator behind two exchanges by `K`. `A` aggregates the left side's records of type `T`, `B` the right side's of type `U`.
pub struct WindowJoinOperator<T, U, K, A: Aggregate<T>, B: Aggregate<U>, N> {
    windows: KeyedWindows<K, BothSides<A::Acc, B::Acc>>,
    sides: Sides<T, U, A, B, N>,
    context: Rc<StageContext>,
}

impl<T, U, K: Key, A: Aggregate<T>, B: Aggregate<U>, N> WindowJoinOperator<T, U, K, A, B, N> {
    /// An operator without open windows: records of `left` come in through port 0, those of `right` through port 1. What is too late goes to
    /// the late output of its side.
    pub fn new(
        kind: JoinKind,
        (left, right): (A, B),
        windows: Windows,
        at: OperatorContext,
        next: N,
        (left_late, right_late): (SideOutput<A::Item>, SideOutput<B::Item>),
    ) -> Self {
        let windows = KeyedWindows::new(windows, &at);
        let sides = Sides { kind, left, right, next, left_late, right_late, _records: PhantomData };
        WindowJoinOperator { windows, sides, context: at.context }
    }
}

impl<T, U, K, A, B, N> Operator for WindowJoinOperator<T, U, K, A, B, N>
where
    T: 'static,
    U: 'static,
    K: Key,
    A: Aggregate<T>,
    B: Aggregate<U>,
    N: Push<Joined<K, A::Out, B::Out>>,
{
    fn frame(&mut self, port: usize, frame: Frame<'_>) -> Result<(), Fault> {
        match port {
            0 => self.windows.add(&frame.batch::<Keyed<K, A::Item>>(), &mut Left(&mut self.sides))?,
            _ => self.windows.add(&frame.batch::<Keyed<K, B::Item>>(), &mut Right(&mut self.sides))?,
        }
        self.context.check()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        self.windows.close(tick.watermark, &mut self.sides)
    }

    fn due(&mut self) -> Due {
        Due::at(self.windows.due())
    }

    fn tidy(&mut self, ends: bool) -> bool {
        self.windows.tidy(ends)
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        self.windows.restored().map(|()| true)
    }
}

impl<T: 'static, U: 'static, K: Key, A: Aggregate<T>, B: Aggregate<U>, N: Pipe> Pipe
    for WindowJoinOperator<T, U, K, A, B, N>
{
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.sides.next.each_link(visit);
    }
}
