use super::*;
use crate::disk::{Faults, Simulated};
use crate::snapshot::snapshot_path;
use crate::verify::{Finding, Severity, verify};

/// Two small snapshots, the second of which refers to the first, with what they hold.
fn two() -> (Arc<dyn Disk>, PathBuf, [Blocks; 2]) {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let checkpoints = PathBuf::from("/data/checkpoint");
    let first: Blocks =
        [((0, 0, 0), b"zero".to_vec()), ((0, 0, 1), vec![7; 33]), ((1, 5, 0), Vec::new())].into();
    let mut writer = SnapshotWriter::create(&disk, &checkpoints, id(1), None).unwrap();
    for (&(section, table, chunk), bytes) in &first {
        writer.block(section, table, chunk, bytes);
    }
    let index = writer.finish_now().unwrap();
    let mut second = first.clone();
    second.insert((0, 0, 1), b"another one".to_vec());
    let mut writer = SnapshotWriter::create(&disk, &checkpoints, id(2), Some(&index)).unwrap();
    writer.same(0, 0, 0);
    writer.block(0, 0, 1, &second[&(0, 0, 1)]);
    writer.same(1, 5, 0);
    writer.finish_now().unwrap();
    (disk, checkpoints, [first, second])
}

fn content(disk: &Arc<dyn Disk>, path: &Path) -> Vec<u8> {
    let file = disk.open(path, How::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn put(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) {
    let _ = disk.remove(path);
    disk.open(path, How::Create).unwrap().write_at(bytes, 0).unwrap();
}

/// Reads both snapshots; what can be read must be right. Returns which could be.
fn read_both(disk: &Arc<dyn Disk>, checkpoints: &Path, expected: &[Blocks; 2], what: &str) -> [bool; 2] {
    [1, 2].map(|number| match read(disk, checkpoints, number) {
        Ok(blocks) => {
            assert_eq!(blocks, expected[number as usize - 1], "{what}: wrong content");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains(".snap"), "{what}: no file named in {error}");
            false
        }
    })
}

#[test]
fn a_flipped_byte_is_an_error_or_makes_no_difference() {
    let (disk, checkpoints, expected) = two();
    assert_eq!(read_both(&disk, &checkpoints, &expected, "intact"), [true, true]);
    for number in [1, 2] {
        let path = snapshot_path(&checkpoints, number, SHARD);
        let whole = content(&disk, &path);
        let (mut noticed, mut bytes) = (0, whole.clone());
        for at in 0..whole.len() {
            for mask in [0x01, 0x20, 0x80, 0xFF] {
                bytes[at] = whole[at] ^ mask;
                put(&disk, &path, &bytes);
                let what = format!("byte {at} of checkpoint {number} ^ {mask:#04x}");
                noticed += usize::from(read_both(&disk, &checkpoints, &expected, &what).contains(&false));
            }
            bytes[at] = whole[at];
        }
        put(&disk, &path, &whole);
        // Padding is all that may be anything.
        assert!(noticed >= 4 * (whole.len() - 100), "{noticed} of {} flips were noticed", 4 * whole.len());
    }
}

#[test]
fn a_truncated_file_is_no_snapshot() {
    let (disk, checkpoints, expected) = two();
    for number in [1, 2] {
        let path = snapshot_path(&checkpoints, number, SHARD);
        let whole = content(&disk, &path);
        for len in 0..whole.len() {
            put(&disk, &path, &whole[..len]);
            let readable = read_both(&disk, &checkpoints, &expected, &format!("{number} cut at {len}"));
            assert!(!readable[number as usize - 1], "checkpoint {number} cut at {len} was read");
        }
        // And with something behind it.
        put(&disk, &path, &[&whole[..], &[0; 64]].concat());
        assert!(!read_both(&disk, &checkpoints, &expected, "extended")[number as usize - 1]);
        put(&disk, &path, &whole);
    }
}

/// A job that dies before its manifest names a checkpoint makes another one of that number. A file of the first that comes back, from an older
/// copy of the directory, is whole, and not the one that was made.
#[test]
fn a_snapshot_of_a_checkpoint_that_was_given_up_is_refused() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let checkpoints = Path::new("/data/checkpoint");
    let make = |tick, bytes: &[u8]| {
        let id = SnapshotId { shard: 0, tick, ..id(1) };
        let _ = disk.remove(&snapshot_path(checkpoints, 1, 0));
        let mut writer = SnapshotWriter::create(&disk, checkpoints, id, None).unwrap();
        writer.block(0, 0, 0, bytes);
        writer.finish_now().unwrap()
    };
    let field = |made: &Checkpoint| match made.snapshot(&disk, checkpoints, LOG_ID, 0) {
        Ok(_) => "",
        Err(StorageError::Foreign { field, .. }) => field,
        Err(other) => panic!("{other}"),
    };
    let index = make(900, b"made");
    let made = Checkpoint { shards: 1, digests: vec![index.digest()], ..checkpoint(&index) };
    assert_eq!(field(&made), "");
    make(700, b"made");
    assert_eq!(field(&made), "tick");
    make(900, b"lost");
    assert_eq!(field(&made), "digest");
    make(900, b"made");
    assert_eq!(field(&made), "");
    assert_eq!(field(&Checkpoint { digests: Vec::new(), ..made.clone() }), "", "of before there were any");
    assert_eq!(field(&Checkpoint { generation: 2, ..made }), "generation");
}

