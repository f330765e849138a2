//! `pelton selftest` as a user calls it, small.

use std::path::Path;
use std::process::{Command, Output};

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

#[test]
fn bad_input_is_refused() {
    for args in [&["--cycles", "0"][..], &["--durability", "none"], &["--load", "0"], &["--shards-max", "0"]]
    {
        let output = crash(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(args[0]), "{args:?}");
    }
}
