//! The naive twins against results computed elsewhere: by other engines and by hand-written programs, in other
//! languages too. If a twin were wrong, every check of a run would be.

use pelton_bench::{Load, Schedule, all};

/// Workload, events, rows, checksum.
const SMALL: [(&str, u64, u64, u64); 9] = [
    ("tumble_count", 1, 1, 0x4b09_004a_5305_fee0),
    ("tumble_count", 1_000, 994, 0xfdcd_17f7_6ae9_d74c),
    ("tumble_count", 2_500_000, 299_303, 0x3bad_897c_b98f_4c57),
    ("hop_max", 1, 5, 0x1e9e_0af6_7c71_f817),
    ("hop_max", 1_000, 5, 0x0a13_4ba1_3c44_86d9),
    ("filter_map", 1, 0, 0),
    ("filter_map", 1_000, 5, 0x2861_ca59_90c7_13fa),
    ("filter_map", 2_500_000, 20_415, 0xf9b8_a66c_b967_559e),
    ("hop_max", 2_500_000, 6, 0x4688_d798_e324_8107),
];

/// Events per second, seconds, rows, checksum.
const OPEN_LOOP: [(u64, u64, u64, u64); 3] = [
    (1_000, 3, 2_987, 0x6b5d_c903_0371_b2f9),
    (100_000, 3, 189_621, 0xe407_1d6d_62fd_f594),
    (100_000, 45, 2_845_874, 0x3097_2e13_e064_2e60),
];

fn workload(name: &str) -> &'static pelton_bench::Workload {
    all().find(|workload| workload.name == name).expect("a workload of the suite")
}

fn check(name: &str, events: u64, rows: u64, checksum: u64) {
    let expected = (workload(name).twin)(&Load::Throughput { events }).expect("a twin");
    assert_eq!((expected.tally.rows, expected.tally.checksum), (rows, checksum), "{name}, {events} events");
}

#[test]
fn twins_compute_what_others_have_computed() {
    for (name, events, rows, checksum) in SMALL {
        check(name, events, rows, checksum);
    }
}

#[test]
fn the_open_loop_twin_computes_what_others_have_computed_at_any_rate() {
    let load = workload("lat_tumble").load;
    let Load::Latency { window_ms, .. } = load else { panic!("lat_tumble is a latency workload") };
    for (rate, seconds, rows, checksum) in OPEN_LOOP {
        let schedule = Schedule { rate, warmup_ms: 0, duration_ms: seconds * 1_000 };
        let expected = (workload("lat_tumble").twin)(&Load::Latency { schedule, window_ms }).expect("a twin");
        assert_eq!(
            (expected.tally.rows, expected.tally.checksum),
            (rows, checksum),
            "{rate}/s for {seconds} s"
        );
        assert_eq!(expected.rows_by_end_ms.values().sum::<u64>(), rows);
        assert_eq!(expected.rows_by_end_ms.len() as u64, seconds * 1_000 / window_ms);
    }
}

/// The counts run every day are looked up, not computed: here the twins compute them once.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn the_known_results_are_what_the_twins_compute() {
    for workload in all() {
        for known in workload.known.iter().filter(|known| known.events <= 20_000_000) {
            check(workload.name, known.events, known.rows, known.checksum);
        }
    }
}
