//! Reading a snapshot in place.

use super::format::{
    BLOCK_ALIGNMENT, BLOCK_HEADER_BYTES, ENTRY_BYTES, FOOTER_BYTES, Footer, HEADER_BYTES, Header, NotValid,
    VERSION, block_bytes, block_header, decode_entry,
};
use super::{BlockEntry, SnapshotId, SnapshotIndex, note, snapshot_path};
use crate::bounds::TOUCHED_BYTES;
use crate::disk::{Disk, How};
use crate::error::StorageError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OTHER_CHECKPOINT: &str = "The snapshot is lost: start from another checkpoint of the manifest, or put back a copy \
                                of the file.";

const LINE_BYTES: usize = 64;

/// A complete snapshot, mapped, together with the earlier files that it refers to.
///
/// Opening checks all but the blocks and reads no more than the index, so it takes as long for a small state as for a large one of as many
/// blocks. See [`SnapshotWriter`](super::SnapshotWriter) for an example.
pub struct SnapshotReader {
    index: SnapshotIndex,
    files: Vec<Mapped>,
}

/// One file of a checkpoint, mapped.
struct Mapped {
    path: PathBuf,
    number: u64,
    map: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl SnapshotReader {
    /// Opens snapshot `wanted` in the directory `checkpoints`.
    ///
    /// # Errors
    /// When it is not there, was never finished, is damaged, is another one, or of a newer version; or when an earlier file that it refers to
    /// is. The tick counts: a checkpoint that was given up, since the job died before it was in the manifest, had the number of the next.
    pub fn open(disk: &Arc<dyn Disk>, checkpoints: &Path, wanted: &SnapshotId) -> Result<Self, StorageError> {
        let shard = wanted.shard;
        let own = Mapped::open(disk.as_ref(), checkpoints, wanted.number, shard, "snapshot")?;
        let (id, footer) = own.frame()?;
        own.expect_owner(&id, wanted)?;
        if id.tick != wanted.tick {
            return Err(own.foreign("tick", wanted.tick, id.tick));
        }
        let index = own.index(id, &footer)?;
        let mut files = vec![own];
        for &earlier in index.needs() {
            let file = Mapped::open(
                disk.as_ref(),
                checkpoints,
                earlier,
                shard,
                "earlier snapshot that a snapshot needs",
            )?;
            // Of which tick it is says the checksum of each block in this one's index.
            file.expect_owner(&file.header()?, &SnapshotId { number: earlier, ..id })?;
            files.push(file);
        }
        files.sort_unstable_by_key(|file| file.number);
        Ok(SnapshotReader { index, files })
    }

    /// All blocks.
    pub fn index(&self) -> &SnapshotIndex {
        &self.index
    }

    /// Which snapshot it is.
    pub fn id(&self) -> &SnapshotId {
        self.index.id()
    }

    /// The last tick whose effects are in it.
    pub fn tick(&self) -> u64 {
        self.index.id().tick
    }

    /// The content of a block of this snapshot's index, after its checksum was found right. It starts at a multiple of 16 in memory.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn block(&self, entry: &BlockEntry) -> Result<&[u8], StorageError> {
        let file = self.files.binary_search_by_key(&entry.number, |file| file.number);
        let file = &self.files[file.expect("an entry of this snapshot's index")];
        file.block(entry)
    }

    /// All blocks with their content, ascending by name.
    pub fn blocks(&self) -> impl Iterator<Item = (&BlockEntry, Result<&[u8], StorageError>)> {
        self.index.entries().iter().map(|entry| (entry, self.block(entry)))
    }

    /// What a processor should have at hand when it comes to a block: the first bytes of it, not checked, none if it is not there.
    pub fn ahead_of(&self, entry: &BlockEntry) -> &[u8] {
        let file = self.files.binary_search_by_key(&entry.number, |file| file.number);
        let bytes = file.ok().and_then(|file| self.files[file].bytes_of(entry)).unwrap_or_default();
        &bytes[..bytes.len().min(TOUCHED_BYTES)]
    }
}

