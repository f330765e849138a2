//! Windows of event time: their geometry, and what a closed one looks like.
//!
//! Windows are `[start, end)` and aligned to time 0. Hopping windows share *panes*, the stretches between two borders that follow each other, so
//! a record is added once however many windows hold it. There is a border where a window starts and where one ends: two in a slide at most,
//! whatever the size. (Traub et al., *Scotty*, 2018, call panes slices.)
//!
//! ```text
//!  slide     |               |               |            windows start at 0, slide, 2 slide ...
//!  cut            |               |               |       and end at size mod slide behind them
//!  panes     |    |          |    |          |    |
//! ```

use crate::exchange::hash;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::struct_record;
use core::fmt;
use core::time::Duration;
use rkyv::{Archive, Deserialize, Serialize};

/// A stretch of event time, `[start, end)`.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Window {
    /// The first time inside.
    pub start: EventTime,
    /// The first time after it.
    pub end: EventTime,
}
struct_record!(Window { start: EventTime, end: EventTime });

impl Key for Window {
    fn hash(&self) -> u64 {
        hash::join(self.start.hash(), self.end.hash())
    }
    fn prefix(&self) -> u64 {
        self.start.prefix()
    }
    fn is(&self, archived: &ArchivedWindow) -> bool {
        self.start.is(&archived.start) && self.end.is(&archived.end)
    }
    fn describe(&self) -> alloc::string::String {
        alloc::format!("{self:?}")
    }
}

/// A row that leaves a window when it closes.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Windowed<K, V> {
    /// The window.
    pub window: Window,
    /// The key.
    pub key: K,
    /// What the aggregate came to.
    pub value: V,
}
struct_record!(Windowed<K, V> { window: Window, key: K, value: V });

/// How windows lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    size: i64,
    slide: i64,
    /// Where windows end within a slide: 0 where others start.
    cut: i64,
}

/// Windows that follow each other without a gap: each record is in exactly one.
///
/// # Panics
/// When `size` is zero or beyond 292 years.
///
/// ```
/// use pelton::window::tumbling;
/// use std::time::Duration;
/// let windows = tumbling(Duration::from_secs(60));
/// assert_eq!(windows.panes_per_window(), 1);
/// ```
pub fn tumbling(size: Duration) -> Windows {
    hopping(size, size)
}

/// Windows of `size`, one beginning every `slide`: each record is in `size / slide` of them.
///
/// # Panics
/// When `slide` is zero or larger than `size` (records between two windows would be in none), or `size` is beyond 292 years.
///
/// ```
/// use pelton::window::hopping;
/// use std::time::Duration;
/// let windows = hopping(Duration::from_secs(10), Duration::from_secs(2));
/// assert_eq!(windows.panes_per_window(), 5);
/// let uneven = hopping(Duration::from_secs(60), Duration::from_millis(7_001));
/// assert_eq!(uneven.panes_per_window(), 17);
/// ```
pub fn hopping(size: Duration, slide: Duration) -> Windows {
    let nanos =
        |d: Duration| i64::try_from(d.as_nanos()).unwrap_or_else(|_| panic!("{d:?} is beyond 292 years"));
    let (size, slide) = (nanos(size), nanos(slide));
    assert!(slide > 0, "a window needs a size and a slide above zero");
    assert!(slide <= size, "a slide of {slide} ns beyond the size of {size} ns leaves records in no window");
    Windows { size, slide, cut: size % slide }
}

/// Sessions: each lasts from a record of the key until there has been none for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap: i64,
}

impl SessionWindows {
    /// How long nothing comes until a session is over, in nanoseconds.
    pub fn gap_nanos(&self) -> i64 {
        self.gap
    }
}

/// Windows that last as long as records of the key are less than `gap` apart, whatever the order in which they come: from the first one to `gap` after the
/// last one. A record just `gap` later begins another (Flink would take it into the session if that is still there).
///
/// # Panics
/// When `gap` is zero or beyond 292 years.
///
/// ```
/// use pelton::window::session;
/// use std::time::Duration;
/// assert_eq!(session(Duration::from_millis(1)).gap_nanos(), 1_000_000);
/// ```
pub fn session(gap: Duration) -> SessionWindows {
    let nanos = i64::try_from(gap.as_nanos()).unwrap_or_else(|_| panic!("{gap:?} is beyond 292 years"));
    assert!(nanos > 0, "a session needs a gap above zero");
    SessionWindows { gap: nanos }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "windows of {} ns every {} ns", self.size, self.slide)
    }
}

impl Windows {
    /// How long each is, in nanoseconds.
    pub fn size_nanos(&self) -> i64 {
        self.size
    }

    /// How far the beginning of one is from that of the next, in nanoseconds.
    pub fn slide_nanos(&self) -> i64 {
        self.slide
    }

    /// Panes that a window is made of.
    pub fn panes_per_window(&self) -> usize {
        let slides = self.size / self.slide;
        (if self.cut == 0 { slides } else { 2 * slides + 1 }) as usize
    }

    /// The window that ends at `end`, as far as it lies within the range of event times.
    pub(crate) fn ending(&self, end: i128) -> Window {
        Window { start: within(end - i128::from(self.size)), end: within(end) }
    }

