//! What explains that a job failed, and what it has to say of it.

use crate::JobError;
use crate::durability::OpenError;
use pelton_core::Fault;
use std::io;

/// The number of the error that a failing device gives.
const EIO: i32 = 5;

/// Where sinks may put files of their own on the simulated disk.
pub const OUTPUT: &str = "/out/rows";

/// Whether an error says that the disk failed, or that what is on it is not what it was.
pub(super) fn is_of_the_disk(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Fault(Fault::Storage { .. } | Fault::Restore { .. })
            | JobError::Open(OpenError::Storage(_))
            | JobError::Storage(_)
    ) || matches!(error, JobError::Fault(Fault::External { message, .. }) if message.contains(OUTPUT))
}

/// Whether an error says that something could not be read, and of what below `data` or where sinks put files. One that says that something is damaged, or is not there,
/// sends people after the wrong thing.
pub(super) fn says_what_cannot_be_read(error: &JobError, data: &str) -> bool {
    let text = error.to_string();
    // What the simulated disk says of a read that fails, and of one that ends too early.
    let why = [io::Error::from_raw_os_error(EIO), io::ErrorKind::UnexpectedEof.into()];
    (text.contains(data) || text.contains(OUTPUT)) && why.iter().any(|why| text.contains(&why.to_string()))
}
