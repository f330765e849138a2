//! Snapshot files, the second of which refers to the first: sound ones, changed, and sealed again or not. No block
//! that is shown differs from what its checksum says, and blocks come in order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_fuzz::{Draw, Files, files_in, machine, patch, put, u32_in, u64_in};
use pelton_storage::{SnapshotId, SnapshotReader, SnapshotWriter};
use std::path::Path;
use std::sync::LazyLock;

const LOG_ID: u128 = 0xBEE;
const SHARD: u16 = 3;
const HEADER: usize = 4096;
const FOOTER: usize = 64;
const ENTRY: usize = 40;

/// Two checkpoints; half of the second is as in the first.
static SOUND: LazyLock<Files> = LazyLock::new(|| {
    let (disk, checkpoints) = (machine(), Path::new("/data/checkpoint"));
    let mut previous = None;
    for number in 1..=2 {
        let id = SnapshotId { log_id: LOG_ID, generation: 0, shard: SHARD, number, tick: 10 * number };
        let mut writer = SnapshotWriter::create(&disk, checkpoints, id, previous.as_ref()).expect("memory");
        for chunk in 0..8 {
            if number == 2 && chunk % 2 == 0 {
                writer.same(1, chunk / 4, chunk);
            } else {
                writer.block(1, chunk / 4, chunk, &[chunk as u8; 100][..20 + 9 * chunk as usize]);
            }
        }
        previous = Some(writer.finish_now().expect("memory"));
    }
    let of = |number: u64| files_in(&disk, &checkpoints.join(format!("{number:08}")));
    [of(1), of(2)].concat()
});

fuzz_target!(|bytes: &[u8]| {
    let mut draw = Draw::new(bytes);
    let mut files = SOUND.clone();
    while !draw.is_empty() {
        let file = &mut files[usize::from(draw.byte() % 2)].1;
        let len = file.len().max(1);
        let (index_at, footer) = (index_of(file), len.saturating_sub(FOOTER));
        match draw.byte() % 8 {
            0 => patch(file, draw.below(len), &[draw.byte()]),
            1 => patch(file, 8 * (draw.byte() as usize % 7), &draw.edge().to_le_bytes()),
            2 => patch(file, footer + 8 + 4 * (draw.byte() as usize % 12), &draw.edge().to_le_bytes()),
            3 => patch(
                file,
                index_at + 4 * draw.below((footer.saturating_sub(index_at) / 4).max(1)),
                &draw.edge().to_le_bytes()[..4],
            ),
            4 => patch(
                file,
                HEADER + 4 * draw.below((index_at.saturating_sub(HEADER) / 4).max(1)),
                draw.bytes(4),
            ),
            5 => file.truncate(draw.below(len + 1)),
            6 => seal(file, true),
            _ => seal(file, false),
        }
    }
    let disk = machine();
    put(&disk, &files);
    let wanted = SnapshotId { log_id: LOG_ID, generation: 0, shard: SHARD, number: 2, tick: 20 };
    match SnapshotReader::open(&disk, Path::new("/data/checkpoint"), &wanted) {
        Ok(reader) => {
            let entries = reader.index().entries();
            assert!(entries.is_sorted_by_key(|entry| (entry.section, entry.table, entry.chunk)));
            for (entry, block) in reader.blocks() {
                match block {
                    Ok(block) => {
                        assert_eq!(block.len(), entry.len as usize);
                        assert_eq!(block.as_ptr().align_offset(16), 0);
                    }
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
        Err(error) => assert!(error.to_string().starts_with("/data/checkpoint/")),
    }
});

fn index_of(file: &[u8]) -> usize {
    let at = file.len().checked_sub(FOOTER).and_then(|footer| u64_in(file, footer + 16));
    at.map_or(HEADER, |at| (at as usize).min(file.len()))
}

/// Puts the right checksums in: of header, index and footer, and of all blocks that the index names if `blocks`
/// says so.
fn seal(file: &mut [u8], blocks: bool) {
    if file.len() < HEADER + FOOTER {
        return;
    }
    let crc = crc32c::crc32c(&file[..HEADER - 4]);
    patch(file, HEADER - 4, &crc.to_le_bytes());
    let (index_at, footer) = (index_of(file), file.len() - FOOTER);
    let entries =
        u64_in(file, footer + 24).unwrap_or(0).min((footer.saturating_sub(index_at) / ENTRY) as u64) as usize;
    for entry in (0..entries).filter(|_| blocks).map(|entry| index_at + ENTRY * entry) {
        let (Some(len), Some(at)) = (u32_in(file, entry + 12), u64_in(file, entry + 24)) else { continue };
        let (at, len) = (at as usize, len as usize);
        let Some(block) = at.checked_add(32 + len).and_then(|end| file.get(at + 4..end)) else { continue };
        let crc = crc32c::crc32c(block).to_le_bytes();
        patch(file, at, &crc);
        patch(file, entry + 32, &crc);
    }
    let index = file.get(index_at..index_at + ENTRY * entries).map(crc32c::crc32c);
    patch(file, footer + 12, &index.unwrap_or(0).to_le_bytes());
    let crc = crc32c::crc32c(&file[footer..footer + FOOTER - 4]);
    patch(file, footer + FOOTER - 4, &crc.to_le_bytes());
}
