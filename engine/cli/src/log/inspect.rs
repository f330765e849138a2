//! `pelton log inspect`: one row for each shard's log, and one line for each entry if that is asked for.

use std::error::Error;

use pelton_storage::Kind;

use super::times::time_of;
use super::{Logs, Selected, Walked};
use crate::moment::{local_time, show_tick};
use crate::output::{Lines, print};
use crate::progress::Progress;
use crate::table::{Column, Table};

/// The kind's name, as people read it.
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Tick => "tick",
        Kind::Control => "control",
        Kind::Hash => "hash",
    }
}

/// Prints the table. A log that is damaged gets its row as far as it could be read, and is reported at the end.
pub fn run(logs: &Logs, entries: bool) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new([
        Column::number("generation").minor(2),
        Column::number("shard"),
        Column::number("segments").minor(4),
        Column::number("spares").minor(6),
        Column::number("groups").minor(5),
        Column::number("entries"),
        Column::number("ticks"),
        Column::text("from").minor(1),
        Column::text("to").minor(1),
        Column::number("bytes").minor(3),
        Column::number("released"),
        Column::text("end"),
    ]);
    let mut failure = None;
    let progress = if entries { Progress::beside_lines("inspect") } else { Progress::new("inspect") };
    let mut walked = Walked::of(logs, progress);
    for selected in &logs.places {
        let mut row = Row::default();
        let result = if entries {
            list(logs, selected, &mut row, &mut walked)
        } else {
            count(logs, selected, &mut row, &mut walked, None)
        };
        let tail = match &result {
            Ok(()) => row.tail.clone(),
            Err(_) => "damaged".to_owned(),
        };
        failure = failure.or(result.err());
        let ticks = row.first.map_or("-".to_owned(), |first| format!("{first}-{}", show_tick(row.last)));
        let (from, to) = row.times.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |(from, to)| (local_time(from), local_time(to)),
        );
        table.row([
            selected.place.generation.to_string(),
            selected.place.shard.to_string(),
            row.segments.to_string(),
            row.spares.to_string(),
            row.groups.to_string(),
            row.entries.to_string(),
            ticks,
            from,
            to,
            row.bytes.to_string(),
            show_tick(row.released),
            tail,
        ]);
    }
    drop(walked);
    print(&table.to_text())?;
    failure.map_or(Ok(()), Err)
}

#[derive(Default)]
struct Row {
    segments: usize,
    spares: usize,
    groups: u64,
    entries: u64,
    first: Option<u64>,
    last: u64,
    /// When the first and the last of its ticks were taken in.
    times: Option<(i64, i64)>,
    bytes: u64,
    released: u64,
    tail: String,
}

fn list(logs: &Logs, selected: &Selected, row: &mut Row, walked: &mut Walked) -> Result<(), Box<dyn Error>> {
    let mut lines = Lines::new();
    let result = count(logs, selected, row, walked, Some(&mut lines));
    lines.finish()?;
    result
}

fn count(
    logs: &Logs,
    selected: &Selected,
    row: &mut Row,
    walked: &mut Walked,
    mut lines: Option<&mut Lines>,
) -> Result<(), Box<dyn Error>> {
    let place = &selected.place;
    row.tail = "never begun".to_owned();
    let Some(mut scan) = logs.scan(place)? else { return Ok(()) };
    walked.begin(place, &scan);
    row.segments = scan.segments().count();
    row.spares = scan.spares().0;
    row.tail = "whole".to_owned();
    let mut staged = 0;
    while let Some(group) = logs.group(&mut scan, selected.ticks)? {
        walked.group(&group);
        let before = row.entries;
        for entry in scan.entries().filter(|entry| selected.has(entry.tick)) {
            let time = time_of(&entry);
            if let Some(time) = time {
                let (first, _) = row.times.unwrap_or((time, time));
                row.times = Some((first, time));
            }
            row.entries += 1;
            row.first.get_or_insert(entry.tick);
            row.last = entry.tick;
            if let Some(lines) = &mut lines {
                lines.write(&format!(
                    "shard {:<4} tick {:<12} {:<8} position {:<14} {} bytes{}\n",
                    place.shard,
                    show_tick(entry.tick),
                    name_of(entry.kind),
                    entry.position,
                    entry.payload.len(),
                    time.map_or_else(String::new, |time| format!("  {}", local_time(time)))
                ))?;
            }
        }
        let found = row.entries - before;
        row.groups += u64::from(found > 0 || group.entries == 0);
        row.bytes += if found > 0 { group.bytes } else { 0 };
        row.released = row.released.max(group.released);
        staged += if group.is_staged { found } else { 0 };
    }
    if staged > 0 {
        row.tail = format!("whole, {staged} entries only in memory");
    } else if scan.is_ring_lost() && scan.unseen().is_none() {
        row.tail = "whole in its files; what was only in memory is gone".to_owned();
    }
    // A walk that stopped at --to has not come to the end.
    if selected.to_the_end()
        && let Some(torn) = scan.torn()?
    {
        let file = torn.path.file_name().unwrap_or_default().display();
        row.tail = match logs.look {
            pelton_storage::Look::Alone => format!("torn in {file} at byte {}: {}", torn.at, torn.reason),
            pelton_storage::Look::Beside => "being written".to_owned(),
        };
    }
    Ok(())
}
