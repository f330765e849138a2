//! What panes come to together, kept from one window to the next, so that a window need not add up each of its panes again.
//!
//! ```text
//!  panes       | a | b | c | d | e | f | g | h | i | j | k |      c: the first pane of the window that closes, j its last
//!                                      |               |
//!                                   border          through
//!  suffixes            | c ........... )                          a table for some of the panes before the border: that pane and all
//!                              | e ... )                          that follow it, up to the border
//!  recent                              | g ........... )          one table: the panes behind it, up to the end of the last window
//! ```
//!
//! The window from `c` to `j` is the suffix of `c` and what is recent, once `j` has been added there: two tables, each with no more keys than
//! the window has rows, however many panes there are.
//!
//! 1. *A suffix is missing*: it is made of the next one and the panes between. The nearer half of them is added first, and so on, and what that
//!    comes to is kept at each halving, since it is the suffix of a window that closes soon. A window needs the suffix of its own first pane alone,
//!    and the last that needs it may add what is recent to the suffix itself.
//! 2. *A record comes to a pane that has been added*: it is added to whatever the pane has been added to.
//! 3. *No pane is left before the border*: all begins anew, with the border where the window ends.
//!
//! So of N panes each row is added once to a suffix for every second halving, which is `log2(N) / 2`, and once to what is recent; and a window that
//! closes copies one table of its size, for its suffix, and adds another. Tables are no more than `log2(N) + 2` at a time. This is an aggregation
//! with two stacks (Tangwongsan, Hirzel, Schneider, Wu, *General incremental sliding-window aggregation*, 2015), save that the stack in front is not
//! filled at once: it would hold every key as often as there are panes.
//!
//! All of it is derived from the panes, and none of it is state: checkpoints and digests have no part of it, and when rows come or go with key
//! groups, or the memory limit refuses a table, it is dropped. Windows are then closed as those of few panes are, by adding up the panes.

use super::closing::{Closing, Rows};
use super::merging::{Cursor, Rest, merge_some};
use super::{Added, Closes, KeyedWindows};
use crate::bounds::{PANE_ROWS, SUFFIX_TABLES};
use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::arena::Arena;
use crate::state::keyed::KeyedTable;
use crate::state::store::StateStore;

/// Before any pane.
const NOTHING: i128 = i128::MIN;

/// What a window is at that is made of a suffix and what is recent.
#[derive(Clone, Copy)]
pub(super) enum Adding {
    /// Looking which suffix is made next.
    Choosing,
    /// The suffix that comes next is copied, as far as `at`; then panes are added.
    Copying { at: Cursor, panes: Rest },
    /// Panes are added to the suffix that is being made.
    Panes(Rest),
    /// Panes are added to what is recent.
    Recent(Rest),
    /// The suffix is copied to what is merged: later windows need it, too.
    Apart { at: Cursor },
    /// What is recent is added to one or the other.
    Joining { to: Rows, at: Cursor },
}

/// See the [module](self).
pub(super) struct Suffixes<K, V> {
    /// Under the start of the first pane of each, which is before `border`.
    tables: Arena<K, V>,
    /// One at most.
    recent: Arena<K, V>,
    border: i128,
    /// Panes before this have been added.
    through: i128,
    /// Whether the window that is closing is the first since the border is where it is.
    is_first: bool,
    /// Whether it pays, as far as could be seen when panes were last added one by one.
    pays: bool,
    /// Windows to close before it is tried again after the memory limit refused it.
    pause: usize,
}

impl<K: Key, V: Record + Clone> Suffixes<K, V> {
    pub(super) fn new(store: &StateStore) -> Self {
        Suffixes {
            tables: store.scratch(),
            recent: store.scratch(),
            border: NOTHING,
            through: NOTHING,
            is_first: false,
            pays: false,
            pause: 0,
        }
    }

    /// Whether the pane that begins at `start` has been added to anything.
    #[inline(always)]
    pub(super) fn has(&self, start: i64) -> bool {
        i128::from(start) < self.through
    }

    /// The suffix of the first pane.
    pub(super) fn first(&self) -> &KeyedTable<K, V> {
        self.tables.table(0)
    }

    /// Whether nothing waits to be cleared.
    pub(super) fn is_clean(&self) -> bool {
        self.tables.is_clean() && self.recent.is_clean()
    }

