//! The records: all of them follow from a seed and their number.

use pelton::EventTime;
use pelton::sim::Chance;

/// A record.
#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Milliseconds.
    pub at: i64,
    /// What it is grouped by.
    pub key: u64,
    /// What is added up.
    pub value: i64,
    /// Its number.
    pub id: u64,
}

impl Event {
    /// Its time.
    pub fn time(&self) -> EventTime {
        EventTime::from_millis(self.at)
    }
}

/// A record may come again within so many places.
pub const REPEATED_WITHIN: u64 = 8;

/// What the records are like.
#[derive(Clone, Debug)]
pub struct Data {
    /// Chooses them.
    pub seed: u64,
    /// How many there are.
    pub records: u64,
    /// Keys.
    pub keys: u64,
    /// Milliseconds from one to the next.
    pub step_ms: i64,
    /// No record is this much older than one before it.
    pub jitter_ms: i64,
    /// Of a thousand, so many come again.
    pub repeated: u32,
}

impl Data {
    /// Draws what the records are like.
    pub fn draw(chance: &mut Chance) -> Self {
        let step_ms = chance.from_to(1, 40) as i64;
        Data {
            seed: chance.below(u64::MAX),
            records: 50 + chance.magnitude(4_000),
            keys: chance.magnitude(300),
            step_ms,
            repeated: *chance.choose(&[0, 100, 500]),
            jitter_ms: if chance.happens(300) { 1 } else { step_ms * chance.from_to(1, 30) as i64 },
        }
    }

    /// What comes in place number `place`: a record of its own, or one of those shortly before it once more.
    pub fn at(&self, place: u64) -> Event {
        let mut chance = Chance::new(self.seed, "repeated");
        chance.skip(place * 2);
        let back = if chance.happens(self.repeated) { chance.below(REPEATED_WITHIN) } else { 0 };
        self.event(place.saturating_sub(back))
    }

    /// Record number `id`.
    pub fn event(&self, id: u64) -> Event {
        let mut chance = Chance::new(self.seed, "records");
        chance.skip(id * 4);
        let at = id as i64 * self.step_ms + chance.below(self.jitter_ms as u64) as i64;
        // Half of the records are of few keys.
        let keys = if chance.happens(500) { self.keys.div_ceil(10) } else { self.keys };
        Event { at, key: chance.below(keys), value: chance.below(1_000) as i64 - 300, id }
    }
}
