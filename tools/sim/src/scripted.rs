//! A source whose records come when a script says, with pauses and stragglers.

use pelton::sim::Chance;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;

/// (Virtual nanoseconds at which the record comes, its event time), one list for each partition.
pub type Script = Vec<Vec<(u64, i64)>>;

/// A source whose records come when the script says.
#[derive(Clone)]
pub struct Scripted {
    /// Its records.
    pub script: Arc<Script>,
    /// No partition ends before that.
    pub ends: u64,
}

/// One list of them.
pub struct ScriptedPartition {
    records: Vec<(u64, i64)>,
    next: usize,
    ends: u64,
}

impl Source for Scripted {
    type Item = i64;
    type Partition = ScriptedPartition;

    fn partitions(&self, _: usize) -> usize {
        self.script.len()
    }

    fn open(&self, index: usize, _: usize) -> ScriptedPartition {
        ScriptedPartition { records: self.script[index].clone(), next: 0, ends: self.ends }
    }
}

impl Partition for ScriptedPartition {
    type Item = i64;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(i64)) -> Polled {
        let due = |record: &&(u64, i64)| record.0 <= poll.now.0;
        let records = self.records[self.next..].iter().take_while(due).take(poll.records_max);
        self.next += records.map(|(_, at)| out(*at)).count();
        if self.next == self.records.len() && poll.now.0 >= self.ends { Polled::Done } else { Polled::Open }
    }

    fn replay(&mut self, poll: Poll, _: &[u8], out: &mut impl FnMut(i64)) -> Result<(), String> {
        let records = self.records[self.next..].iter().take(poll.records_max);
        self.next += records.map(|(_, at)| out(*at)).count();
        Ok(())
    }
}

/// Records of some partitions: mostly in order, with pauses, stragglers, and now and then a time far ahead.
pub fn script(chance: &mut Chance, ends: u64) -> Script {
    let partition = |chance: &mut Chance| {
        let (mut when, mut at) = (chance.below(ends), chance.below(200) as i64);
        // Much that is there at once shows who has not said anything yet.
        let at_once = chance.happens(400);
        if at_once || chance.happens(300) {
            when = 0;
        }
        let mut records = Vec::new();
        for _ in 0..chance.magnitude(60) {
            when += match () {
                () if chance.happens(100) => chance.below(ends / 3),
                () if at_once => 0,
                () => chance.below(ends / 50),
            };
            at += chance.below(12) as i64;
            if chance.happens(20) {
                at += 400;
            }
            let behind = if chance.happens(150) { chance.below(100) as i64 } else { 0 };
            let ahead = if chance.happens(60) { 5_000 } else { 0 };
            records.push((when, at - behind + ahead));
        }
        records
    };
    (0..chance.from_to(1, 5)).map(|_| partition(chance)).collect()
}
