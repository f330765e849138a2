//! The events of this process: made when first asked for, and then shared by every query and every run.
//!
//! They stay until the process ends (see `generate`), so asking twice for the same number must not make them
//! twice, and a number that the machine cannot hold is refused before anything is made.

use std::fs;
use std::sync::{Mutex, PoisonError};

use super::generate::{Events, Recipe};
use crate::error::BenchError;

/// What an event takes, measured over four million and rounded up.
const EVENT_BYTES: u64 = 240;

static MADE: Mutex<Vec<Events>> = Mutex::new(Vec::new());

/// The first `count` events of the default recipe.
pub(super) fn events(count: u64) -> Result<Events, BenchError> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(events) = made.iter().find(|events| events.len() as u64 == count) {
        return Ok(*events);
    }
    fits(count, available_bytes())?;
    let events = Events::generate(&Recipe { events: count as usize, ..Recipe::default() });
    made.push(events);
    Ok(events)
}

/// Whether so many events fit into memory; an unknown amount of memory is taken for enough.
fn fits(count: u64, available_bytes: Option<u64>) -> Result<(), BenchError> {
    let (needed, available) = (count.saturating_mul(EVENT_BYTES), available_bytes.unwrap_or(u64::MAX));
    if needed <= available {
        return Ok(());
    }
    let mb = |bytes: u64| bytes / (1 << 20);
    Err(BenchError::Options(format!(
        "{count} NEXMark events are held in memory and take {} MB, but {} MB are free; use --events {} or fewer",
        mb(needed),
        mb(available),
        available / EVENT_BYTES,
    )))
}

/// Memory that can be had without swapping.
fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_events_are_made_once() {
        let (first, second) = (events(100).expect("events"), events(100).expect("events"));
        assert!(std::ptr::eq(first.get(0), second.get(0)));
        assert_eq!(events(50).expect("events").len(), 50);
    }

    #[test]
    fn more_than_fits_is_refused_with_the_number_that_would() {
        assert!(fits(1_000, Some(240_000)).is_ok());
        let error = fits(1_001, Some(240_000)).expect_err("too many").to_string();
        assert!(error.contains("--events 1000 or fewer"), "{error}");
        assert!(fits(u64::MAX, Some(1 << 40)).is_err());
        assert!(available_bytes().is_some());
    }
}
