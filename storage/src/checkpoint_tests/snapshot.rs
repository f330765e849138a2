use super::*;
use crate::disk::{Blocking, Faults, Simulated, Uring};

/// Several generations of checkpoints on `disk`; each is read again after each.
fn check_generations(disk: &Arc<dyn Disk>, data: &Path, seed: u64, len_max: usize) {
    let mut random = Random(seed);
    let checkpoints = data.join("checkpoint");
    let (mut twin, mut previous, mut taken) = (Twin::default(), None::<SnapshotIndex>, BTreeMap::new());
    for number in 1..=8 {
        twin.live(&mut random, 30, len_max);
        // Now and then a full one again, which needs nothing of those before.
        let from = previous.as_ref().filter(|_| number != 5);
        let index = snapshot(disk, &checkpoints, &mut twin, &mut random, number, from).unwrap();
        assert!(index.needs().iter().all(|&needed| needed < number && (number < 5 || needed >= 5)));
        assert_eq!(index.needs().is_empty(), from.is_none(), "seed {seed}: checkpoint {number}");
        let reader = SnapshotReader::open(disk, &checkpoints, &id(number)).unwrap();
        assert_eq!(reader.index().entries(), index.entries());
        assert_eq!(reader.index().needs(), index.needs());
        assert_eq!(reader.index().file_bytes(), index.file_bytes());
        assert_eq!(reader.tick(), 100 * number);
        taken.insert(number, twin.blocks.clone());
        for (&number, blocks) in &taken {
            assert_eq!(
                read(disk, &checkpoints, number).unwrap(),
                *blocks,
                "seed {seed}: checkpoint {number}"
            );
        }
        // The next one may follow what was written or what was read.
        previous = Some(if random.below(2) == 0 { index } else { reader.index().clone() });
    }
}

#[test]
fn generations_of_checkpoints_are_read_back() {
    for seed in 0..20 {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(seed, Faults { slow: 0..9, ..Faults::default() }));
        check_generations(&disk, Path::new("/data"), seed, 3_000);
    }
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(99, Faults { slow: 0..3, ..Faults::default() }));
    check_generations(&disk, Path::new("/data"), 99, BLOCK_BYTES);
    check_generations(&disk, Path::new("/long"), 99, 12 * BLOCK_BYTES);
}

#[test]
fn generations_of_checkpoints_are_read_back_from_files() {
    let scratch = Scratch::new("generations");
    let blocking: Arc<dyn Disk> = Arc::new(Blocking::new());
    check_generations(&blocking, &scratch.0.join("blocking"), 1, 50_000);
    let uring: Arc<dyn Disk> = Arc::new(Uring::new(false));
    if uring.writer().is_ok() {
        check_generations(&uring, &scratch.0.join("uring"), 2, 50_000);
    }
}

#[test]
fn an_empty_snapshot_and_empty_blocks_are_possible() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let checkpoints = Path::new("/data/checkpoint");
    let empty = SnapshotWriter::create(&disk, checkpoints, id(1), None).unwrap().finish_now().unwrap();
    assert!(empty.entries().is_empty() && read(&disk, checkpoints, 1).unwrap().is_empty());
    let mut writer = SnapshotWriter::create(&disk, checkpoints, id(2), Some(&empty)).unwrap();
    writer.block(u32::MAX, 0, 0, b"");
    writer.finish_now().unwrap();
    assert_eq!(read(&disk, checkpoints, 2).unwrap(), BTreeMap::from([((u32::MAX, 0, 0), Vec::new())]));
}

#[test]
fn blocks_lie_where_records_can_be_read_in_place() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let checkpoints = Path::new("/data/checkpoint");
    let mut writer = SnapshotWriter::create(&disk, checkpoints, id(1), None).unwrap();
    for chunk in 0..40 {
        writer.block(0, 0, chunk, &vec![7; chunk as usize]);
    }
    writer.finish_now().unwrap();
    let reader = SnapshotReader::open(&disk, checkpoints, &id(1)).unwrap();
    for (entry, bytes) in reader.blocks() {
        assert_eq!(bytes.unwrap().as_ptr() as usize % 16, 0, "{entry:?}");
    }
}

#[test]
fn a_disk_that_does_not_answer_leaves_no_room_and_blocks_nobody() {
    let faults = Faults { slow: 10_000..10_001, ..Faults::default() };
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, faults));
    let mut writer = SnapshotWriter::create(&disk, Path::new("/data/checkpoint"), id(1), None).unwrap();
    let mut chunk = 0;
    for _ in 0..200 {
        if writer.room() {
            writer.block(0, 0, chunk, &[1; 10_000]);
            chunk += 1;
        }
        writer.turn().unwrap();
    }
    assert!(!writer.room() && writer.in_flight());
    assert!(writer.file_bytes() <= 512 << 10, "what waits must be bounded by the buffers");
    assert!(writer.file_bytes() + (BLOCK_BYTES as u64) + 10_100 >= 512 << 10, "buffers must be used");
}

#[test]
fn after_an_error_there_is_no_snapshot_and_no_second_try() {
    for (name, faults) in [
        ("write", Faults { write_error: 1000, ..Faults::default() }),
        ("sync", Faults { sync_error: 1000, ..Faults::default() }),
        ("full", Faults { full_at_bytes: Some(100_000), ..Faults::default() }),
    ] {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(5, faults));
        let checkpoints = Path::new("/data/checkpoint");
        let Ok(mut writer) = SnapshotWriter::create(&disk, checkpoints, id(1), None) else {
            continue; // a fault of the directory's sync, say
        };
        let mut chunk = 0;
        let error = loop {
            if chunk < 100 && writer.room() {
                writer.block(0, 0, chunk, &[1; 10_000]);
                chunk += 1;
                if chunk == 100 {
                    writer.finish();
                }
            }
            if let Err(error) = writer.turn() {
                break error;
            }
            assert!(!writer.is_done(), "{name}: a snapshot was finished on a disk that fails");
        };
        match name {
            "full" => assert!(matches!(error, StorageError::Full { needed: 1.., .. }), "{error:?}"),
            _ => assert!(matches!(error, StorageError::Io { .. }), "{error:?}"),
        }
        for _ in 0..3 {
            assert!(!writer.room());
            assert_eq!(writer.turn().unwrap_err().to_string(), error.to_string());
            assert!(!writer.is_done());
        }
    }
}

#[test]
#[should_panic(expected = "only if there was a snapshot before")]
fn nothing_is_the_same_as_in_no_snapshot() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    SnapshotWriter::create(&disk, Path::new("/data/checkpoint"), id(1), None).unwrap().same(0, 0, 0);
}

#[test]
#[should_panic(expected = "was not in the snapshot before")]
fn a_block_is_the_same_only_if_it_was_there() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let checkpoints = Path::new("/data/checkpoint");
    let mut writer = SnapshotWriter::create(&disk, checkpoints, id(1), None).unwrap();
    writer.block(0, 0, 1, b"one");
    let index = writer.finish_now().unwrap();
    let mut writer = SnapshotWriter::create(&disk, checkpoints, id(2), Some(&index)).unwrap();
    writer.same(0, 0, 1);
    writer.same(0, 0, 2);
}

#[test]
#[should_panic(expected = "was given twice")]
fn a_name_is_used_once() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let mut writer = SnapshotWriter::create(&disk, Path::new("/data/checkpoint"), id(1), None).unwrap();
    for chunk in [1, 0, 1] {
        writer.block(0, 0, chunk, b"one");
    }
    let _ = writer.finish_now();
}
