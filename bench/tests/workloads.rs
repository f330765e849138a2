//! Every workload, run small on the real engine through the harness, so that none can rot. Results are checked
//! against the twins; nothing is timed.

use pelton::Config;
use pelton_bench::{BenchError, Interrupt, Load, Options, Planned, all, run};
use serde_json::Value;

/// An engine that runs anywhere: plain threads, not pinned.
fn config(shards: usize) -> Config {
    Config { shards, pin: false, driver: pelton::config::DriverKind::Threads, ..Config::default() }
}

fn small(name: &str, shards: usize) -> Options {
    let mut options = Options {
        workloads: vec![name.to_owned()],
        json: true,
        config: config(shards),
        ..Options::default()
    };
    match all().find(|workload| workload.name == name).expect("a workload of the suite").load {
        Load::Throughput { .. } => options.events = Some(30_001),
        Load::Latency { .. } => {
            (options.rate, options.warmup, options.duration) = (Some(20_000), Some(0.1), Some(0.3));
        }
    }
    options
}

/// Runs and gives the one line of JSON.
fn result(options: &Options) -> Value {
    let mut out = Vec::new();
    run(options, &mut out, &Interrupt::default()).expect("a right result");
    let text = String::from_utf8(out).expect("JSON is text");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("valid JSON")
}

#[test]
fn every_workload_gives_the_result_of_its_twin_with_any_number_of_shards() {
    for workload in all() {
        for shards in [1, 2, 3] {
            let value = result(&small(workload.name, shards));
            assert_eq!(value["correct"], true, "{value}");
            assert_eq!(value["checksum"], value["expected_checksum"]);
            assert_eq!(
                (&value["workload"], &value["shards"]),
                (&Value::from(workload.name), &Value::from(shards))
            );
            assert!(value["result_rows"].as_u64().unwrap() > 0, "{value}");
        }
    }
}

#[test]
fn a_latency_run_records_every_row_of_the_recorded_part_and_its_floor() {
    let value = result(&small("lat_tumble", 2));
    let samples = |part: &str| value[part]["samples"].as_u64().unwrap();
    // Windows of 10 ms at 20,000 events a second hold about 181 of the 1,000 keys; 0.3 s have 30 such windows.
    assert!((5_000..6_000).contains(&samples("latency_us")), "{value}");
    assert_eq!(samples("latency_us"), samples("floor_us"), "{value}");
    assert_eq!(value["offered_rate"], 20_000);
    assert!(value["achieved_rate"].as_u64().unwrap() > 10_000, "{value}");
}

#[test]
fn a_wrong_result_fails_the_run_but_is_still_printed() {
    let plan: Vec<Planned<'_>> = small("filter_map", 1).plan().unwrap();
    let (right, load) = plan[0];
    let wrong =
        pelton_bench::Workload { twin: |_| Ok(pelton_bench::Expected::default()), known: &[], ..*right };
    let mut out = Vec::new();
    let options = small("filter_map", 1);
    let error =
        pelton_bench::run_planned(&options, &[(&wrong, load)], &mut out, &Interrupt::default()).unwrap_err();
    assert!(matches!(&error, BenchError::Wrong { workloads } if workloads == &["filter_map"]), "{error}");
    assert_eq!(error.exit_code(), 1);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["correct"], false);
}

#[test]
fn an_interrupt_ends_a_long_run() {
    let interrupt = Interrupt::default();
    let raise = interrupt.clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        raise.raise();
    });
    let options = Options { events: Some(u64::MAX), ..small("tumble_count", 2) };
    let error = run(&options, &mut Vec::new(), &interrupt).unwrap_err();
    assert_eq!(error.exit_code(), 130);
}