#[test]
fn each_damage_has_its_name() {
    let (disk, checkpoints, _) = two();
    let path = snapshot_path(&checkpoints, 2, SHARD);
    let whole = content(&disk, &path);
    let open = |log_id, shard| {
        let wanted = SnapshotId { log_id, shard, ..id(2) };
        SnapshotReader::open(&disk, &checkpoints, &wanted).map(drop).unwrap_err()
    };

    assert!(matches!(open(LOG_ID, 9), StorageError::Missing { .. }));
    assert!(matches!(open(1, SHARD), StorageError::Foreign { field: "log id", .. }));
    put(&disk, &snapshot_path(&checkpoints, 2, 4), &whole);
    assert!(matches!(open(LOG_ID, 4), StorageError::Foreign { field: "shard", .. }));

    put(&disk, &path, &content(&disk, &snapshot_path(&checkpoints, 1, SHARD)));
    assert!(matches!(open(LOG_ID, SHARD), StorageError::Foreign { field: "checkpoint number", .. }));
    put(&disk, &path, &whole[..whole.len() - 64]);
    assert!(matches!(open(LOG_ID, SHARD), StorageError::Incomplete { .. }));
    put(&disk, &path, &vec![0; 10_000]);
    assert!(matches!(open(LOG_ID, SHARD), StorageError::Incomplete { .. }));

    let of_version = |version: u8| {
        let mut other = whole.clone();
        other[8] = version;
        let crc = crc32c::crc32c(&other[..4092]).to_le_bytes();
        other[4092..4096].copy_from_slice(&crc);
        other.extend([1; 100]);
        put(&disk, &path, &other);
        open(LOG_ID, SHARD)
    };
    assert!(matches!(of_version(3), StorageError::Newer { found: 3, known: 2, .. }));
    let error = of_version(1);
    assert!(matches!(error, StorageError::Older { found: 1, known: 2, .. }));
    assert!(error.to_string().contains("let the program that wrote it run"), "{error}");

    put(&disk, &path, &whole);
    disk.remove(&snapshot_path(&checkpoints, 1, SHARD)).unwrap();
    let error = open(LOG_ID, SHARD);
    assert!(matches!(error, StorageError::Missing { what: "earlier snapshot that a snapshot needs", .. }));
    assert!(error.to_string().contains("00000001/shard-0003.snap"), "{error}");
}

#[test]
fn all_but_blocks_is_checked_when_a_snapshot_is_opened() {
    let (disk, checkpoints, _) = two();
    let path = snapshot_path(&checkpoints, 2, SHARD);
    let whole = content(&disk, &path);
    let len = whole.len();
    let index_at = len - 64 - 128;
    for (at, part) in [
        (30, "header"),
        (4000, "header"),
        (index_at + 8, "index"),
        (index_at + 36, "index"),
        (len - 10, "footer"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        put(&disk, &path, &bytes);
        let error = SnapshotReader::open(&disk, &checkpoints, &id(2)).map(drop).unwrap_err();
        assert!(error.to_string().contains(&format!("damaged snapshot {part}")), "byte {at}: {error}");
        assert!(error.to_string().contains("checksum"), "byte {at}: {error}");
    }
    let mut bytes = whole.clone();
    bytes[4096 + 32] ^= 4;
    put(&disk, &path, &bytes);
    let reader = SnapshotReader::open(&disk, &checkpoints, &id(2)).unwrap();
    let error = reader.block(reader.index().find(0, 0, 1).unwrap()).unwrap_err();
    assert!(error.to_string().contains("damaged snapshot block at byte 4096: expected checksum"), "{error}");
    assert_eq!(reader.block(reader.index().find(0, 0, 0).unwrap()).unwrap(), b"zero");
}

#[test]
fn verify_says_what_is_damaged_and_whether_the_job_can_start() {
    let (disk, checkpoints, _) = two();
    let data = Path::new("/data");
    let index = |number| SnapshotReader::open(&disk, &checkpoints, &id(number)).unwrap().index().clone();
    let mut list = vec![checkpoint(&index(1)), checkpoint(&index(2))];
    for number in [1, 2] {
        for shard in 0..SHARD {
            let id = SnapshotId { shard, ..id(number) };
            SnapshotWriter::create(&disk, &checkpoints, id, None).unwrap().finish_now().unwrap();
        }
    }
    assert!(verify(&disk, data).1.iter().any(|finding| finding.severity == Severity::Fatal), "no manifest");
    manifest(list.clone()).store(&disk, data).unwrap();
    let worst = |expected: Option<Severity>, about: &str| {
        let (found, findings) = verify(&disk, data);
        assert!(found.is_some());
        let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(findings.iter().map(|finding| finding.severity).max(), expected, "{text:?}");
        assert!(text.concat().contains(about), "{text:?}");
    };
    worst(None, "");

    SnapshotWriter::create(&disk, &checkpoints, id(9), None).unwrap();
    worst(Some(Severity::Note), "00000009");
    let path = snapshot_path(&checkpoints, 2, SHARD);
    let whole = content(&disk, &path);
    let mut bytes = whole.clone();
    bytes[4096 + 40] ^= 1;
    put(&disk, &path, &bytes);
    worst(Some(Severity::Damage), "damaged snapshot block at byte 4096");
    put(&disk, &path, &whole);
    disk.remove(&snapshot_path(&checkpoints, 1, SHARD)).unwrap();
    worst(Some(Severity::Fatal), "none of the 2 checkpoints can be read");

    list[1].tick += 1;
    manifest(list).store(&disk, data).unwrap();
    worst(Some(Severity::Fatal), "its tick is 200, not 201");
}