    /// Clears what was let go of, within `budget` rows' worth of time.
    pub(super) fn clear_some(&mut self, budget: &mut usize) {
        self.tables.clear_some(budget);
        self.recent.clear_some(budget);
    }

    /// Gives back what nobody has needed for a while.
    pub(super) fn tidy(&mut self, ends: bool) -> bool {
        self.tables.give_back_unused(ends) & self.recent.give_back_unused(ends)
    }

    /// Drops all tables: the panes are no longer what they were, or all begins anew.
    pub(super) fn reset(&mut self) {
        self.tables.retire_all();
        self.recent.retire_all();
        (self.border, self.through) = (NOTHING, NOTHING);
    }

    /// As [`reset`](Self::reset), when there is no memory for them; what it was for is not tried again for `windows`.
    #[cold]
    fn give_up(&mut self, windows: usize) {
        self.reset();
        self.tables.give_back();
        self.recent.give_back();
        (self.pays, self.pause) = (false, windows);
    }

    /// Lets go of the suffixes whose first pane no later window holds: `is_gone` says so of its start.
    pub(super) fn leave(&mut self, is_gone: impl Fn(i64) -> bool) {
        while self.tables.number(0).is_some_and(&is_gone) {
            self.tables.retire_first();
        }
    }

    /// `added` rows of `panes` panes came to `rows` rows. Whether windows of that kind should share what they add up: when that saves more than
    /// it costs in time, and all tables together have fewer rows than the panes.
    pub(super) fn weigh(&mut self, added: usize, panes: usize, rows: usize) {
        let tables = panes.max(1).ilog2() as usize + SUFFIX_TABLES;
        self.pays = self.pause == 0 && added > tables.saturating_mul(rows);
        self.pause = self.pause.saturating_sub(1);
    }

    /// How the window that ends at `end` and whose first pane begins at `first` is closed.
    pub(super) fn way(&mut self, first: i64, end: i128) -> Way {
        if i128::from(first) < self.border {
            self.is_first = false;
            return Way::Shared;
        }
        if self.border != NOTHING {
            self.reset();
            return Way::Later;
        }
        if !self.pays {
            return Way::Alone;
        }
        (self.border, self.through, self.is_first) = (end, end, true);
        Way::Shared
    }

    /// A record came to a pane that [has](Self::has) been added.
    #[cold]
    #[inline(never)]
    pub(super) fn add_behind(
        &mut self,
        start: i64,
        hash: u64,
        mut added: impl Added<K, V>,
    ) -> Result<(), Fault> {
        let mut add = |arena: &mut Arena<K, V>, at| added.add_to(hash, arena.table_mut(at));
        let added = if i128::from(start) < self.border {
            let holding = self.tables.partition_point(|first| first <= start);
            (0..holding).try_for_each(|at| add(&mut self.tables, at))
        } else {
            let at = self.recent.open(0);
            add(&mut self.recent, at)
        };
        match added {
            // They are not needed, and the record is in its pane.
            Err(Fault::OutOfMemory(_)) => {
                self.give_up(1);
                Ok(())
            }
            added => added,
        }
    }
}

/// How a window is closed.
pub(super) enum Way {
    /// Its panes are added up for it alone.
    Alone,
    /// Of a suffix and what is recent.
    Shared,
    /// That is asked again when what was let go of has been cleared.
    Later,
}

