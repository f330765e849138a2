//! How the room that the log has in a tick is dealt among the source partitions of a shard.
//!
//! ```text
//!  room    | set aside for the one whose turn it is | share | share | share |      one share for each open partition, and what
//!                                                                                   those before it left
//! ```
//!
//! Nothing is set aside as long as everybody gets along with that. A partition that has something larger than its part says how large: then
//! that much is set aside for it, and no tick is made before there is that much room, so that neither the others' input nor an unlucky place
//! in the log can keep it waiting. Where several wait, they have their turns one after the other, from where the last turn was.
//!
//! Partitions are always read in the same order, since a replay knows no other.

use alloc::vec::Vec;

/// Deals the log's room.
#[derive(Default)]
pub(crate) struct LogQuota {
    /// For each partition the bytes that it waits for; 0 if it does not.
    waits: Vec<usize>,
    /// Who waits at or behind this partition has the next turn.
    turn: usize,
    /// Whose turn it is in this tick, and what is set aside for it.
    served: Option<usize>,
    aside: usize,
    share: usize,
    /// Shares of those that have been read, as far as they were not used.
    left: usize,
}

impl LogQuota {
    pub(crate) fn new(partitions: usize) -> Self {
        LogQuota { waits: alloc::vec![0; partitions], ..LogQuota::default() }
    }

    /// Whose turn comes next.
    fn next(&self) -> Option<usize> {
        let count = self.waits.len();
        (0..count).map(|step| (self.turn + step) % count).find(|index| self.waits[*index] > 0)
    }

    /// Bytes that there must be room for before a tick is made.
    pub(crate) fn wanted(&self) -> usize {
        self.next().map_or(0, |index| self.waits[index])
    }

    /// A tick is made: `room` bytes for `open` partitions.
    pub(crate) fn deal(&mut self, room: usize, open: usize) {
        self.served = self.next();
        self.aside = self.wanted().min(room);
        self.share = (room - self.aside) / open.max(1);
        self.left = (room - self.aside) % open.max(1);
    }

    /// What a partition, which is read now, may log; one that has ended has no share.
    pub(crate) fn allowed(&mut self, index: usize, open: bool) -> usize {
        self.left += if open { self.share } else { 0 };
        if self.served == Some(index) {
            self.left += core::mem::take(&mut self.aside);
        }
        self.left
    }

    /// The partition has logged so much, and waits for `waits` bytes, if any; unless it was not `asked`.
    pub(crate) fn taken(&mut self, index: usize, logged: usize, waits: usize, asked: bool) {
        self.left = self.left.saturating_sub(logged);
        if asked {
            self.waits[index] = waits;
            if self.served == Some(index) {
                self.turn = (index + 1) % self.waits.len();
            }
        }
    }

    /// Nobody waits any more.
    pub(crate) fn clear(&mut self) {
        self.waits.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tick of partitions that want to log that many bytes in one piece each; what they could.
    fn tick(log_quota: &mut LogQuota, room: usize, wants: &[usize]) -> Vec<bool> {
        log_quota.deal(room, wants.len());
        let read = |(index, want): (usize, &usize)| {
            let fits = *want <= log_quota.allowed(index, true);
            log_quota.taken(index, if fits { *want } else { 0 }, if fits { 0 } else { *want }, true);
            fits
        };
        wants.iter().enumerate().map(read).collect()
    }

    #[test]
    fn everybody_has_a_share_and_what_was_left() {
        let mut log_quota = LogQuota::new(3);
        assert_eq!(tick(&mut log_quota, 90, &[30, 30, 30]), [true; 3]);
        assert_eq!(tick(&mut log_quota, 90, &[10, 0, 80]), [true; 3]);
        assert_eq!(log_quota.wanted(), 0);
    }

    #[test]
    fn greed_before_it_keeps_nobody_waiting() {
        let mut log_quota = LogQuota::new(2);
        // The first could take all of it in each tick.
        log_quota.deal(100, 2);
        assert_eq!(log_quota.allowed(0, true), 50);
        log_quota.taken(0, 50, 50, true);
        assert_eq!(log_quota.allowed(1, true), 50);
    }

    #[test]
    fn those_who_wait_have_their_turns_one_after_the_other() {
        let mut log_quota = LogQuota::new(3);
        let mut served = Vec::new();
        for _ in 0..7 {
            served.extend(tick(&mut log_quota, 100, &[100, 100, 100]).iter().position(|fits| *fits));
        }
        assert_eq!(
            served,
            [2, 0, 1, 2, 0, 1, 2],
            "the last had what the others could not use, before anybody waited"
        );
        assert_eq!(log_quota.wanted(), 100);
        assert_eq!(
            tick(&mut log_quota, 100, &[1, 1, 1]),
            [true; 3],
            "what was set aside and not used is not lost"
        );
        assert_eq!(log_quota.wanted(), 0);
        assert!(!tick(&mut log_quota, 100, &[100, 100, 0])[0]);
        log_quota.clear();
        assert_eq!(log_quota.wanted(), 0);
    }

    #[test]
    fn a_turn_waits_for_one_that_was_not_asked() {
        let mut log_quota = LogQuota::new(2);
        assert_eq!(tick(&mut log_quota, 10, &[0, 9]), [true, true]);
        assert_eq!(tick(&mut log_quota, 10, &[6, 9]), [false, true]);
        log_quota.deal(10, 2);
        assert_eq!(log_quota.allowed(0, true), 6 + 2);
        log_quota.taken(0, 0, 0, false);
        assert_eq!(log_quota.wanted(), 6);
    }
}
