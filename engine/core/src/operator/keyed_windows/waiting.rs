//! Overdue records that have to wait.
//!
//! A record that is [overdue](crate::operator::push::Link::overdue) counts for the windows that end after the watermark of its own partition, and for
//! no others: in another run they may have closed before it came, since it was another partition that held them open. Windows that share a pane
//! cannot be told apart in it. So where some that it does not count for are still open here, its item waits until they have closed; then what
//! has come together is added to its pane.
//!
//! ```text
//!  windows     [ a .............. )          ends at or before the watermark of the record's partition, and is open here
//!                   [ b .............. )     ends after it
//!  record                 x                  waits until `a` has closed, and is added to its pane before `b` closes
//! ```
//!
//! How long is a matter of the watermark alone: the first window that it counts for is the one that ends next after that, in whatever pane it is. With
//! windows that do not overlap nothing waits.

use super::closing::Closing;
use super::merging::Cursor;
use super::{Added, Adds, Closes, KeyedWindows};
use crate::exchange::hash::fold;
use crate::exchange::partition::ArchivedKeyed;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::{Record, read, struct_record};
use crate::state::arena::ToChange;
use crate::state::keyed::GROUP_BITS;
use crate::window::within;
use alloc::string::String;
use rkyv::{Archive, Deserialize, Serialize};

/// A key in one of the panes.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AtPane<K> {
    pane: i64,
    key: K,
}
struct_record!(AtPane<K> { pane: i64, key: K });

impl<K: Key> AtPane<K> {
    /// Of a key with this hash: the bits that say where a key lives are its own.
    fn hash_of(pane: i64, hash: u64) -> u64 {
        hash ^ fold(pane as u64) >> GROUP_BITS
    }
}

impl<K: Key> Key for AtPane<K> {
    fn hash(&self) -> u64 {
        Self::hash_of(self.pane, self.key.hash())
    }
    fn prefix(&self) -> u64 {
        self.pane.prefix()
    }
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        self.pane == archived.pane && self.key.is(&archived.key)
    }
    fn describe(&self) -> String {
        self.key.describe()
    }
}

/// What waited of a key and pane.
struct WaitedOf<'a, K, V, C> {
    key: &'a K,
    value: &'a V,
    closes: &'a C,
}

impl<K: Key, V: Record + Clone, C: Closes<K, V>> Added<K, V> for WaitedOf<'_, K, V, C> {
    fn add_to(&mut self, hash: u64, (table, saver): ToChange<'_, K, V>) -> Result<(), Fault> {
        let WaitedOf { key, value, closes } = *self;
        table.upsert_batch(
            &[hash],
            saver,
            |_, other| other == key,
            |_| (key.clone(), value.clone()),
            |_, to, made| {
                if !made {
                    closes.merge(to, value);
                }
            },
        )
    }
}

impl<K: Key, V: Record + Clone> KeyedWindows<K, V> {
    /// Adds a record that is older than `watermark`, to which its partition had come.
    #[cold]
    pub(super) fn add_overdue<I: Record>(
        &mut self,
        hash: u64,
        keyed: &ArchivedKeyed<K, I>,
        watermark: EventTime,
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault> {
        let (pane, watermark) = (self.windows.pane(keyed.at.into()), i128::from(watermark.0));
        let closed = self.closed.borrow().get();
        if self.windows.last_end(pane) <= watermark {
            self.add_late(keyed, to);
            return Ok(());
        }
        // Where partitions may be idle, windows may have closed that it would count for.
        if closed >= watermark || self.windows.next_end(pane, closed) > watermark {
            return self.add_one(hash, keyed, to);
        }
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.open(within(self.windows.next_end(pane, watermark)).0);
        let (table, saver) = waiting.table_mut(at);
        let place = table.place(
            AtPane::<K>::hash_of(pane, hash),
            saver,
            |other| other.pane == pane && other.key.is(&keyed.key),
            || (AtPane { pane, key: read(&keyed.key) }, to.empty()),
        )?;
        table.change(place, |value| to.add(value, &keyed.item));
        Ok(())
    }

    /// Begins to add what has waited longest, if that comes next: all windows have closed that end before the first one that it counts for, and that one
    /// may close.
    pub(super) fn begin_admitting(&mut self, passed: i128) -> bool {
        let Some(first) = self.waiting.borrow().number(0).map(i128::from) else { return false };
        if first > passed || self.next_due().is_some_and(|due| due < first) {
            return false;
        }
        // Of those that are over some may have had no rows, and have them now.
        self.closed.borrow_mut().raise(first - 1);
        self.closing = Closing::Admitting { at: Cursor::default() };
        true
    }

    /// Adds some of what has waited longest to its panes, within `budget` rows.
    pub(super) fn admit(
        &mut self,
        mut at: Cursor,
        budget: &mut usize,
        closes: &impl Closes<K, V>,
    ) -> Result<(), Fault> {
        let from = self.waiting.clone();
        let mut from = from.borrow_mut();
        let done = at.each(from.table(0), budget, |rows| {
            rows.iter().try_for_each(|(AtPane { pane, key }, value)| {
                let Some(place) = self.pane(*pane) else {
                    unreachable!("what waits counts for a window that has not closed")
                };
                let (hash, mut waited) = (key.hash(), WaitedOf { key, value, closes });
                waited.add_to(hash, self.panes.borrow_mut().table_mut(place))?;
                if self.suffixes.has(*pane) { self.suffixes.add_behind(*pane, hash, waited) } else { Ok(()) }
            })
        })?;
        self.closing = if done {
            from.retire_first();
            Closing::No
        } else {
            Closing::Admitting { at }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// By this a changed job converts what waits: `rows_of` of its plan has it as text.
    #[test]
    fn rows_print_as_a_changed_job_takes_them() {
        let schema = <(AtPane<u64>, u32) as Record>::SCHEMA.to_string();
        assert_eq!(schema, "(AtPane { pane: i64, key: u64 }, u32)");
    }

    /// A key lives in the group that it lives in without a pane, and its panes are told apart.
    #[test]
    fn a_key_at_a_pane_lives_where_the_key_does() {
        for key in 0..1_000u64 {
            let hashes = [0, 1, -1, i64::MIN].map(|pane| AtPane { pane, key }.hash());
            assert!(hashes.iter().all(|hash| hash >> (64 - GROUP_BITS) == key.hash() >> (64 - GROUP_BITS)));
            assert!(hashes.windows(2).all(|two| two[0] != two[1]));
        }
    }
}
