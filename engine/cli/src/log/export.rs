//! `pelton log export`: each entry as a line of JSON, shard by shard, in the order of the log.
//!
//! ```text
//! {"generation":0,"shard":0,"tick":5,"kind":"tick","position":4160,"time":"2026-11-24T13:03:05.000000099Z","wall":1795525385000000099,"now":99,
//!     "partitions":[{"records":3,"watermark":-7,"asked":true,"done":false,"logged":"6162"}]}          (on one line)
//! {"generation":0,"shard":0,"tick":8,"kind":"hash","position":4288,"stage":1,"hash":"00000000deadbeef"}
//! {"generation":0,"shard":0,"tick":9,"kind":"control","position":4352,"payload":"00"}
//! ```
//!
//! `time` is when the tick was taken in, `wall` the same in nanoseconds since 1970, and `now` the machine's monotonic clock. Watermarks are
//! nanoseconds, too; `null` says that nothing is known yet, and `"end"` that the partition has ended. Bytes are hexadecimal: they are the partition's own.

use std::error::Error;
use std::fmt::Write;

use pelton_core::ingress::input_log;
use pelton_core::{EventTime, Tick};
use pelton_storage::{Entry, Kind};
use serde_json::{Map, Value, json};

use super::inspect::name_of;
use super::times::time_of;
use super::{Logs, Selected, Walked, place_of};
use crate::moment::utc_time;
use crate::output::Lines;
use crate::progress::Progress;

/// Prints the lines.
pub fn run(logs: &Logs) -> Result<(), Box<dyn Error>> {
    let mut lines = Lines::new();
    let mut walked = Walked::of(logs, Progress::beside_lines("export"));
    let result = logs.places.iter().try_for_each(|selected| export(logs, selected, &mut lines, &mut walked));
    // What came before the damage is printed.
    lines.finish()?;
    result
}

fn export(
    logs: &Logs,
    selected: &Selected,
    lines: &mut Lines,
    walked: &mut Walked,
) -> Result<(), Box<dyn Error>> {
    let place = &selected.place;
    let Some(mut scan) = logs.scan(place)? else { return Ok(()) };
    walked.begin(place, &scan);
    while let Some(group) = logs.group(&mut scan, selected.ticks)? {
        walked.group(&group);
        for entry in scan.entries().filter(|entry| selected.has(entry.tick)) {
            let mut line = Map::new();
            line.insert("generation".to_owned(), json!(place.generation));
            line.insert("shard".to_owned(), json!(place.shard));
            line.insert("tick".to_owned(), json!(entry.tick));
            line.insert("kind".to_owned(), json!(name_of(entry.kind)));
            line.insert("position".to_owned(), json!(entry.position));
            content(&entry, &mut line)
                .map_err(|error| format!("{}: {error}", place_of(&scan, entry.position)))?;
            lines.write(&format!("{}\n", Value::Object(line)))?;
        }
        if !lines.is_wanted() {
            break;
        }
    }
    Ok(())
}

/// Adds what an entry says, or says why it says nothing.
fn content(entry: &Entry<'_>, line: &mut Map<String, Value>) -> Result<(), String> {
    match entry.kind {
        Kind::Tick => {
            let decoded =
                input_log::decode(Tick(entry.tick), entry.payload).map_err(|fault| fault.to_string())?;
            let partitions = decoded.taken.iter().zip(&decoded.logged).map(|(taken, logged)| {
                json!({
                    "records": taken.records,
                    "watermark": watermark(taken.watermark),
                    "asked": taken.asked,
                    "done": taken.done,
                    "logged": hex(logged),
                })
            });
            line.insert("time".to_owned(), json!(time_of(entry).map(utc_time)));
            line.insert("now".to_owned(), json!(decoded.now.0));
            line.insert("wall".to_owned(), json!(decoded.wall.0));
            line.insert("partitions".to_owned(), partitions.collect());
        }
        Kind::Hash => {
            let (stage, of, hash) = super::hashes::decode(entry.payload)?;
            line.insert("stage".to_owned(), json!(stage));
            line.insert("of_tick".to_owned(), json!(of));
            line.insert("hash".to_owned(), json!(format!("{hash:016x}")));
        }
        Kind::Control => {
            line.insert("payload".to_owned(), json!(hex(entry.payload)));
        }
    }
    Ok(())
}

fn watermark(time: EventTime) -> Value {
    match time {
        EventTime::MIN => Value::Null,
        EventTime::MAX => json!("end"),
        time => json!(time.0),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("memory takes text");
    }
    text
}