impl Mapped {
    fn open(
        disk: &dyn Disk,
        checkpoints: &Path,
        number: u64,
        shard: u16,
        what: &'static str,
    ) -> Result<Self, StorageError> {
        let path = snapshot_path(checkpoints, number, shard);
        let file = match disk.open(&path, How::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::Missing { what, path, advice: OTHER_CHECKPOINT });
            }
            Err(error) => return Err(StorageError::io("open", &path, error)),
        };
        // Nothing can be mapped of an empty file.
        let len = file.len().map_err(|error| StorageError::io("read", &path, error))?;
        if len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(StorageError::Incomplete { path, len });
        }
        let map = file.map().map_err(|error| StorageError::io("map", &path, error))?;
        Ok(Mapped { path, number, map })
    }

    fn bytes(&self) -> &[u8] {
        (*self.map).as_ref()
    }

    /// Header and footer, which say that the file is a whole snapshot.
    fn frame(&self) -> Result<(SnapshotId, Footer), StorageError> {
        // The header first, because only its version says where a footer is; but what a crash left may be without a header, too, and then
        // it is the missing footer that is to be told.
        let header = self.header();
        if let Err(error @ (StorageError::Newer { .. } | StorageError::Older { .. })) = header {
            return Err(error);
        }
        let bytes = self.bytes();
        let at = bytes.len() - FOOTER_BYTES;
        let footer = match Footer::decode(&bytes[at..]) {
            Ok(footer) => footer,
            Err(NotValid::Magic) => {
                return Err(StorageError::Incomplete { path: self.path.clone(), len: bytes.len() as u64 });
            }
            Err(NotValid::Checksum(stored, computed)) => {
                return Err(self.checksum("snapshot footer", at, stored, computed));
            }
        };
        let id = header?;
        for (what, in_header, in_footer) in
            [("number", id.number, footer.number), ("tick", id.tick, footer.tick)]
        {
            if in_header != in_footer {
                let expected = format!("{what} {in_header} as in the header");
                return Err(self.damaged("snapshot footer", at, expected, in_footer.to_string()));
            }
        }
        let fits =
            footer.index_at >= HEADER_BYTES as u64 && footer.index_at.is_multiple_of(BLOCK_ALIGNMENT as u64);
        if !fits || footer.file_bytes() != Some(bytes.len() as u64) {
            let found = format!(
                "one of {} blocks at byte {} in a file of {} bytes",
                footer.entries,
                footer.index_at,
                bytes.len()
            );
            return Err(self.damaged(
                "snapshot footer",
                at,
                "an index that ends at the footer".into(),
                found,
            ));
        }
        Ok((id, footer))
    }

    fn header(&self) -> Result<SnapshotId, StorageError> {
        let page = &self.bytes()[..HEADER_BYTES];
        let header = Header::decode(page).map_err(|invalid| match invalid {
            NotValid::Magic => self.damaged(
                "snapshot header",
                0,
                "\"PELTONSN\"".into(),
                format!("\"{}\"", page[..8].escape_ascii()),
            ),
            NotValid::Checksum(stored, computed) => self.checksum("snapshot header", 0, stored, computed),
        })?;
        if header.version > VERSION {
            let path = self.path.clone();
            return Err(StorageError::Newer {
                what: "snapshot",
                path,
                found: header.version,
                known: VERSION,
            });
        }
        if header.version < VERSION {
            // What the names of blocks mean has changed since.
            let path = self.path.clone();
            return Err(StorageError::Older {
                what: "snapshot",
                path,
                found: header.version,
                known: VERSION,
            });
        }
        Ok(header.id)
    }

    fn expect_owner(&self, found: &SnapshotId, wanted: &SnapshotId) -> Result<(), StorageError> {
        if found.log_id != wanted.log_id {
            let hex = |id: u128| format!("{id:032x}");
            return Err(self.foreign("log id", hex(wanted.log_id), hex(found.log_id)));
        }
        if found.shard != wanted.shard {
            return Err(self.foreign("shard", wanted.shard, found.shard));
        }
        if found.generation != wanted.generation {
            return Err(self.foreign("generation", wanted.generation, found.generation));
        }
        if found.number != wanted.number {
            return Err(self.foreign("checkpoint number", wanted.number, found.number));
        }
        Ok(())
    }

    fn foreign(&self, field: &'static str, expected: impl ToString, found: impl ToString) -> StorageError {
        let (expected, found) = (expected.to_string(), found.to_string());
        StorageError::Foreign { what: "snapshot", path: self.path.clone(), field, expected, found }
    }

    fn index(&self, id: SnapshotId, footer: &Footer) -> Result<SnapshotIndex, StorageError> {
        let at = footer.index_at as usize;
        let bytes = &self.bytes()[at..at + footer.entries as usize * ENTRY_BYTES];
        let crc = crc32c::crc32c(bytes);
        if crc != footer.index_crc {
            return Err(self.checksum("snapshot index", at, footer.index_crc, crc));
        }
        let mut entries = Vec::with_capacity(footer.entries as usize);
        let mut needs = Vec::new();
        for (number, bytes) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry = decode_entry(bytes);
            let ascending = entries.last().is_none_or(|last: &BlockEntry| last.key() < entry.key());
            if !ascending || entry.number > id.number {
                let found = format!("block {:?} of checkpoint {}", entry.key(), entry.number);
                let expected = format!("blocks in order, of checkpoints up to {}", id.number);
                return Err(self.damaged("snapshot index", at + number * ENTRY_BYTES, expected, found));
            }
            if entry.number < id.number {
                note(&mut needs, entry.number);
            }
            entries.push(entry);
        }
        Ok(SnapshotIndex::new(id, entries, crc, needs, self.bytes().len() as u64))
    }

    /// Header, payload and padding of a block, if the file is that long.
    fn bytes_of(&self, entry: &BlockEntry) -> Option<&[u8]> {
        let at = usize::try_from(entry.at).ok().filter(|at| at.is_multiple_of(BLOCK_ALIGNMENT))?;
        self.bytes().get(at..at.checked_add(block_bytes(entry.len as usize))?)
    }

    fn block(&self, entry: &BlockEntry) -> Result<&[u8], StorageError> {
        let len = entry.len as usize;
        let Some(bytes) = self.bytes_of(entry) else {
            let found = format!("a file of {} bytes", self.bytes().len());
            let expected = format!("block {:?} of {len} bytes", entry.key());
            return Err(self.damaged("snapshot block", entry.at as usize, expected, found));
        };
        touch(bytes);
        let payload = &bytes[BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + len];
        let (header, crc) = block_header(entry.key(), entry.number, payload);
        if crc != entry.crc {
            return Err(self.checksum("snapshot block", entry.at as usize, entry.crc, crc));
        }
        // The header adds nothing that the index does not say; that both agree shows that this is the place that was meant.
        if bytes[..BLOCK_HEADER_BYTES] != header {
            let expected = format!("the header of block {:?}", entry.key());
            return Err(self.damaged("snapshot block", entry.at as usize, expected, "another one".into()));
        }
        Ok(payload)
    }

    fn checksum(&self, what: &'static str, at: usize, stored: u32, computed: u32) -> StorageError {
        self.damaged(what, at, format!("checksum {stored:08x}"), format!("{computed:08x}"))
    }

    fn damaged(&self, what: &'static str, at: usize, expected: String, found: String) -> StorageError {
        let path = self.path.clone();
        StorageError::Damaged { what, path, at: at as u64, expected, found, advice: OTHER_CHECKPOINT }
    }
}

/// Reads a byte of every cache line of a block. These reads wait for nothing, so that the processor has many of them under way at once;
/// the checksum, whose steps wait for each other, would come upon the lines one by one.
fn touch(bytes: &[u8]) {
    let first = &bytes[..bytes.len().min(TOUCHED_BYTES)];
    std::hint::black_box(first.iter().step_by(LINE_BYTES).fold(0, |all, byte| all ^ byte));
}
