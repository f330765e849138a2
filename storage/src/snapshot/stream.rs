//! A file that only grows, written behind the caller's back.
//!
//! Bytes go into one of eight buffers; a full one is handed to the disk's writer and comes back when it has been written. Nothing here
//! waits: when all buffers are on their way there is no room. What is larger than all of them has more made for it, which go when they have been
//! written. One call of `turn` hands over one buffer at most, because the kernel may copy
//! it before it returns.
//!
//! Data is made durable every 256 KiB and not only at the end, and nothing more is handed over meanwhile: a flush of the log, which waits for
//! the same device, waits for all that the device has by then.

use crate::bounds::SYNC_EVERY_BYTES;
use crate::bounds::{BUFFER_BYTES, BUFFERS};
use crate::disk::{DiskFile, Source, WriteId, Writer};
use crate::error::StorageError;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Stream {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    writer: Box<dyn Writer>,
    filling: Option<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    full: VecDeque<Vec<u8>>,
    /// Bytes taken.
    position: u64,
    /// Bytes handed to the writer.
    submitted: u64,
    /// Bytes handed to the writer since a sync was last asked for.
    unsynced: usize,
    /// A write whose sync is not over yet: until it is, nothing more is handed over.
    syncing: Option<WriteId>,
    /// Bytes covered by the sync of a flush. The others cover only what had been written by then, which nobody knows.
    flushed: u64,
    under_way: usize,
    next: u64,
    /// Everything taken so far is to be made durable.
    flushing: bool,
    failed: Option<StorageError>,
}

impl Stream {
    pub(super) fn new(path: PathBuf, file: Arc<dyn DiskFile>, writer: Box<dyn Writer>) -> Self {
        Stream {
            path,
            file,
            writer,
            filling: None,
            spare: (0..BUFFERS).map(|_| Vec::with_capacity(BUFFER_BYTES)).collect(),
            full: VecDeque::with_capacity(BUFFERS + 1),
            position: 0,
            submitted: 0,
            unsynced: 0,
            syncing: None,
            flushed: 0,
            under_way: 0,
            next: 0,
            flushing: false,
            failed: None,
        }
    }

