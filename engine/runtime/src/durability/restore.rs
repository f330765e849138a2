//! How a run begins: from the newest checkpoint that is whole, or anew if there is none.

use super::{Opened, Restored, storage};
use crate::JobError;
use std::sync::Arc;

/// Why an attempt to begin failed, and what can be tried with another checkpoint, if that can help.
pub type NotBegun = Box<(JobError, Option<Opened>)>;

/// Begins from the newest checkpoint that is whole, or anew if there is none. After a failure `attempt` gives back what can be tried with
/// another checkpoint.
///
/// # Errors
/// What was wrong with the newest checkpoint, or with the first attempt that no other checkpoint can help.
pub fn begin<T>(
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
