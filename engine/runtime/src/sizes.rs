//! The sizes that a job runs with.

use crate::config::Config;
use crate::job_error::JobError;
use pelton_core::TickBudget;
use pelton_core::bounds::{RING_BYTES_MIN, SHARDS_MAX};
use pelton_core::stage::wiring::Sizes;

/// The sizes that a configuration gives a job.
pub fn of(config: &Config) -> Sizes {
    Sizes {
        shards: config.shards as u16,
        key_groups: config.key_groups,
        ring_bytes: config.ring_bytes,
        tick: TickBudget {
            records_max: config.tick.records_max,
            interval_idle_nanos: config.tick.interval_idle_us * 1_000,
            interval_busy_nanos: config.tick.interval_busy_us * 1_000,
        },
        tick_bytes_max: config.tick.bytes_max,
    }
}

/// The same sizes for another number of shards.
pub fn resized(sizes: &Sizes, shards: u16) -> Sizes {
    Sizes { shards, ..sizes.clone() }
}

/// Refuses what the engine would otherwise assert.
///
/// # Errors
/// When no job can run with these sizes, with what is wrong.
pub fn check(shards: usize, key_groups: u32, ring_bytes: usize) -> Result<(), JobError> {
    let problem = if shards == 0 || shards > SHARDS_MAX {
        format!("{shards} shards: there must be 1 to {SHARDS_MAX}")
    } else if (key_groups as usize) < shards {
        format!("{key_groups} key groups for {shards} shards: every shard needs one")
    } else if !ring_bytes.is_power_of_two() || ring_bytes < RING_BYTES_MIN {
        format!("rings of {ring_bytes} bytes: the size must be a power of two of at least {RING_BYTES_MIN}")
    } else {
        return Ok(());
    };
    Err(JobError::Size { problem })
}