    /// The beginning of the pane that holds `at`, or the beginning of time.
    #[inline(always)]
    pub(crate) fn pane(&self, at: i64) -> i64 {
        let inside = at.rem_euclid(self.slide);
        let from = if inside >= self.cut { self.cut } else { 0 };
        at.saturating_sub(inside - from)
    }

    /// The end of the pane that begins at `pane`, or the end of time.
    #[inline(always)]
    pub(crate) fn pane_end(&self, pane: i64) -> i64 {
        let inside = pane.rem_euclid(self.slide);
        let to = if inside < self.cut { self.cut } else { self.slide };
        pane.saturating_add(to - inside)
    }

    /// Where the pane begins, be it before the beginning of time. Windows at the ends of time reach beyond them, so their
    /// borders are counted in wider numbers.
    fn begin(&self, pane: i64) -> i128 {
        let inside = pane.rem_euclid(self.slide);
        let from = if inside >= self.cut { self.cut } else { 0 };
        i128::from(pane) - i128::from(inside - from)
    }

    /// Where the pane ends, be it behind the end of time.
    fn end(&self, pane: i64) -> i128 {
        let inside = pane.rem_euclid(self.slide);
        let to = if inside < self.cut { self.cut } else { self.slide };
        i128::from(pane) + i128::from(to - inside)
    }

    /// The end of the last window that holds the pane.
    pub(crate) fn last_end(&self, pane: i64) -> i128 {
        self.begin(pane).div_euclid(self.slide.into()) * i128::from(self.slide) + i128::from(self.size)
    }

    /// The end of the first window that holds the pane and ends after `closed`.
    pub(crate) fn next_end(&self, pane: i64, closed: i128) -> i128 {
        let (last, slide) = (self.last_end(pane), i128::from(self.slide));
        // The first window that holds the pane ends less than a slide after the pane does.
        let first = last - (last - self.end(pane)) / slide * slide;
        if first > closed { first } else { first + ((closed - first) / slide + 1) * slide }
    }

    /// Whether the pane begins before the window that ends at `end` does.
    pub(crate) fn is_before(&self, end: i128, pane: i64) -> bool {
        self.begin(pane) < end - i128::from(self.size)
    }

    /// Whether the pane begins before `end`.
    pub(crate) fn begins_before(&self, end: i128, pane: i64) -> bool {
        self.begin(pane) < end
    }

    /// Whether the window that ends at `end` holds the pane.
    #[cfg(test)]
    pub(crate) fn holds(&self, end: i128, pane: i64) -> bool {
        let begin = self.begin(pane);
        begin >= end - i128::from(self.size) && begin < end
    }
}

/// The event time nearest to `time`.
pub(crate) fn within(time: i128) -> EventTime {
    EventTime(time.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window that holds `at`, by definition.
    fn naive(size: i64, slide: i64, at: i64) -> alloc::vec::Vec<i64> {
        (-200..400).map(|n| n * slide).filter(|s| *s <= at && at < s + size).map(|s| s + size).collect()
    }

    #[test]
    fn panes_and_ends_agree_with_the_definition() {
        for (size, slide) in [(10, 10), (10, 2), (10, 3), (7, 5), (1, 1), (12, 8)] {
            let windows = hopping(Duration::from_nanos(size as u64), Duration::from_nanos(slide as u64));
            for at in -40..40 {
                let (pane, ends) = (windows.pane(at), naive(size, slide, at));
                assert!(pane <= at && at < windows.pane_end(pane));
                assert_eq!(
                    windows.last_end(pane),
                    i128::from(*ends.last().unwrap()),
                    "{size}/{slide} at {at}"
                );
                for closed in -60..60 {
                    let next = ends.iter().map(|&end| i128::from(end)).find(|end| *end > closed);
                    let found =
                        Some(windows.next_end(pane, closed)).filter(|end| *end <= windows.last_end(pane));
                    assert_eq!(found, next, "{size}/{slide} at {at} closed {closed}");
                }
                for end in naive(size, slide, 0).into_iter().chain(ends.iter().copied()) {
                    assert_eq!(windows.holds(end.into(), pane), ends.contains(&end));
                }
            }
        }
    }

    #[test]
    fn windows_at_the_ends_of_time_are_where_they_would_be() {
        for (size, slide) in [(10, 10), (10, 3), (i64::MAX, i64::MAX), (1 << 40, 1 << 38)] {
            let windows = hopping(Duration::from_nanos(size as u64), Duration::from_nanos(slide as u64));
            for at in [i64::MIN, i64::MIN + 1, i64::MIN + 12, -1, 0, i64::MAX - 12, i64::MAX - 1, i64::MAX] {
                let pane = windows.pane(at);
                let last = (i128::from(at).div_euclid(slide.into())) * i128::from(slide) + i128::from(size);
                assert_eq!(windows.last_end(pane), last, "{size}/{slide} at {at}");
                assert!(windows.holds(last, pane) && !windows.holds(last + i128::from(slide), pane));
                let first = windows.next_end(pane, i128::MIN / 2);
                assert!(first > i128::from(at) && first - i128::from(slide) <= i128::from(at));
                assert_eq!(windows.ending(last).end, within(last));
                assert!(pane <= at && (at < windows.pane_end(pane) || at == i64::MAX));
            }
        }
    }
}
