//! `pelton bench` as a user calls it: what it prints, what it says about bad input, and how it exits.

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pelton"))
        .arg("bench")
        .args(args)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the binary runs")
}

/// A run small enough for a test, on an engine that needs no permission.
const SMALL: [&str; 9] =
    ["tumble_count", "--events", "20000", "--driver", "threads", "--pin", "false", "--cores", "1"];

/// One clear message, no panic, and the exit code.
fn check_refused(args: &[&str], code: i32, says: &str) {
    let output = bench(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    assert!(message.contains(says), "{args:?}: `{message}` does not say `{says}`");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
}

/// The plan of a workload's job, and no run of it.
#[test]
fn a_workload_is_explained() {
    let output = bench(&["tumble_count", "--explain"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.starts_with("job `") && told.contains("window-0: window, "), "{told}");
    assert!(!told.contains("events/s"), "{told}");
    let output = bench(&["hop_max", "--explain=dot"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("digraph "));
}

#[test]
fn bad_input_is_refused_with_one_message() {
    check_refused(&["tumble_cuont"], 2, "did you mean `tumble_count`?");
    check_refused(&["kafka"], 2, "there is no workload `kafka`");
    check_refused(&["tumble_count", "--cores", "0"], 1, "cores");
    check_refused(&["tumble_count", "--cores", "100000"], 1, "cores");
    check_refused(&["tumble_count", "--shards", "0"], 1, "shards");
    check_refused(&["tumble_count", "--events", "0"], 2, "--events 0");
    check_refused(&["tumble_count", "--events", "many"], 2, "many");
    check_refused(&["tumble_count", "--rate", "5"], 2, "--rate");
    check_refused(&["lat_tumble", "--rate", "0"], 2, "--rate 0");
    check_refused(&["checkpoint", "--keys", "0"], 2, "--keys");
    check_refused(&["recovery", "--keys", "10", "--rate", "0"], 2, "--rate");
    check_refused(&["checkpoint", "--keys", "10", "--hot", "0"], 2, "--hot 0");
    check_refused(&["tumble_count", "--durability", "memory"], 1, "durability");
    check_refused(
        &["tumble_count", "--durability", "disk", "--data", "/dev/null"],
        1,
        "cannot make the directory /dev/null/",
    );
    check_refused(&["tumble_count", "--config", "no/such/file.toml"], 1, "no/such/file.toml");
}

/// `1e6` is a number, and several workloads are no riddle.
#[test]
fn several_workloads_run_one_after_the_other_and_counts_are_as_people_write_them() {
    let small = ["--driver", "threads", "--pin", "false", "--cores", "1", "--json"];
    let output = bench(&[&["filter_map", "tumble_count", "--events", "2e4"], &small[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = runs.iter().map(|run| (&run["workload"], &run["events"])).collect();
    assert_eq!(names, [(&"filter_map".into(), &20_000.into()), (&"tumble_count".into(), &20_000.into())]);
    for events in ["20_000", "20k", "0.02M", "20,000"] {
        let output = bench(&[&["filter_map", "--events", events], &small[..]].concat());
        let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(run["events"], 20_000, "{events}");
    }
    check_refused(&["filter_map", "--events", "1e99"], 2, "larger than");
    check_refused(&["filter_map", "--events", "0.5"], 2, "not a whole number");
    check_refused(&["filter_map", "kafka"], 2, "there is no workload `kafka`");
    check_refused(&["filter_map", "hop_max", "--rate", "5"], 2, "they take --events");
}

#[test]
fn what_a_program_reads_is_never_folded() {
    let output = bench(&["list"]);
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().count(), pelton_bench::all().count() + 1, "{list}");
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    check_refused(
        &[&SMALL[..], &["--report", "/dev/full"]].concat(),
        1,
        "cannot write the report to /dev/full",
    );
    // Known before anything runs, however long it would have taken.
    let nowhere =
        ["tumble_count", "--events", "18446744073709551615", "--report", "/no/such/directory/report.html"];
    check_refused(&nowhere, 1, "cannot write the report to /no/such/directory/report.html");
}

#[test]
fn a_small_run_prints_a_table_and_writes_a_report() {
    let report = concat!(env!("CARGO_TARGET_TMPDIR"), "/report.html");
    let output = bench(&[&SMALL[..], &["--report", report]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("tumble_count") && table.contains("20,000") && table.contains(" ok"), "{table}");
    assert!(std::fs::read_to_string(report).unwrap().ends_with("</html>\n"));
}

#[test]
fn json_is_one_line_with_every_promised_field() {
    let latency =
        ["lat_tumble", "--rate", "20000", "--warmup", "0.1", "--duration", "0.2", "--driver", "threads"];
    for (args, fields) in [
        (&SMALL[..], &[][..]),
        (&latency[..], &["offered_rate", "achieved_rate", "latency_us", "floor_us"][..]),
    ] {
        let output = bench(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let always = ["workload", "events", "seconds", "events_per_sec", "result_rows", "checksum"];
        for field in always.iter().chain(&["cores", "shards", "version"]).chain(fields) {
            assert!(!value[field].is_null(), "no {field} in {text}");
        }
        for part in ["latency_us", "floor_us"].iter().filter(|part| fields.contains(part)) {
            for percentile in ["p50", "p90", "p99", "p999", "p9999", "max"] {
                assert!(value[part][percentile].is_number(), "no {part}.{percentile} in {text}");
            }
        }
    }
}

/// One line of JSON of a run that succeeds and leaves behind, where it was told to keep its data, as many data directories as `kept` says.
fn json_of(args: &[&str], kept: usize) -> serde_json::Value {
    let place = format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), args[..2].join("-"));
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    let output =
        bench(&[args, &["--driver", "threads", "--pin", "false", "--data", &place, "--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), kept, "{args:?} leaves {left:?}");
    for run in &left {
        let data = run.join("data");
        let verified =
            Command::new(env!("CARGO_BIN_EXE_pelton")).args(["log", "verify"]).arg(&data).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
    std::fs::remove_dir_all(&place).unwrap();
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

#[test]
fn a_run_that_is_durable_says_what_and_how_long_a_flush_takes() {
    let run = json_of(&["tumble_count", "--events", "20000", "--durability", "process"], 1);
    assert_eq!((&run["durability"], &run["correct"]), (&"process".into(), &true.into()));
    assert!(run["flush_us"].is_null());
    let latency =
        ["lat_tumble", "--rate", "5000", "--warmup", "0.1", "--duration", "0.2", "--durability", "disk"];
    let run = json_of(&latency, 1);
    assert_eq!((&run["durability"], &run["correct"]), (&"disk".into(), &true.into()));
    assert!(
        run["flush_us"]["p50"].as_f64() > Some(0.0) && run["p50_over_flush"].as_f64() > Some(0.0),
        "{run}"
    );
}

#[test]
fn checkpoints_are_measured_with_and_without() {
    let run = json_of(&["checkpoint", "--keys", "20000", "--rate", "5000", "--duration", "3"], 0);
    assert_eq!(run["correct"], true);
    assert!(!run["checkpoints"].as_array().unwrap().is_empty());
    assert!(run["with_us"]["p999"].is_number() && run["without_us"]["p999"].is_number(), "{run}");
}

#[test]
fn moves_are_measured_by_the_part_that_moves() {
    let args = ["move", "--keys", "20000", "--rate", "5000", "--duration", "2", "--shards", "2"];
    let run = json_of(&args, 0);
    assert_eq!(run["correct"], true);
    let size = &run["sizes"][0];
    let groups: Vec<_> =
        size["moves"].as_array().unwrap().iter().map(|moves| moves["groups"].as_u64()).collect();
    assert_eq!(groups, [1, 16, 64, 256].map(Some), "one key group, and 1, 4 and 16 of 64 ranges");
    let longest = |steps: &str| size[steps]["max_us"].as_f64().unwrap();
    assert!(longest("steps_in_pauses") > 0.0 && longest("steps_in_moves") > 0.0, "{size}");
    check_refused(&["move", "--keys", "10", "--shards", "1"], 2, "--shards");
}

#[test]
fn recoveries_are_measured_by_phase() {
    let run = json_of(&["recovery", "--keys", "1000,2000", "--rate", "5000"], 0);
    let sizes = run["sizes"].as_array().unwrap();
    assert_eq!(
        sizes.iter().map(|size| size["keys"].as_u64()).collect::<Vec<_>>(),
        [Some(1_000), Some(2_000)]
    );
    for size in sizes {
        let phase = |name: &str| size[name].as_f64().unwrap();
        assert!(phase("entered_ms") <= phase("restored_ms"), "{size}");
        assert!(phase("live_ms") <= phase("first_result_ms"), "{size}");
    }
    assert!(run["ratio"].as_f64() > Some(0.0));
}

#[test]
fn the_list_names_every_workload() {
    let output = bench(&["list"]);
    assert!(output.status.success());
    let list = String::from_utf8(output.stdout).unwrap();
    for workload in pelton_bench::all() {
        assert!(list.contains(workload.name), "{list}");
    }
}

#[test]
fn ctrl_c_ends_a_run_with_one_message_and_exit_code_130() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_pelton"));
    run.args(["bench", "tumble_count", "--events", "18446744073709551615", "--driver", "threads"]);
    let child = run.stderr(std::process::Stdio::piped()).spawn().expect("the binary runs");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().filter(|line| line.contains("interrupted")).count(), 1, "{message}");
}
