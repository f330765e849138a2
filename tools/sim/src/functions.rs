//! The process functions of the jobs that are simulated, and what they say, by naive twins.

use crate::data::Event;
use crate::names::Shown;
use pelton::prelude::*;
use std::collections::BTreeMap;

/// Says of each record once that its time and a while have passed, and once that the clock has gone on.
#[derive(Clone)]
pub struct Alarm {
    /// How long the while is.
    pub delay_ms: u64,
}

impl ProcessFunction<u64, Event> for Alarm {
    /// The numbers that the clock has been set for.
    type State = MapState<u64, bool>;
    type Out = Shown;
    const PROCESSING_TIMERS: bool = true;

    fn record(
        &self,
        event: Event,
        mut told: StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Shown>,
    ) {
        key.set_timer(key.time() + millis(self.delay_ms), event.id);
        if told.put(event.id, false).is_none() {
            key.set_processing_timer(key.processing_time() + millis(event.id % 5), event.id);
        }
    }

    fn timer(
        &self,
        timer: FiredTimer,
        mut told: StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Shown>,
    ) {
        let (number, id) = (*key.key() as i64, timer.tag as i64);
        // Whoever has lost what was kept says so by a row that nobody expects.
        let row = match (timer.kind, told.get(&timer.tag).copied()) {
            (TimerKind::Event, Some(_)) => [timer.at.as_millis(), number, 0, id],
            (TimerKind::Processing, Some(false)) => {
                told.put(timer.tag, true);
                // What the function saw of the clock: whatever is stopped, it is the same under the row's name.
                [timer.at.as_nanos(), number, 1, id]
            }
            _ => [-1, number, -1, id],
        };
        key.emit(row);
    }
}

/// Says of each record, which come in the order of time, which one of its key came before within a while, and what those of that while add up to.
#[derive(Clone)]
pub struct Remember {
    /// How long the while is.
    pub while_ms: u64,
}

impl ProcessFunction<u64, Event> for Remember {
    type State = (Expiring<ValueState<u64>>, Expiring<MapState<i64, i64>>);
    type Out = Shown;

    fn state(&self) -> Self::State {
        let ttl = Ttl::event_time(millis(self.while_ms));
        (Expiring::after(ttl), Expiring::after(ttl))
    }

    fn record(
        &self,
        event: Event,
        (mut last, mut values): StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Shown>,
    ) {
        values.put(event.at, event.value);
        let sum = values.iter().map(|(_, value)| value).sum();
        let before = last.replace(event.id).map_or(-1, |id| id as i64);
        key.emit([event.at, event.key as i64, sum, before]);
    }
}

/// What [`Remember`] says, of all records of a key.
pub fn remembered(mut events: Vec<&Event>, while_ms: i64) -> Vec<Shown> {
    events.sort();
    let (mut values, mut last, mut rows) = (BTreeMap::new(), None::<&Event>, Vec::new());
    for event in events {
        values.insert(event.at, event.value);
        let sum = values.iter().filter(|(at, _)| **at > event.at - while_ms).map(|(_, value)| value).sum();
        let before = last.filter(|last| last.at > event.at - while_ms).map_or(-1, |last| last.id as i64);
        rows.push([event.at, event.key as i64, sum, before]);
        last = Some(event);
    }
    rows
}
