//! Times as text: RFC 3339, for people and for NDJSON.
//!
//! One rule for formats that people read: a time is **text in RFC 3339**, such as `"2026-11-28T17:05:00.25Z"`. It is written in UTC, with as
//! many decimals as it has; read, it may have any offset. A number is refused, since it does not say of which unit it is: a field that holds
//! one says so by [`secs`], [`millis`], [`micros`] or [`nanos`]. Formats that nobody reads take the nanoseconds.
//!
//! Text counts from the Unix epoch. A job whose data uses another epoch gets dates that are wrong by the difference.
//!
//! This module reads no clock and knows no time zones.

use crate::ids::EventTime;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Text that is no time, with the reason.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseTimeError {
    text: String,
    reason: String,
}

impl fmt::Display for ParseTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a time like `2026-11-28T17:05:00Z` (RFC 3339): {}", self.text, self.reason)
    }
}

impl fmt::Debug for ParseTimeError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for ParseTimeError {}

impl FromStr for EventTime {
    type Err = ParseTimeError;

    /// Reads RFC 3339, with any offset.
    ///
    /// ```
    /// use pelton::EventTime;
    ///
    /// let time: EventTime = "2026-11-28T18:05:00.250+01:00".parse()?;
    /// assert_eq!(time.as_millis(), 1_795_885_500_250);
    /// assert_eq!(time.to_string(), "2026-11-28T17:05:00.25Z");
    /// assert!("yesterday".parse::<EventTime>().unwrap_err().to_string().contains("RFC 3339"));
    /// # Ok::<(), pelton::time::ParseTimeError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        let refuse = |reason: String| {
            // What was read may be anything, and of any length.
            let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
            ParseTimeError { text: shown, reason }
        };
        let time: Timestamp = text.parse().map_err(|error: jiff::Error| refuse(error.to_string()))?;
        let nanos = i64::try_from(time.as_nanosecond());
        nanos.map(EventTime).map_err(|_| refuse("the years from 1678 to 2261 can be told apart".to_string()))
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC, with as many decimals as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(self.0.into()) {
            Ok(time) => time.fmt(f),
            Err(_) => {
                unreachable!("64 bits of nanoseconds are 292 years each way, and all of them are dates")
            }
        }
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            i64::deserialize(deserializer).map(EventTime)
        }
    }
}

/// Reads a time from text.
struct Text;

impl Visitor<'_> for Text {
    type Value = EventTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a time as text, like \"2026-11-28T17:05:00Z\" (RFC 3339); for a number put `#[serde(with = \"pelton::time::millis\")]` on the \
             field, or `secs`, `micros`, `nanos`",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<EventTime, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! numbers {
    ($($module:ident $unit:literal $nanos:literal)*) => { $(
        #[doc = concat!("For `#[serde(with = \"pelton::time::", stringify!($module), "\")]`: times as whole ", $unit, " since the Unix epoch.")]
        ///
        /// Written, a time is rounded towards the past. Read, one that is too far away is refused.
        pub mod $module {
            use super::*;

            #[doc = concat!("Writes the ", $unit, ".")]
            ///
            /// # Errors
            /// When the serializer has one.
            pub fn serialize<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(time.0.div_euclid($nanos))
            }

            #[doc = concat!("Reads the ", $unit, ".")]
            ///
            /// # Errors
            /// When there is no whole number, or it is more than 292 years from the epoch.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventTime, D::Error> {
                let count = i64::deserialize(deserializer)?;
                let far = || de::Error::custom(alloc::format!(concat!("{} ", $unit, " is more than 292 years away"), count));
                count.checked_mul($nanos).map(EventTime).ok_or_else(far)
            }
        }
    )* };
}
numbers! {
    secs "seconds" 1_000_000_000
    millis "milliseconds" 1_000_000
    micros "microseconds" 1_000
    nanos "nanoseconds" 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(EventTime(nanos).to_string(), text);
            assert_eq!(text.parse(), Ok(EventTime(nanos)));
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        for text in [
            "",
            "now",
            "2026-11-28",
            "2026-11-28T17:05:00",
            "2026-02-30T00:00:00Z",
            "1795885500250",
            "9999-01-01T00:00:00Z",
        ] {
            let error = text.parse::<EventTime>().unwrap_err().to_string();
            assert!(error.starts_with(&alloc::format!("`{text}` is not a time like")), "{error}");
        }
        let long = "x".repeat(1_000).parse::<EventTime>().unwrap_err().to_string();
        assert!(long.len() < 1_500, "{long}");
    }
}