impl<K: Key, V: Record + Clone> KeyedWindows<K, V> {
    /// Goes on with a window that is made of a suffix and what is recent. Where there is no memory for that it begins again, in the other way.
    pub(super) fn add_some(
        &mut self,
        phase: Adding,
        budget: &mut usize,
        closes: &impl Closes<K, V>,
    ) -> Result<(), Fault> {
        match self.go_on(phase, budget, closes) {
            Ok(closing) => self.closing = closing,
            Err(Fault::OutOfMemory(_)) => {
                self.suffixes.give_up(self.panes_of(self.end).len());
                self.merged.retire_all();
                self.merged.give_back();
                self.closing = Closing::No;
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        phase: Adding,
        budget: &mut usize,
        closes: &impl Closes<K, V>,
    ) -> Result<Closing, Fault> {
        let panes = self.panes.borrow();
        let Suffixes { tables, recent, .. } = &mut self.suffixes;
        Ok(Closing::Adding(match phase {
            Adding::Choosing => {
                drop(panes);
                *budget = budget.saturating_sub(PANE_ROWS);
                self.choose()
            }
            Adding::Copying { mut at, panes } => {
                let done = match tables.first_two() {
                    Some((into, from)) => merge_some(into, from, &mut at, budget, closes)?,
                    None => true,
                };
                if done { Adding::Panes(panes) } else { Adding::Copying { at, panes } }
            }
            Adding::Panes(Rest { next, end, .. }) if next == end => Adding::Choosing,
            Adding::Panes(Rest { next, end, mut at }) => {
                if merge_some(tables.table_mut(0), panes.table(next), &mut at, budget, closes)? {
                    *budget = budget.saturating_sub(PANE_ROWS);
                    self.added += panes.table(next).len();
                    Adding::Panes(Rest::new(next + 1, end))
                } else {
                    Adding::Panes(Rest { next, end, at })
                }
            }
            Adding::Recent(Rest { next, end, .. }) if next == end => {
                drop(panes);
                self.suffixes.through = self.end;
                return Ok(self.join());
            }
            Adding::Recent(Rest { next, end, mut at }) => {
                let one = recent.open(0);
                if merge_some(recent.table_mut(one), panes.table(next), &mut at, budget, closes)? {
                    *budget = budget.saturating_sub(PANE_ROWS);
                    Adding::Recent(Rest::new(next + 1, end))
                } else {
                    Adding::Recent(Rest { next, end, at })
                }
            }
            Adding::Apart { mut at } => {
                let one = self.merged.open(0);
                let into = self.merged.table_mut(one);
                if merge_some(into, tables.table(0), &mut at, budget, closes)? {
                    Adding::Joining { to: Rows::Merged, at: Cursor::default() }
                } else {
                    Adding::Apart { at }
                }
            }
            Adding::Joining { to, mut at } => {
                let into = match to {
                    Rows::Suffix => tables.table_mut(0),
                    _ => self.merged.table_mut(0),
                };
                if merge_some(into, recent.table(0), &mut at, budget, closes)? {
                    self.order.begin();
                    return Ok(Closing::Sorting { of: to });
                }
                Adding::Joining { to, at }
            }
        }))
    }

    /// Which suffix is made next, on the way to that of the window's first pane; what is recent if it is there.
    fn choose(&mut self) -> Adding {
        let window = self.panes_of(self.end);
        let panes = self.panes.borrow();
        let Suffixes { tables, border, .. } = &mut self.suffixes;
        let next = tables.number(0);
        if next.is_some() && next == panes.number(window.start) {
            if self.suffixes.is_first {
                self.suffixes.is_first = false;
                let rows = self.suffixes.first().len();
                self.suffixes.weigh(self.added, window.len(), rows);
            }
            let from = panes.partition_point(|start| self.suffixes.has(start));
            return Adding::Recent(Rest::new(from, window.end));
        }
        let to = match next {
            Some(start) => panes.find(start).unwrap_or_else(|at| at),
            None => panes.partition_point(|start| self.windows.begins_before(*border, start)),
        };
        // The nearer half, from where a window begins: no window needs a suffix that begins elsewhere.
        let middle = panes.number(window.start + (to - window.start) / 2);
        let last_end = middle.map_or(self.end, |start| self.windows.last_end(start));
        let from = panes.partition_point(|start| self.windows.is_before(last_end, start));
        debug_assert!(window.start <= from && from < to, "{window:?} {from} {to}");
        if let Some(start) = panes.number(from) {
            tables.open(start);
        }
        let rest = Rest::new(from, to);
        if next.is_some() {
            Adding::Copying { at: Cursor::default(), panes: rest }
        } else {
            Adding::Panes(rest)
        }
    }

    /// The suffix is there, and so is what is recent: how the two become one.
    fn join(&mut self) -> Closing {
        let Suffixes { tables, recent, .. } = &self.suffixes;
        if recent.len() == 0 {
            self.order.begin();
            return Closing::Sorting { of: Rows::Suffix };
        }
        let (at, first) = (Cursor::default(), tables.number(0));
        let last = first.is_some_and(|first| self.windows.last_end(first) <= self.end);
        Closing::Adding(if last { Adding::Joining { to: Rows::Suffix, at } } else { Adding::Apart { at } })
    }
}
