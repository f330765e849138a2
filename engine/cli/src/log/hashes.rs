//! `pelton log hashes`: what the run recorded of its state, for comparing two runs or a run and its replay.
//!
//! ```text
//!  payload of a hash entry:  | stage u32 | 0 u32 | tick u64 | hash u64 |      little-endian
//! ```

use std::collections::VecDeque;
use std::error::Error;

use pelton_storage::Kind;

use super::times::time_of;
use super::{Logs, Selected, Walked, place_of};
use crate::moment::{local_time, show_tick};
use crate::output::{Lines, note};
use crate::progress::Progress;

/// Prints one line for each hash.
pub fn run(logs: &Logs) -> Result<(), Box<dyn Error>> {
    let mut lines = Lines::new();
    let mut count = 0;
    let mut walked = Walked::of(logs, Progress::beside_lines("hashes"));
    let mut print = |selected| print(logs, selected, &mut lines, &mut walked, &mut count);
    let result = logs.places.iter().try_for_each(&mut print);
    lines.finish()?;
    if count == 0 && result.is_ok() {
        note("no hash is in the logs; a run records them when `log.hash_ticks` is set");
    }
    result
}

fn print(
    logs: &Logs,
    selected: &Selected,
    lines: &mut Lines,
    walked: &mut Walked,
    count: &mut u64,
) -> Result<(), Box<dyn Error>> {
    let place = &selected.place;
    let Some(mut scan) = logs.scan(place)? else { return Ok(()) };
    walked.begin(place, &scan);
    // A hash is logged some ticks after the one whose state it is of.
    let mut times = Recent::default();
    while let Some(group) = logs.group(&mut scan, selected.ticks)? {
        walked.group(&group);
        for entry in scan.entries().filter(|entry| selected.has(entry.tick)) {
            if let Some(time) = time_of(&entry) {
                times.push(entry.tick, time);
            }
            if entry.kind != Kind::Hash {
                continue;
            }
            let (stage, tick, hash) = decode(entry.payload)
                .map_err(|error| format!("{}: {error}", place_of(&scan, entry.position)))?;
            let (shard, tick_text) = (place.shard, show_tick(tick));
            let time = times.at(tick).map_or_else(String::new, |time| format!("  {}", local_time(time)));
            lines.write(&format!(
                "shard {shard:<4} tick {tick_text:<12} stage {stage:<4} {hash:016x}{time}\n"
            ))?;
            *count += 1;
        }
        if !lines.is_wanted() {
            break;
        }
    }
    Ok(())
}

/// The times of the newest ticks.
#[derive(Default)]
struct Recent(VecDeque<(u64, i64)>);

impl Recent {
    /// More ticks than there are between a tick and its hash.
    const MOST: usize = 4_096;

    fn push(&mut self, tick: u64, time: i64) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((tick, time));
    }

    fn at(&self, tick: u64) -> Option<i64> {
        let index = self.0.binary_search_by_key(&tick, |&(tick, _)| tick).ok()?;
        Some(self.0[index].1)
    }
}

/// The stage, the tick and the hash in the payload of a hash entry. The entry itself is of a later tick.
pub fn decode(payload: &[u8]) -> Result<(u32, u64, u64), String> {
    let (head, rest) = (payload.first_chunk::<8>(), payload.get(8..).unwrap_or_default());
    match (head, rest.first_chunk::<8>(), rest.last_chunk::<8>(), payload.len()) {
        (Some(&[a, b, c, d, 0, 0, 0, 0]), Some(tick), Some(hash), 24) => {
            Ok((u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(*tick), u64::from_le_bytes(*hash)))
        }
        _ => Err(format!("the entry is not a hash as this version records it ({} bytes)", payload.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_recorded_is_a_hash() {
        let mut payload = [0; 24];
        payload[0] = 3;
        payload[8] = 5;
        payload[16..].copy_from_slice(&7u64.to_le_bytes());
        assert_eq!(decode(&payload), Ok((3, 5, 7)));
        assert!(decode(&payload[..23]).is_err() && decode(&[0; 25]).is_err() && decode(&[]).is_err());
        payload[4] = 1;
        assert!(decode(&payload).is_err());
    }
}
