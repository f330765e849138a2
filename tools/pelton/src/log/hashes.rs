//! `pelton log hashes`: what the run recorded of its state, for comparing two runs or a run and its replay.
//!
//! ```text
//!  payload of a hash entry:  | stage u32 | 0 u32 | tick u64 | hash u64 |      little-endian
//! ```

use std::error::Error;

use pelton_storage::Kind;

use super::{Logs, place_of};
use crate::output::{Lines, note};

/// Prints one line for each hash.
pub fn run(logs: &Logs) -> Result<(), Box<dyn Error>> {
    let mut lines = Lines::new();
    let mut count = 0;
    let result = logs.places.iter().try_for_each(|place| print(logs, place, &mut lines, &mut count));
    lines.finish()?;
    if count == 0 && result.is_ok() {
        note("no hash is in the logs; a run records them when `log.hash_ticks` is set");
    }
    result
}

fn print(
    logs: &Logs,
    place: &crate::data::LogPlace,
    lines: &mut Lines,
    count: &mut u64,
) -> Result<(), Box<dyn Error>> {
    let Some(mut scan) = logs.scan(place)? else { return Ok(()) };
    while let Some(_group) = logs.group(&mut scan)? {
        let wanted = scan.entries().filter(|entry| entry.kind == Kind::Hash && logs.has(entry.tick));
        for entry in wanted {
            let (stage, tick, hash) = decode(entry.payload)
                .map_err(|error| format!("{}: {error}", place_of(&scan, entry.position)))?;
            let shard = place.shard;
            lines.write(&format!("shard {shard:<4} tick {tick:<12} stage {stage:<4} {hash:016x}\n"))?;
            *count += 1;
        }
        if !lines.is_wanted() {
            break;
        }
    }
    Ok(())
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
