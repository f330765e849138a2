//! Where the bytes come from: blocks of a file, read in place; or blocks that a thread has read.

use crate::bounds::{BLOCK_BYTES, BLOCKS_AHEAD_MAX, REST_BYTES};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What wakes the engine, once there is an engine.
pub(crate) type Wake = Arc<OnceLock<Arc<dyn Fn() + Send + Sync>>>;

/// What a source reads.
pub(crate) enum Input {
    /// A regular file, as often as is wanted: each reader has its own position.
    File(Arc<File>),
    /// Anything else, once.
    Stream(Mutex<Option<Box<dyn Read + Send>>>),
}

/// The bytes of one run.
pub(crate) enum Feed {
    File { file: Arc<File>, at: u64 },
    Thread { blocks: Receiver<io::Result<Vec<u8>>>, at: u64 },
}

/// What came of asking for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    Bytes,
    /// Nothing yet.
    Nothing,
    End,
}

impl Input {
    /// Whether it can be read again by another process.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self, Input::File(_))
    }

    pub(crate) fn stream(reader: impl Read + Send + 'static) -> Self {
        Input::Stream(Mutex::new(Some(Box::new(reader))))
    }

    /// Begins to read, from the beginning.
    pub(crate) fn open(&self, wake: &Wake) -> io::Result<Feed> {
        let reader = match self {
            Input::File(file) => return Ok(Feed::File { file: file.clone(), at: 0 }),
            Input::Stream(reader) => reader.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        let reader = reader.ok_or_else(|| {
            io::Error::other("a stream can be read once, and an earlier run of the job did")
        })?;
        let (sender, receiver) = sync_channel(BLOCKS_AHEAD_MAX);
        let wake = wake.clone();
        let read = move || read_all(reader, sender, &wake);
        std::thread::Builder::new().name("pelton-ndjson".into()).spawn(read)?;
        Ok(Feed::Thread { blocks: receiver, at: 0 })
    }
}

/// Reads and sends until the end, which is an empty block, or until nobody listens any more.
fn read_all(mut reader: Box<dyn Read + Send>, sender: SyncSender<io::Result<Vec<u8>>>, wake: &Wake) {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let read = match reader.read(&mut block) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read,
        };
        let last = !matches!(read, Ok(len) if len > 0);
        let read = read.map(|len| {
            block.truncate(len);
            block
        });
        if sender.send(read).is_err() {
            return;
        }
        ring(wake);
        if last {
            return;
        }
    }
}

pub(crate) fn ring(wake: &Wake) {
    if let Some(wake) = wake.get() {
        wake();
    }
}

impl Feed {
    /// The file, and how much of it has been read; none of what can be read only once.
    pub(crate) fn file(&mut self) -> Option<(&File, &mut u64)> {
        match self {
            Feed::File { file, at } => Some((file, at)),
            Feed::Thread { .. } => None,
        }
    }

    /// How many bytes have been read, or passed over.
    pub(crate) fn at(&self) -> u64 {
        let (Feed::File { at, .. } | Feed::Thread { at, .. }) = self;
        *at
    }

    /// Puts the next block at the end of `buffer`. What lies beyond `until` is wanted only for the rest of a line.
    pub(crate) fn more(&mut self, buffer: &mut Vec<u8>, until: u64) -> io::Result<Fed> {
        match self {
            Feed::File { file, at } => {
                let kept = buffer.len();
                let wanted = match until.saturating_sub(*at) {
                    // As much again as there is of the line, so that a long one does not take many calls.
                    0 => kept.clamp(REST_BYTES, BLOCK_BYTES),
                    bytes => usize::try_from(bytes).map_or(BLOCK_BYTES, |bytes| bytes.min(BLOCK_BYTES)),
                };
                buffer.resize(kept + wanted, 0);
                let read = loop {
                    match file.read_at(&mut buffer[kept..], *at) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        read => break read,
                    }
                };
                buffer.truncate(kept + read.as_ref().map_or(0, |len| *len));
                let len = read?;
                *at += len as u64;
                Ok(if len > 0 { Fed::Bytes } else { Fed::End })
            }
            Feed::Thread { blocks, at } => match blocks.try_recv() {
                Ok(block) => {
                    let block = block?;
                    buffer.extend_from_slice(&block);
                    *at += block.len() as u64;
                    Ok(if block.is_empty() { Fed::End } else { Fed::Bytes })
                }
                Err(TryRecvError::Empty) => Ok(Fed::Nothing),
                Err(TryRecvError::Disconnected) => Err(io::Error::other("the reader panicked")),
            },
        }
    }
}
