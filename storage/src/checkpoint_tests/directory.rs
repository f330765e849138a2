use super::*;
use crate::disk::{Blocking, Faults, Simulated};
use crate::{DataDirectory, DirectoryOptions, snapshot_path};
use std::process::{Command, Stdio};

const CHILD: &str = "PELTON_TEST_TRY_LOCK";

fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<DataDirectory, StorageError> {
    DataDirectory::open(disk, path, &DirectoryOptions::default())
}

fn refusal(disk: &Arc<dyn Disk>, path: &Path) -> StorageError {
    open(disk, path).map(drop).unwrap_err()
}

fn blocking() -> Arc<dyn Disk> {
    Arc::new(Blocking::new())
}

#[test]
fn a_directory_is_made_and_found_again_with_nothing_left_over() {
    let scratch = Scratch::new("made");
    let path = scratch.0.join("a/b/data");
    for _ in 0..2 {
        let data = open(&blocking(), &path).unwrap();
        assert_eq!(data.path(), path);
        assert_eq!(data.log(2, 7), path.join("log/g0002/shard-0007"));
        assert_eq!(data.checkpoints(), path.join("checkpoint"));
        assert_eq!(data.disk().list(&path).unwrap(), ["LOCK", "checkpoint", "log"]);
    }
    // What a start left that was killed while it tried things out is in nobody's way.
    std::fs::write(path.join("PROBE"), "").unwrap();
    std::fs::write(path.join("PROBE.new"), "").unwrap();
    open(&blocking(), &path).unwrap();
    assert_eq!(blocking().list(&path).unwrap(), ["LOCK", "checkpoint", "log"]);
}

#[test]
fn one_at_a_time() {
    let scratch = Scratch::new("lock");
    let held = open(&blocking(), &scratch.0).unwrap();
    let error = refusal(&blocking(), &scratch.0);
    assert!(matches!(error, StorageError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains(scratch.0.to_str().unwrap()), "{error}");
    assert_eq!(child(&scratch.0), "locked");
    drop(held);
    assert_eq!(child(&scratch.0), "opened");
    open(&blocking(), &scratch.0).unwrap();
}

/// What another process finds when it opens the directory.
fn child(path: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "checkpoint_tests::directory::another_process", "--nocapture"])
        .env(CHILD, path)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().find_map(|line| Some(line.split_once("child: ")?.1.to_owned()));
    found.unwrap_or_else(|| panic!("the child said nothing: {text}"))
}

#[test]
fn another_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    match open(&blocking(), Path::new(&path)) {
        Ok(_) => println!("child: opened"),
        Err(StorageError::Locked { .. }) => println!("child: locked"),
        Err(error) => println!("child: {error}"),
    }
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("refused");
    std::fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("file");
    std::fs::write(&file, "").unwrap();
    for (path, about) in [
        (file.clone(), "A file is in its place"),
        (file.join("data"), "A file is in its place"),
        (PathBuf::from("/proc/pelton/data"), "cannot be created"),
    ] {
        let error = refusal(&blocking(), &path);
        assert!(matches!(error, StorageError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains(about), "{error}");
    }
    let read_only = scratch.0.join("read-only");
    drop(open(&blocking(), &read_only).unwrap());
    std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o555)).unwrap();
    // For root nothing is read-only.
    if std::fs::write(read_only.join("x"), "").is_err() {
        assert!(refusal(&blocking(), &read_only).to_string().contains("right to write there"));
    }
    std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn each_refusal_of_the_disk_is_an_error_with_advice() {
    for (kind, about) in [
        (io::ErrorKind::ReadOnlyFilesystem, "right to write there"),
        (io::ErrorKind::PermissionDenied, "right to write there"),
        (io::ErrorKind::StorageFull, "Make room"),
        (io::ErrorKind::Unsupported, "local file system"),
    ] {
        let mut refusals = 0;
        for operations in 0.. {
            let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
            // A start from nothing, and one in a directory that is there.
            drop(open(&disk, Path::new("/data")).unwrap());
            match open(&Failing::after(&disk, operations, kind), Path::new("/data")) {
                Ok(_) => break,
                Err(error) => {
                    assert!(error.to_string().contains(about), "after {operations}: {error}");
                    refusals += 1;
                }
            }
        }
        assert!(refusals >= 8, "{refusals} refusals");
    }
}

