use super::*;
use crate::disk::{Faults, Simulated};

fn some() -> Manifest {
    let mut first = Checkpoint { number: 4, tick: 90, shards: 4, ..Checkpoint::default() };
    first.savepoint = Some("before the move".into());
    let second = Checkpoint { needs: vec![1, 4], number: 7, tick: u64::MAX, ..first.clone() };
    let mut some = manifest(vec![first, second]);
    some.base = Some(4);
    some.checkpoints[0].owners = vec![0, 1, 2, 3, 3];
    some.checkpoints[1].digests = vec![0, u64::MAX];
    some
}

fn bytes_of(manifest: &Manifest) -> Vec<u8> {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    disk.create_directory(Path::new("/data")).unwrap();
    manifest.store(&disk, Path::new("/data")).unwrap();
    let file = disk.open(&Manifest::path(Path::new("/data")), How::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn parse(bytes: &[u8]) -> Result<Manifest, StorageError> {
    Manifest::from_bytes(Path::new("/data/MANIFEST"), bytes)
}

fn sealed(json: &str) -> Vec<u8> {
    format!("{json}\ncrc32c {:08x}\n", crc32c::crc32c(format!("{json}\n").as_bytes())).into_bytes()
}

#[test]
fn a_manifest_is_read_as_it_was_stored_and_is_for_people() {
    let bytes = bytes_of(&some());
    assert_eq!(parse(&bytes).unwrap(), some());
    let text = String::from_utf8(bytes).unwrap();
    for line in [
        "  \"format\": 3,",
        "  \"log_id\": \"feed000000000000000000000000beef\",",
        "      \"uid\": \"per-word\",",
        "    \"name\": \"größe \\\"x\\\"\",",
        "    \"owners\": [0, 1, 2, 3, 3],",
        "    \"digests\": [\"0000000000000000\", \"ffffffffffffffff\"],",
        "    \"tick\": 18446744073709551615,",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
}

#[test]
fn damage_at_any_place_is_an_error() {
    let whole = bytes_of(&some());
    let mut bytes = whole.clone();
    for at in 0..whole.len() {
        for bit in 0..8 {
            bytes[at] = whole[at] ^ (1 << bit);
            let error = parse(&bytes).unwrap_err();
            assert!(matches!(error, StorageError::Damaged { .. }), "byte {at}: {error:?}");
        }
        bytes[at] = whole[at];
        assert!(parse(&whole[..at]).is_err(), "cut at {at}");
    }
    assert!(parse(&[&whole[..], b"\n"].concat()).is_err());
}

#[test]
fn a_newer_version_is_refused_whatever_else_it_holds() {
    let error = parse(&sealed("{ \"format\": 4, \"log\": { \"id\": 7 } }")).unwrap_err();
    assert!(matches!(error, StorageError::Newer { what: "manifest", found: 4, known: 3, .. }), "{error:?}");
    for json in ["", "[]", "{}", "{ \"format\": 3 }", "{ \"format\": -1 }", "{ \"format\": \"1\" }"] {
        assert!(matches!(parse(&sealed(json)), Err(StorageError::Damaged { .. })), "{json}");
    }
}

#[test]
fn an_older_version_is_refused_and_says_what_to_do() {
    let error = parse(&sealed("{ \"format\": 2, \"job\": { \"fingerprint\": [\"a line\"] } }")).unwrap_err();
    assert!(matches!(error, StorageError::Older { what: "manifest", found: 2, known: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("let the program that wrote it run"), "{error}");
}

#[test]
fn what_cannot_be_is_refused() {
    let text = String::from_utf8(bytes_of(&some())).unwrap();
    let json = &text[..text.len() - 17];
    assert!(parse(&sealed(json)).is_ok());
    for (from, to, about) in [
        ("\"number\": 7", "\"number\": 4", "checkpoint 4 before checkpoint 4"),
        ("\"needs\": [1, 4]", "\"needs\": [1, 7]", "checkpoint 7 that needs checkpoint 7"),
        ("[0, 1, 2, 3, 3]", "[0, 1, 2, 3, 4]", "shard 4 in checkpoint 4 of 4 shards"),
        ("\"clean\": false", "\"dirty\": false", "unknown field"),
        ("feed000000000000", "feed00000000000x", "invalid digit"),
    ] {
        assert!(json.contains(from));
        let error = parse(&sealed(&json.replacen(from, to, 1))).unwrap_err().to_string();
        assert!(error.contains(about), "{error}");
    }
}

#[test]
fn a_half_written_new_manifest_is_nothing() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let data = Path::new("/data");
    disk.create_directory(data).unwrap();
    let new = bytes_of(&some());
    let leave = |len: usize| {
        let file = disk.open(&data.join("MANIFEST.new"), How::Create).unwrap();
        file.write_at(&new[..len], 0).unwrap();
    };
    leave(100);
    assert_eq!(Manifest::load(&disk, data).unwrap(), None);
    manifest(Vec::new()).store(&disk, data).unwrap();
    for len in [0, 1, 500, new.len()] {
        leave(len);
        assert_eq!(Manifest::load(&disk, data).unwrap(), Some(manifest(Vec::new())));
        manifest(Vec::new()).store(&disk, data).unwrap();
    }
    leave(200);
    some().store(&disk, data).unwrap();
    assert_eq!(Manifest::load(&disk, data).unwrap(), Some(some()));
}

#[test]
fn an_older_copy_is_not_taken_for_the_manifest() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let data = Path::new("/data");
    disk.create_directory(data).unwrap();
    let path = Manifest::path(data);
    let read = || (*disk.open(&path, How::Read).unwrap().map().unwrap()).as_ref().to_vec();
    let mut copies = Vec::new();
    for _ in 0..4 {
        manifest(Vec::new()).store(&disk, data).unwrap();
        copies.push(read());
    }
    for (older, copy) in copies.iter().enumerate() {
        disk.remove(&path).unwrap();
        disk.open(&path, How::Create).unwrap().write_at(copy, 0).unwrap();
        match Manifest::load(&disk, data) {
            Ok(found) => assert!(older == 3 && found == Some(manifest(Vec::new()))),
            Err(error) => {
                let text = error.to_string();
                let number = older + 1;
                assert!(
                    text.contains(&format!(
                        "manifest number 4, which was stored last, found number {number}"
                    )),
                    "{text}"
                );
            }
        }
    }
    // What it is known by is no more than evidence.
    disk.remove(&data.join("MANIFEST.stored")).unwrap();
    assert!(Manifest::load(&disk, data).unwrap().is_some());
    some().store(&disk, data).unwrap();
    assert_eq!(Manifest::load(&disk, data).unwrap(), Some(some()));
}

#[test]
fn a_lost_manifest_is_not_taken_for_a_new_directory() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    let data = Path::new("/data");
    disk.create_directory(&data.join("log")).unwrap();
    assert_eq!(Manifest::load(&disk, data).unwrap(), None);
    disk.create_directory(&data.join("log/g0000/shard-0000")).unwrap();
    assert!(matches!(Manifest::load(&disk, data), Err(StorageError::Missing { what: "manifest", .. })));
}

#[test]
fn a_disk_that_fails_while_storing_is_an_error_and_loses_nothing() {
    for operations in 0.. {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
        let data = Path::new("/data");
        disk.create_directory(data).unwrap();
        manifest(Vec::new()).store(&disk, data).unwrap();
        let failing = Failing::after(&disk, operations, io::ErrorKind::StorageFull);
        let stored = some().store(&failing, data);
        let found = Manifest::load(&disk, data).unwrap().unwrap();
        if stored.is_ok() {
            assert_eq!(found, some());
            assert!(operations >= 5, "storing takes more than {operations} operations");
            break;
        }
        assert!(found == some() || found == manifest(Vec::new()), "after {operations} operations");
    }
}

/// A directory whose manifest is gone is refused, too, where nobody can look what else is in it.
#[test]
fn what_cannot_be_looked_at_does_not_count_as_empty() {
    let data = Path::new("/data");
    let mut unread = 0;
    for seed in 0..200 {
        let machine = Simulated::new(seed, Faults::default());
        machine.create_directory(&data.join("log/g0000")).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        machine.set_faults(Faults { read_error: 500, ..Faults::default() });
        match Manifest::load(&disk, data) {
            Err(StorageError::Missing { what: "manifest", .. }) => {}
            Err(StorageError::Io { path, .. }) => unread += usize::from(path.ends_with("log")),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(unread > 20, "{unread} of 200 could not look");
}

/// Whoever cannot read which manifest was stored last does not note another one under a number that counts for less.
#[test]
fn the_number_that_was_stored_last_never_falls() {
    let data = Path::new("/data");
    for seed in 0..200 {
        let machine = Simulated::new(seed, Faults::default());
        machine.create_directory(data).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let mut last = 0;
        for number in 1..12 {
            let read_error = if number % 3 == 0 { 300 } else { 0 };
            machine.set_faults(Faults { read_error, ..Faults::default() });
            if crate::mark::store(&*disk, data, LOG_ID, number).is_ok() {
                last = number;
            }
            machine.set_faults(Faults::default());
            assert_eq!(crate::mark::stored(&*disk, data, LOG_ID).unwrap(), last, "seed {seed}");
        }
    }
}
