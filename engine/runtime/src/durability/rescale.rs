//! Another number of shards: those of before run once more until they have shown all that they had taken in, whoever steps them: the launcher with
//! the machine's clock, the simulator with its own.

use super::harness::Harness;
use super::{CoordinatorOptions, Opened, Request, storage};
use crate::JobError;
use crate::blueprint::Blueprint;
use pelton_core::stage::wiring::Sizes;
use pelton_core::state::memory::Memory;
use std::sync::Arc;

/// Recovers what shards of `before` left, as far as it goes, and makes a checkpoint of it. `drive` steps the shards and turns the coordinator, in
/// whatever order, and is called until that is done.
pub(crate) fn rescale<E: From<JobError>>(
    blueprint: &Blueprint<'_>,
    before: &Sizes,
    memory: &Arc<dyn Memory>,
    opened: &mut Opened,
    coordinator: CoordinatorOptions,
    mut drive: impl FnMut(&mut Harness) -> Result<(), E>,
) -> Result<(), E> {
    let mut restored = None;
    let mut first = None;
    for candidate in &opened.candidates() {
        // Read once before it is relied on: a rescaling is rare, and what is damaged gives way to the one before.
        match opened.restore(candidate).and_then(|restored| restored.verify().map(|()| restored)) {
            Ok(whole) => {
                restored = Some(whole);
                break;
            }
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    if let Some(error) = first.filter(|_| restored.is_none()) {
        return Err(storage(error).into());
    }
    let coordinator = CoordinatorOptions { interval_ns: 0, balance_ns: 0, ..coordinator };
    let mut harness =
        Harness::build(blueprint, before, memory, opened, restored.as_ref(), true, coordinator)?;
    while !harness.is_settled() && !harness.is_finished() {
        drive(&mut harness)?;
    }
    let answer = harness.mailbox.command(Request::Checkpoint(None));
    while answer.get().is_none() {
        drive(&mut harness)?;
    }
    if let Some(Err(message)) = answer.get() {
        return Err(JobError::Storage(message).into());
    }
    let manifest = harness.coordinator.manifest().clone();
    for durable_shard in harness.durable_shards.iter_mut().flatten() {
        durable_shard.close_log().map_err(JobError::Fault)?;
    }
    drop(harness);
    Ok(opened.rescaled(manifest).map_err(storage)?)
}
