//! The bounds that no key knows alone: what the machine has, and how values must fit together.

use super::cores::CoresSpec;
use super::error::{ConfigPlace, Problem, ProblemKind};
use super::layers::{Origin, Setting};
use super::machine::Machine;
use super::model::{Config, Durability};
use super::size::{approximate_size, format_size};
use super::value::Value;

/// Holds a value against the machine: cores become CPU numbers, and no size may exceed the memory. An error gives
/// the nearest value that fits, and the reason.
pub(super) fn bind(value: Value, machine: &Machine) -> Result<Value, (Value, String)> {
    let listed = |list| Value::Cores(CoresSpec::List(list));
    match value {
        Value::Cores(spec) => spec
            .bind(machine)
            .map(listed)
            .map_err(|reason| (listed(machine.pick(machine.cpus.len())), reason)),
        Value::Size(bytes) => match machine.memory_most() {
            Some(most) if bytes > most => {
                Err((Value::Size(most), format!("this machine has {} of memory", approximate_size(most))))
            }
            _ => Ok(value),
        },
        Value::Count(_) | Value::Choice(_) | Value::Switch(_) | Value::Text(_) => Ok(value),
    }
}

/// Holds the settled values against each other.
pub(super) fn across(config: &Config, settings: &[Setting]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut conflict = |names: &[&str], message: String| {
        problems.push(Problem { kind: ProblemKind::Conflict, place: place_of(names, settings), message });
    };
    let (shards, key_groups) = (config.shards, config.key_groups);
    if shards > key_groups as usize {
        let message = format!(
            "`shards` is {shards} but `key_groups` only {key_groups}; each shard needs a group of its own"
        );
        conflict(&["shards", "key_groups"], message);
    }
    let (bytes_max, quarter) = (config.tick.bytes_max, config.ring_bytes / 4);
    if bytes_max > quarter {
        let message = format!(
            "`tick.bytes_max` is {} but a ring must hold four ticks, so at most {} with `buffer` at {}",
            format_size(bytes_max as u64),
            format_size(quarter as u64),
            format_size(config.ring_bytes as u64)
        );
        conflict(&["tick.bytes_max", "buffer"], message);
    }
    let (idle, busy) = (config.tick.interval_idle_us, config.tick.interval_busy_us);
    if idle > busy {
        let message = format!(
            "`tick.interval_idle_us` is {idle} but `tick.interval_busy_us` only {busy}; the interval grows with load"
        );
        conflict(&["tick.interval_idle_us", "tick.interval_busy_us"], message);
    }
    let durable = config.durability != Durability::None;
    if durable && config.data.is_none() {
        let word = if config.durability == Durability::Disk { "disk" } else { "process" };
        let message =
            format!("`durability` is \"{word}\" but `data` names no directory to keep what is durable in");
        conflict(&["durability", "data"], message);
    }
    if let (false, Some(restore)) = (durable, &config.restore) {
        let message = format!(
            "`restore` is \"{restore}\" but with `durability` at \"none\" nothing is kept to begin from"
        );
        conflict(&["restore", "durability"], message);
    }
    if let Err(problem) = memory(config, 1) {
        let keys = ["memory", "shards", "buffer", "log.segment", "cores", "durability"];
        problems.push(Problem { place: place_of(&keys, settings), ..problem });
    }
    problems
}

/// Whether the rings of `edges` exchanges, and the segments in which logs are staged, fit in the memory limit.
pub(super) fn memory(config: &Config, edges: usize) -> Result<(), Problem> {
    let (shards, ring) = (config.shards as u128, config.ring_bytes as u128);
    let rings = [shards, shards, ring, edges as u128].into_iter().fold(1u128, u128::saturating_mul);
    let segment = match config.durability {
        Durability::None => 0,
        Durability::Process | Durability::Disk => u128::from(config.log.segment_bytes),
    };
    let needed = rings.saturating_add(shards.saturating_mul(segment));
    if needed <= u128::from(config.memory_bytes) {
        return Ok(());
    }
    let (staged, lower) = match segment {
        0 => (String::new(), ""),
        _ => {
            let segment = format_size(config.log.segment_bytes);
            let plural = if shards == 1 { "" } else { "s" };
            (format!(" and {shards} log segment{plural} of {segment}"), ", `log.segment`")
        }
    };
    let message = format!(
        "`memory` is {} but {edges} exchange{} of {shards} x {shards} rings of {}{staged} need{} {}; \
         raise `memory`, or lower `shards`{lower} or `buffer`",
        approximate_size(config.memory_bytes),
        if edges == 1 { "" } else { "s" },
        format_size(config.ring_bytes as u64),
        if edges == 1 && segment == 0 { "s" } else { "" },
        approximate_size(u64::try_from(needed).unwrap_or(u64::MAX)),
    );
    Err(Problem { kind: ProblemKind::Memory, place: ConfigPlace::Whole, message })
}

/// The place of the first of `names` that someone set.
fn place_of(names: &[&str], settings: &[Setting]) -> ConfigPlace {
    let origin_of =
        |name: &&str| settings.iter().find(|setting| setting.key.name == *name).map(|found| &found.origin);
    let set = names.iter().filter_map(origin_of).find_map(|origin| match origin {
        Origin::Set(place) => Some(place.clone()),
        Origin::Default | Origin::Adjusted(_) => None,
    });
    set.unwrap_or(ConfigPlace::Whole)
}
