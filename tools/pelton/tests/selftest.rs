//! `pelton selftest` as a user calls it, small.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn crash(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pelton"))
        .args(["selftest", "crash"])
        .args(args)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the binary runs")
}

const SMALL: [&str; 8] = ["--driver", "threads", "--cycles", "3", "--load", "2000", "--seed", "5"];

#[test]
fn a_job_that_is_killed_loses_nothing() {
    let output = crash(&[&SMALL[..], &["--json"]].concat());
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    let reports: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.iter().map(|report| &report["durability"]).collect::<Vec<_>>(), ["process", "disk"]);
    for report in reports {
        assert_eq!((&report["correct"], &report["seed"]), (&true.into(), &5.into()));
        assert_eq!(report["acknowledged"], report["records"]);
        assert_eq!(report["rows"], report["records"]);
        assert!(report["cycles"].as_u64() >= Some(4) && report["start_ms"]["p50"].is_number(), "{report}");
    }
}

#[test]
fn a_directory_that_is_damaged_loses_nothing_without_a_word() {
    let run = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pelton"))
            .args(["selftest", "damage", "--load", "5000", "--seed", "11", "--json"])
            .args(more)
            .env_clear()
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .output()
            .expect("the binary runs");
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}{errors}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let reports = run(&["--tries", "5"]);
    assert_eq!(reports.iter().map(|report| &report["durability"]).collect::<Vec<_>>(), ["process", "disk"]);
    for report in &reports {
        let count = |name: &str| report[name].as_u64().unwrap();
        assert_eq!((count("tries"), count("whole") + count("refused")), (5, 5), "{report}");
        assert_eq!(report["problems"], serde_json::json!([]));
    }
    // One try again is damaged in the same way.
    let again = run(&["--tries", "1", "--from", "2", "--durability", "disk"]);
    let kinds = again[0]["kinds"].as_object().unwrap();
    assert!(kinds.keys().all(|kind| reports[1]["kinds"].get(kind).is_some()), "{again:?} of {reports:?}");
}

#[test]
fn a_child_that_cannot_run_is_told_with_its_own_words_and_kept() {
    let place = concat!(env!("CARGO_TARGET_TMPDIR"), "/selftest-refused");
    std::fs::create_dir_all(place).unwrap();
    let output =
        crash(&[&SMALL[..], &["--durability", "disk", "--driver", "no-such", "--dir", place]].concat());
    assert_eq!(output.status.code(), Some(2), "a flag given twice");
    let output = crash(&["--driver", "no-such", "--cycles", "50", "--dir", place]);
    assert_eq!(output.status.code(), Some(1));
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("WRONG") && text.contains("no-such"), "{text}");
    let kept = error.trim().rsplit(' ').next().expect("a path");
    assert!(Path::new(kept).join("process/child.log").exists(), "{error}");
    std::fs::remove_dir_all(place).unwrap();
}

/// Files below a directory, if it is there.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

/// A terminal sends Ctrl-C to the whole group, a supervisor SIGTERM to the process alone.
#[test]
fn an_interrupted_test_says_so_and_leaves_nothing() {
    for (signal, to_group) in [("-INT", true), ("-TERM", false)] {
        let place =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("selftest{signal}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(["selftest", "crash", "--driver", "threads", "--cycles", "100000", "--dir"]).arg(&place);
        command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().expect("the binary runs");
        let began = Instant::now();
        while !files(&place).iter().any(|file| file.ends_with("part-0000.csv")) {
            assert!(began.elapsed() < Duration::from_secs(60), "no run of the child began");
            std::thread::sleep(Duration::from_millis(20));
        }
        let target = if to_group { format!("-{}", child.id()) } else { child.id().to_string() };
        let sent = Command::new("kill").args([signal, "--", &target]).status();
        assert!(sent.expect("kill runs").success());
        let output = child.wait_with_output().unwrap();
        let (text, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(130), "{signal}: {text}{error}");
        assert_eq!(error, "error: interrupted\n", "{signal}");
        assert!(!text.contains("WRONG"), "{signal}: {text}");
        assert_eq!(files(&place), Vec::<PathBuf>::new(), "{signal}: nothing stays behind");
        std::fs::remove_dir_all(place).unwrap();
    }
}

#[test]
fn bad_input_is_refused() {
    for args in [&["--cycles", "0"][..], &["--durability", "none"], &["--load", "0"], &["--shards-max", "0"]]
    {
        let output = crash(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(args[0]), "{args:?}");
    }
}
