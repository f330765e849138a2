//! The log as the core's input log: appended to by the shard, flushed by its driver, read back after a restart.

use pelton_core::ingress::input_log::{InputLog, Replay, decode};
use pelton_core::{Fault, IngressEntry, Tick};
use pelton_storage::{Kind, Log, LogReader, StorageError};
use std::cell::RefCell;
use std::rc::Rc;

/// The fault that a storage error becomes.
pub(crate) fn fault(error: StorageError) -> Fault {
    Fault::Storage { message: error.to_string() }
}

/// The end of a log that the shard appends to.
pub(crate) struct StoredInputLog {
    pub(crate) log: Rc<RefCell<Log>>,
    /// Bytes of the largest entry that it takes.
    pub(crate) entry_bytes_max: usize,
}

impl InputLog for StoredInputLog {
    fn room(&self) -> usize {
        self.log.borrow().room()
    }

    fn entry_bytes_max(&self) -> usize {
        self.entry_bytes_max
    }

    fn append(&mut self, tick: Tick, entry: &[u8]) -> Result<(), Fault> {
        let mut log = self.log.borrow_mut();
        if entry.len() > log.room() {
            let message = format!(
                "the input of tick {} takes {} bytes, and the log has room for {}: a source logged more than it was allowed to",
                tick.0,
                entry.len(),
                log.room()
            );
            return Err(Fault::Storage { message });
        }
        log.append(tick.0, Kind::Tick, entry);
        Ok(())
    }
}

/// What a log holds of the input after a checkpoint.
pub struct LogReplay {
    /// The log.
    pub reader: LogReader,
    /// Entries up to this tick are part of the checkpoint.
    pub after: Tick,
    /// Entries behind this tick are not wanted.
    pub through: Tick,
}

impl Replay for LogReplay {
    fn next(&mut self) -> Result<Option<IngressEntry>, Fault> {
        while let Some(entry) = self.reader.next().map_err(fault)? {
            if entry.tick > self.through.0 {
                return Ok(None);
            }
            if entry.kind == Kind::Tick && entry.tick > self.after.0 {
                return decode(Tick(entry.tick), entry.payload).map(Some);
            }
        }
        Ok(None)
    }
}
