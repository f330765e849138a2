//! A moment of a job's life, as people name it: a tick, or the time on the wall.
//!
//! ```text
//!  345                          a tick; 1_000_000, 1e6 and 1M are, too
//!  2026-11-24T14:03:05.250Z     RFC 3339, with a zone
//!  2026-11-24T14:03+01:00       seconds may be left out
//!  2026-11-24 14:03             local time, as the machine is set
//!  2026-11-24                   its first moment, local time
//!  14:03                        today, local time
//! ```

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use pelton_runtime::config::parse_count;
use std::fmt;
use std::str::FromStr;

/// A tick, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A tick of the job.
    Tick(u64),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Moment::read(text, &ZonedDateTime::now())
    }
}

impl Moment {
    /// Reads `text` as it is meant at the moment and in the zone of `now`.
    fn read(text: &str, now: &ZonedDateTime) -> Result<Self, String> {
        let text = text.trim();
        let is_number = !text.contains([':', '-', 'T']);
        if is_number {
            return parse_count(text).map(Moment::Tick).map_err(|_| wanted());
        }
        let zone = now.time_zone();
        let local = |time: DateTime| time.to_zoned_datetime(zone.clone()).map(|zoned| zoned.timestamp());
        let time = if let Ok(time) = text.parse::<Timestamp>() {
            Ok(time)
        } else if let Ok(time) = text.parse::<DateTime>() {
            local(time)
        } else if let Ok(time) = text.parse::<Time>() {
            local(now.date().to_datetime(time))
        } else if let Ok(date) = text.parse::<Date>() {
            local(date.to_datetime(Time::midnight()))
        } else {
            return Err(wanted());
        };
        let nanos = time.ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
        nanos.map(Moment::Time).ok_or_else(|| "it is beyond the years 1678 to 2262".to_owned())
    }
}

fn wanted() -> String {
    "a tick (345) or a time (2026-11-24T14:03:05Z, \"2026-11-24 14:03\", 14:03) is needed".to_owned()
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Tick(tick) => f.write_str(&show_tick(*tick)),
            Moment::Time(nanos) => f.write_str(&local_time(*nanos)),
        }
    }
}

/// A time for a person: local, to the millisecond, with its zone.
pub fn local_time(nanos: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// A time for a program: RFC 3339, UTC, to the nanosecond.
pub fn utc_time(nanos: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    format!("{time:.9}")
}

/// A tick for a person; the greatest stands for the end of the input, and is called so.
pub fn show_tick(tick: u64) -> String {
    if tick == u64::MAX { "end".to_owned() } else { tick.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24 15:30 in a zone two hours ahead of UTC.
    fn now() -> ZonedDateTime {
        "2026-11-24T15:30:00+02:00[+02:00]".parse().unwrap()
    }

    fn millis(text: &str) -> i64 {
        match Moment::read(text, &now()) {
            Ok(Moment::Time(nanos)) => nanos / 1_000_000,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ticks_and_times_are_told_apart() {
        assert_eq!(Moment::read(" 345 ", &now()), Ok(Moment::Tick(345)));
        assert_eq!(Moment::read("1M", &now()), Ok(Moment::Tick(1_000_000)));
        let noon = 1_795_521_600_000; // 2026-11-24T12:00:00Z
        for text in [
            "2026-11-24T12:00:00Z",
            "2026-11-24T12:00Z",
            "2026-11-24t12:00z",
            "2026-11-24T13:00+01:00",
            "2026-11-24 14:00",
            "2026-11-24T14:00:00.000",
            "14:00",
            "14:00:00",
        ] {
            assert_eq!(millis(text), noon, "{text}");
        }
        assert_eq!(millis("14:00:00.250"), noon + 250);
        assert_eq!(millis("2026-11-24"), noon - 14 * 3_600_000);
    }

    #[test]
    fn what_is_neither_says_what_is_needed() {
        for text in ["", "tuesday", "25:00", "2026-13-01", "2026-11-24T14:03+", "-5", "14", "12:3x"] {
            match Moment::read(text, &now()) {
                Ok(Moment::Tick(14)) => assert_eq!(text, "14"),
                Ok(other) => panic!("{text}: {other:?}"),
                Err(error) => assert!(error.contains("is needed"), "{text}: {error}"),
            }
        }
        assert!(Moment::read("9999-01-01", &now()).unwrap_err().contains("beyond"));
    }

    #[test]
    fn times_are_shown_with_their_zone_and_the_end_by_name() {
        assert_eq!(utc_time(1_795_521_600_123_456_789), "2026-11-24T12:00:00.123456789Z");
        let shown = local_time(1_795_521_600_123_456_789);
        assert_eq!(Moment::read(&shown, &now()), Ok(Moment::Time(1_795_521_600_123_000_000)), "{shown}");
        assert_eq!((show_tick(7), show_tick(u64::MAX)), ("7".to_owned(), "end".to_owned()));
    }
}
