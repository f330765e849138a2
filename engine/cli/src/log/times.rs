//! The time on the wall in a log: each tick's entry says when the tick was taken in, so that a tick can be found by its time.
//!
//! Costs a pass over the logs in question; nothing is kept of it.

use std::error::Error;

use pelton_core::ingress::input_log;
use pelton_storage::{Entry, Kind};

use super::{Logs, Walked};
use crate::moment::{Moment, local_time};
use crate::progress::Progress;

/// A range of ticks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Ticks {
    /// Every tick.
    pub const ALL: Ticks = Ticks { from: 0, to: u64::MAX };
    /// No tick.
    pub const NONE: Ticks = Ticks { from: u64::MAX, to: 0 };
}

/// When the tick of an entry was taken in, in nanoseconds since 1970, UTC; `None` for entries that are no input of a tick.
pub fn time_of(entry: &Entry<'_>) -> Option<i64> {
    if entry.kind != Kind::Tick {
        return None;
    }
    i64::try_from(input_log::taken_in(entry.payload)?.0).ok()
}

/// Finds the ticks that a selection means, in each log.
pub fn select(logs: &mut Logs, from: Option<Moment>, to: Option<Moment>) -> Result<(), Box<dyn Error>> {
    let mut ticks = Ticks::ALL;
    let (mut since, mut until) = (None, None);
    match from {
        Some(Moment::Tick(tick)) => ticks.from = tick,
        Some(Moment::Time(time)) => since = Some(time),
        None => {}
    }
    match to {
        Some(Moment::Tick(tick)) => ticks.to = tick,
        Some(Moment::Time(time)) => until = Some(time),
        None => {}
    }
    if since.is_none() && until.is_none() {
        logs.places.iter_mut().for_each(|selected| selected.ticks = ticks);
        return Ok(());
    }
    let mut seen: Option<(i64, i64)> = None;
    let mut walked = Walked::of(logs, Progress::new("looking for the time"));
    for number in 0..logs.places.len() {
        let mut found = Ticks::NONE;
        let place = &logs.places[number].place;
        let Some(mut scan) = logs.scan(place)? else { continue };
        walked.begin(place, &scan);
        while let Some(group) = logs.group(&mut scan, ticks)? {
            walked.group(&group);
            for entry in scan.entries() {
                let Some(time) = time_of(&entry) else { continue };
                let (first, last) = seen.unwrap_or((time, time));
                seen = Some((first.min(time), last.max(time)));
                if since.is_none_or(|since| time >= since) {
                    found.from = found.from.min(entry.tick);
                }
                if until.is_none_or(|until| time <= until) {
                    found.to = found.to.max(entry.tick);
                }
            }
        }
        if found.from <= found.to {
            // An end that was not asked for by its time is not where the log happens to end.
            let from = if since.is_some() { found.from.max(ticks.from) } else { ticks.from };
            let to = if until.is_some() { found.to.min(ticks.to) } else { ticks.to };
            found = Ticks { from, to };
        }
        logs.places[number].ticks = found;
    }
    if logs.places.iter().any(|selected| selected.ticks.from <= selected.ticks.to) {
        return Ok(());
    }
    let what = match (from, to) {
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("up to {to}"),
        (None, None) => String::new(),
    };
    let place = logs.data.path.display();
    Err(match seen {
        Some((first, last)) => format!(
            "{place}: no tick of the logs is {what}; they reach from {} to {}",
            local_time(first),
            local_time(last)
        ),
        None => format!("{place}: no tick of the logs is {what}; they are empty"),
    }
    .into())
}