    /// Bytes that can be taken now.
    pub(super) fn room(&self) -> usize {
        let filling = self.filling.as_ref().map_or(0, |buffer| BUFFER_BYTES - buffer.len());
        if self.failed.is_some() || self.flushing { 0 } else { filling + self.spare.len() * BUFFER_BYTES }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Takes bytes.
    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        self.position += bytes.len() as u64;
        while !bytes.is_empty() {
            let buffer = self.filling.take().or_else(|| self.spare.pop());
            let mut buffer = buffer.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES));
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER_BYTES - buffer.len()));
            buffer.extend_from_slice(now);
            if buffer.len() == BUFFER_BYTES {
                self.full.push_back(buffer);
            } else {
                self.filling = Some(buffer);
            }
            bytes = later;
        }
    }

    /// Takes zeros up to the next multiple of `alignment`, which is small.
    pub(super) fn pad(&mut self, alignment: usize) {
        let bytes = self.position.next_multiple_of(alignment as u64) - self.position;
        self.put(&[0; 64][..bytes as usize]);
    }

    /// Asks for all that was taken to be made durable. There is no room until it is.
    pub(super) fn flush(&mut self) {
        self.full.extend(self.filling.take());
        self.flushing = true;
    }

    /// Whether a flush was asked for and is not over yet.
    pub(super) fn is_flushing(&self) -> bool {
        self.flushing
    }

    pub(super) fn in_flight(&self) -> bool {
        self.under_way > 0
    }

    pub(super) fn wait(&mut self, longest: Duration) -> Result<(), StorageError> {
        if self.under_way > 0
            && let Err(error) = self.writer.wait(longest)
        {
            return Err(self.fail("wait for writes", error));
        }
        Ok(())
    }

    /// Takes back what has been written, and hands over the next full buffer. True if anything moved.
    pub(super) fn turn(&mut self) -> Result<bool, StorageError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let mut moved = false;
        while let Some(completed) = self.writer.completed() {
            moved = true;
            self.under_way -= 1;
            self.syncing = self.syncing.filter(|id| *id != completed.id);
            if let Err(error) = completed.result {
                return Err(self.fail("write", error));
            }
            if let Some(mut memory) = completed.memory.filter(|memory| memory.capacity() >= BUFFER_BYTES) {
                memory.clear();
                if self.spare.len() < BUFFERS {
                    self.spare.push(memory);
                }
            }
        }
        // The sync that ends a flush covers what was written before it was asked for, so it has to come after everything else.
        let last = self.flushing && self.full.len() <= 1;
        if !last {
            if self.syncing.is_none()
                && let Some(buffer) = self.full.pop_front()
            {
                let sync = self.unsynced + buffer.len() >= SYNC_EVERY_BYTES;
                self.submit(buffer, sync)?;
                moved = true;
            }
        } else if self.under_way == 0 {
            moved = true;
            match self.full.pop_front() {
                None if self.flushed == self.submitted => self.flushing = false,
                buffer => {
                    self.submit(buffer.unwrap_or_default(), true)?;
                    self.flushed = self.submitted;
                }
            }
        }
        Ok(moved)
    }

    fn submit(&mut self, buffer: Vec<u8>, sync: bool) -> Result<(), StorageError> {
        let len = buffer.len();
        let id = WriteId(self.next);
        if let Err(error) = self.writer.submit(id, &self.file, Source::Owned(buffer), self.submitted, sync) {
            return Err(self.fail("write", error));
        }
        self.syncing = sync.then_some(id);
        self.next += 1;
        self.under_way += 1;
        self.submitted += len as u64;
        self.unsynced = if sync { 0 } else { self.unsynced + len };
        Ok(())
    }

    /// Notes a failure, after which nothing goes on.
    fn fail(&mut self, action: &'static str, error: io::Error) -> StorageError {
        let failure = match StorageError::io(action, &self.path, error) {
            StorageError::Full { path, free, .. } => {
                StorageError::Full { path, needed: self.position - self.flushed, free }
            }
            other => other,
        };
        self.failed.insert(failure).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Completed, Disk, Faults, How, Simulated};
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    /// A write, and whether it is to be made durable.
    type Write = (WriteId, Vec<u8>, bool);

    /// A writer that is done with what it has when it is told so.
    #[derive(Clone, Default)]
    struct Held(Rc<RefCell<VecDeque<Write>>>, Rc<RefCell<Vec<Completed>>>);

    impl Held {
        fn let_go(&self) {
            for (id, memory, _) in self.0.take() {
                self.1.borrow_mut().push(Completed { id, result: Ok(()), memory: Some(memory) });
            }
        }
    }

    impl Writer for Held {
        fn submit(
            &mut self,
            id: WriteId,
            _: &Arc<dyn DiskFile>,
            source: Source,
            _: u64,
            sync: bool,
        ) -> io::Result<()> {
            let Source::Owned(bytes) = source else { unreachable!("a stream owns what it writes") };
            self.0.borrow_mut().push_back((id, bytes, sync));
            Ok(())
        }
        fn completed(&mut self) -> Option<Completed> {
            self.1.borrow_mut().pop()
        }
        fn in_flight(&self) -> usize {
            self.0.borrow().len()
        }
        fn wait(&mut self, _: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_device_never_has_more_than_one_sync_makes_durable() {
        let disk = Simulated::new(1, Faults::default());
        let file = disk.open(Path::new("/stream"), How::Create).unwrap();
        let held = Held::default();
        let mut stream = Stream::new("/stream".into(), file, Box::new(held.clone()));
        let (mut given, mut syncs) = (0, 0);
        for _ in 0..1_000 {
            let bytes = stream.room();
            stream.put(&vec![7; bytes]);
            given += bytes;
            while stream.turn().unwrap() {}
            let on_its_way = held.0.borrow().iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>();
            assert!(on_its_way <= SYNC_EVERY_BYTES, "{on_its_way} bytes are on their way");
            assert!(held.0.borrow().iter().rev().skip(1).all(|(.., sync)| !sync), "something follows a sync");
            syncs += held.0.borrow().iter().filter(|(.., sync)| *sync).count();
            held.let_go();
        }
        assert!(
            given > 100 * SYNC_EVERY_BYTES && syncs >= given / SYNC_EVERY_BYTES - 8,
            "{given} bytes, {syncs} syncs"
        );
    }
}
