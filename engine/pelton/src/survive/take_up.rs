//! Taking up what an earlier run left, whoever steps the shards: the launcher with the machine's clock, the simulator with its own.

use super::rig::Rig;
use crate::error::JobError;
use crate::job::Plan;
use pelton_core::build::Sizes;
use pelton_core::memory::Memory;
use pelton_runtime::survive::{KeeperOptions, Opened, Restored, Wish};
use pelton_storage::StorageError;
use std::sync::Arc;

fn storage(error: StorageError) -> JobError {
    JobError::Storage(error.to_string())
}

/// Why an attempt to begin failed, and what can be tried with another checkpoint, if that can help.
pub(crate) type NotBegun = Box<(JobError, Option<Opened>)>;

/// Begins from the newest checkpoint that is whole, or anew if there is none. After a failure `attempt` gives back what can be tried with
/// another checkpoint.
pub(crate) fn begin<T>(
    mut opened: Opened,
    mut attempt: impl FnMut(Opened, Option<&Arc<Restored>>) -> Result<T, NotBegun>,
) -> Result<T, JobError> {
    let candidates = opened.candidates();
    if candidates.is_empty() {
        return attempt(opened, None).map_err(|not_begun| not_begun.0);
    }
    // Should the newest be damaged, the one before it still does: the log is kept from the oldest on.
    let mut first = None;
    for checkpoint in &candidates {
        match opened.restore(checkpoint) {
            Err(error) => drop(first.get_or_insert(storage(error))),
            Ok(restored) => match attempt(opened, Some(&restored)) {
                Ok(begun) => return Ok(begun),
                Err(not_begun) => match *not_begun {
                    (error, Some(back)) if restored.is_damaged() => {
                        first.get_or_insert(error);
                        opened = back;
                    }
                    (error, _) => return Err(error),
                },
            },
        }
    }
    Err(first.unwrap_or_else(|| unreachable!("there was a candidate")))
}

/// Takes up what shards of `before` left, as far as it goes, and makes a checkpoint of it. `drive` steps the shards and turns the keeper, in
/// whatever order, and is called until that is done.
pub(crate) fn rescale<E: From<JobError>>(
    plan: &Plan,
    before: &Sizes,
    memory: &Arc<dyn Memory>,
    opened: &mut Opened,
    keeper: KeeperOptions,
    mut drive: impl FnMut(&mut Rig) -> Result<(), E>,
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
    let keeper = KeeperOptions { interval_ns: 0, balance_ns: 0, ..keeper };
    let mut rig = Rig::build(plan, before, memory, opened, restored.as_ref(), true, keeper)?;
    while !rig.is_settled() && !rig.is_finished() {
        drive(&mut rig)?;
    }
    let answer = rig.desk.command(Wish::Checkpoint(None));
    while answer.get().is_none() {
        drive(&mut rig)?;
    }
    if let Some(Err(message)) = answer.get() {
        return Err(JobError::Storage(message).into());
    }
    let manifest = rig.keeper.manifest().clone();
    for survivor in rig.survivors.iter_mut().flatten() {
        survivor.close_log().map_err(JobError::Fault)?;
    }
    drop(rig);
    Ok(opened.rescaled(manifest).map_err(storage)?)
}
