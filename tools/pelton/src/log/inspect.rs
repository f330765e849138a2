//! `pelton log inspect`: one row for each shard's log, and one line for each entry if that is asked for.

use std::error::Error;

use pelton_storage::Kind;

use super::Logs;
use crate::output::{Lines, print};
use crate::table::table;

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
    let (mut rows, mut failure) = (Vec::new(), None);
    for place in &logs.places {
        let mut row = Row::default();
        let result = if entries { list(logs, place, &mut row) } else { count(logs, place, &mut row, None) };
        let tail = match &result {
            Ok(()) => row.tail.clone(),
            Err(_) => "damaged".to_owned(),
        };
        failure = failure.or(result.err());
        let ticks = row.first.map_or("-".to_owned(), |first| format!("{first}-{}", row.last));
        rows.push([
            place.generation.to_string(),
            place.shard.to_string(),
            row.segments.to_string(),
            row.spares.to_string(),
            row.groups.to_string(),
            row.entries.to_string(),
            ticks,
            row.bytes.to_string(),
            row.released.to_string(),
            tail,
        ]);
    }
    let headings = [
        "generation",
        "shard",
        "segments",
        "spares",
        "groups",
        "entries",
        "ticks",
        "bytes",
        "released",
        "end",
    ];
    let right = [true, true, true, true, true, true, true, true, true, false];
    print(&table(headings, right, &rows))?;
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
    bytes: u64,
    released: u64,
    tail: String,
}

fn list(logs: &Logs, place: &crate::data::LogPlace, row: &mut Row) -> Result<(), Box<dyn Error>> {
    let mut lines = Lines::new();
    let result = count(logs, place, row, Some(&mut lines));
    lines.finish()?;
    result
}

fn count(
    logs: &Logs,
    place: &crate::data::LogPlace,
    row: &mut Row,
    mut lines: Option<&mut Lines>,
) -> Result<(), Box<dyn Error>> {
    row.tail = "never begun".to_owned();
    let Some(mut scan) = logs.scan(place)? else { return Ok(()) };
    row.segments = scan.segments().count();
    row.spares = scan.spares().0;
    row.tail = "whole".to_owned();
    let mut staged = 0;
    while let Some(group) = logs.group(&mut scan)? {
        let before = row.entries;
        for entry in scan.entries().filter(|entry| logs.has(entry.tick)) {
            row.entries += 1;
            row.first.get_or_insert(entry.tick);
            row.last = entry.tick;
            if let Some(lines) = &mut lines {
                lines.write(&format!(
                    "shard {:<4} tick {:<12} {:<8} position {:<14} {} bytes\n",
                    place.shard,
                    entry.tick,
                    name_of(entry.kind),
                    entry.position,
                    entry.payload.len()
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
    if logs.selection.to == u64::MAX
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