#[test]
fn rings_are_tried_out_where_they_will_be() {
    let scratch = Scratch::new("rings");
    let options = DirectoryOptions { staging: Some(Lifetime::OnMachine) };
    DataDirectory::open(&blocking(), &scratch.0, &options).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(0, Faults::default()));
    DataDirectory::open(&disk, Path::new("/data"), &options).unwrap();
}

#[test]
fn what_no_checkpoint_needs_is_removed() {
    let scratch = Scratch::new("unreferenced");
    let data = open(&blocking(), &scratch.0).unwrap();
    let (disk, checkpoints) = (data.disk(), data.checkpoints());
    let (mut random, mut twin, mut previous) = (Random(3), Twin::default(), None);
    let mut list = Vec::new();
    for number in 1..=4 {
        twin.live(&mut random, 20, 500);
        // The third is a full one.
        let from = previous.as_ref().filter(|_| number != 3);
        let index = snapshot(disk, &checkpoints, &mut twin, &mut random, number, from).unwrap();
        list.push(checkpoint(&index));
        previous = Some(index);
    }
    // One that a crash cut short.
    SnapshotFile::create(disk.as_ref(), &checkpoints, id(5)).unwrap();
    let removed = |numbers: &[usize]| {
        let list = numbers.iter().map(|&number| list[number - 1].clone()).collect();
        data.remove_unreferenced(&manifest(list)).unwrap()
    };
    assert_eq!(removed(&[1, 2, 3, 4]), [5]);
    assert_eq!(removed(&[2, 4]), [0; 0], "2 needs 1, 4 needs 3");
    assert_eq!(read(disk, &checkpoints, 4).unwrap(), twin.blocks);
    assert_eq!(removed(&[4]), [1, 2]);
    assert_eq!(read(disk, &checkpoints, 4).unwrap(), twin.blocks);
    assert_eq!(removed(&[4]), [0; 0]);
    assert_eq!(disk.list(&checkpoints).unwrap(), ["00000003", "00000004"]);
    assert_eq!(removed(&[]), [3, 4]);
}

#[test]
fn what_no_checkpoint_needs_can_be_removed_in_parts() {
    let scratch = Scratch::new("parts");
    let data = open(&blocking(), &scratch.0).unwrap();
    let (disk, checkpoints) = (data.disk(), data.checkpoints());
    let (mut random, mut twin) = (Random(4), Twin::default());
    let mut list = Vec::new();
    for number in 1..=3 {
        twin.live(&mut random, 20, 500);
        list.push(checkpoint(&snapshot(disk, &checkpoints, &mut twin, &mut random, number, None).unwrap()));
    }
    // One that is on its way.
    SnapshotFile::create(disk.as_ref(), &checkpoints, id(4)).unwrap();
    let manifest = manifest(list.split_off(2));
    let size = |number| {
        let path = snapshot_path(&checkpoints, number, SHARD);
        disk.open(&path, How::Read).map_or(0, |file| file.len().unwrap())
    };
    let part = size(1) / 3 + 1;
    let mut calls = 0;
    loop {
        let before = size(1) + size(2);
        if !data.remove_part(&manifest, 3, part).unwrap() {
            break;
        }
        calls += 1;
        assert!(before - (size(1) + size(2)) <= part, "no more than asked for");
        assert!(calls < 100);
    }
    assert!(calls >= 8, "{calls}: two files in three or more parts, and their directories");
    assert_eq!(disk.list(&checkpoints).unwrap(), ["00000003", "00000004"]);
    assert_eq!(read(disk, &checkpoints, 3).unwrap(), twin.blocks);
    assert_eq!(data.remove_unreferenced(&manifest).unwrap(), [4]);
}
