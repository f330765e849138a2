//! The results as text.

use crate::job::{Frequency, Pace};
use pelton::EventTime;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the frequencies, the totals over all intervals, and the pace.
pub fn write(frequencies: &[Frequency], pace: &Pace, out: &mut impl Write) -> io::Result<()> {
    let width = frequencies.iter().map(|row| row.key.chars().count()).max().unwrap_or(0).max("event".len());
    let mut line = |interval: &str, event: &str, entries: &str, events: &str, sum: &str| {
        writeln!(out, "{interval:<20}  {event:<width$}  {entries:>9}  {events:>9}  {sum:>14}")
    };
    line("interval from (UTC)", "event", "times", "events", "sum")?;
    let mut totals = BTreeMap::new();
    let mut before = None;
    for Frequency { window, key, value: (entries, events, sum) } in frequencies {
        let interval =
            if before == Some(window) { String::new() } else { utc(window.start)[..19].to_owned() };
        line(&interval, key, &entries.to_string(), &events.to_string(), &format!("{sum:.2}"))?;
        before = Some(window);
        let total: &mut (u64, u64, f64) = totals.entry(key).or_default();
        *total = (total.0 + entries, total.1 + events, total.2 + sum);
    }
    let mut interval = "all";
    for (event, (entries, events, sum)) in &totals {
        line(interval, event, &entries.to_string(), &events.to_string(), &format!("{sum:.2}"))?;
        interval = "";
    }

    if let (Some(first), Some(last)) = (pace.first, pace.last) {
        writeln!(out, "\n{} events from {} to {}", pace.events, utc(first), utc(last))?;
    }
    if let Some(busiest) = &pace.busiest {
        writeln!(out, "most at the same time: {} {}, at {}", busiest.count, busiest.name, utc(busiest.time))?;
    }
    if let Some((silence, from)) = pace.silence {
        writeln!(out, "longest silence: {:.3} s, from {}", silence.as_secs_f64(), utc(from))?;
    }
    Ok(())
}

/// A time as date and time of day in UTC, by the calendar of today.
fn utc(time: EventTime) -> String {
    let (seconds, millis) = (time.as_secs(), time.as_millis().rem_euclid(1_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years are counted from March, so that the leap day is the last of a year; 400 of them always have the
    // same number of days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}
