//! The result of one run: the line printed by `--json`, and the curves that the report draws.

use crate::floor::ClockGaps;
use crate::flush::Flush;
use crate::hist::{Latencies, Percentiles};
use crate::machine::Machine;
use serde::{Serialize, Serializer};

/// One run of one workload. Serialised as one JSON object; the order of fields is that of the output.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// The workload's name.
    pub workload: &'static str,
    /// Events that went in.
    pub events: u64,
    /// From the start of the job until its end.
    pub seconds: f64,
    /// Events over seconds.
    pub events_per_sec: u64,
    /// Rows that came out.
    pub result_rows: u64,
    /// Their checksum.
    #[serde(serialize_with = "hex")]
    pub checksum: u64,
    /// Rows that should have come out.
    pub expected_rows: u64,
    /// The checksum they should have.
    #[serde(serialize_with = "hex")]
    pub expected_checksum: u64,
    /// Whether both are as expected.
    pub correct: bool,
    /// How many cores the engine ran on.
    pub cores: usize,
    /// Which ones.
    pub core_ids: Vec<usize>,
    /// How many shards it had.
    pub shards: usize,
    /// What drove the cores.
    pub driver: String,
    /// What its job outlived.
    pub durability: String,
    /// Where the events were made.
    pub input: &'static str,
    /// Version of the engine.
    pub version: &'static str,
    /// What only latency runs have.
    #[serde(flatten)]
    pub open_loop: Option<OpenLoop>,
    /// What only runs have that flush.
    #[serde(flatten)]
    pub flush: Option<Flush>,
    /// What it ran on.
    pub machine: Machine,
    /// Events per second over time.
    #[serde(skip)]
    pub throughput: Vec<Sample>,
}

/// What a latency run adds.
#[derive(Clone, Debug, Serialize)]
pub struct OpenLoop {
    /// Events per second that the schedule asked for.
    pub offered_rate: u64,
    /// Events per second that were emitted; lower than offered if the engine could not keep up.
    pub achieved_rate: u64,
    /// Seconds before recording.
    pub warmup_seconds: f64,
    /// Seconds recorded.
    pub duration_seconds: f64,
    /// Length of the windows.
    pub window_ms: u64,
    /// How long after its window's end each row came.
    pub latency_us: Percentiles,
    /// The same for an engine that takes no time on this machine, measured in the same run.
    pub floor_us: Percentiles,
    /// What the machine took from spinning threads while the floor was measured.
    pub clock_gaps: ClockGaps,
    /// The whole distribution of latencies.
    #[serde(skip)]
    pub latencies: Latencies,
    /// The whole distribution of the floor.
    #[serde(skip)]
    pub floor: Latencies,
}

/// The speed between one moment and the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds since the start of the job.
    pub at: f64,
    /// Events per second since the sample before.
    pub events_per_sec: f64,
}

impl RunResult {
    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a result has only string keys")
    }
}

/// Checksums are 64 bits, more than a JSON number carries safely.
fn hex<S: Serializer>(checksum: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{checksum:016x}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::floor::Floor;

    /// A made-up result, with a latency part if asked for.
    pub(crate) fn example(open_loop: bool) -> RunResult {
        let (mut latencies, mut floor) = (Latencies::default(), Latencies::default());
        for i in 1..100_000u64 {
            latencies.record(i * i / 1_000 + 9_000);
            floor.record(i * i / 1_100 + 100);
        }
        RunResult {
            workload: if open_loop { "lat_tumble" } else { "tumble_count" },
            events: 1_000,
            seconds: 0.5,
            events_per_sec: 2_000,
            result_rows: 10,
            checksum: 0xabc,
            expected_rows: 10,
            expected_checksum: 0xabc,
            correct: true,
            cores: 2,
            core_ids: vec![0, 1],
            shards: 2,
            driver: "glommio".to_owned(),
            durability: "none".to_owned(),
            input: "generated in the pipeline",
            version: "0.1.0",
            open_loop: open_loop.then(|| OpenLoop {
                offered_rate: 100_000,
                achieved_rate: 99_999,
                warmup_seconds: 1.0,
                duration_seconds: 2.0,
                window_ms: 10,
                latency_us: latencies.percentiles(),
                floor_us: floor.percentiles(),
                clock_gaps: Floor::default().gaps(),
                latencies,
                floor,
            }),
            flush: None,
            machine: Machine::describe(),
            throughput: (1..50)
                .map(|i| Sample { at: f64::from(i) * 0.05, events_per_sec: 4e7 + 1e6 * f64::from(i % 7) })
                .collect(),
        }
    }

    #[test]
    fn a_throughput_line_has_every_promised_field() {
        let line = example(false).json();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        for field in ["workload", "events", "seconds", "events_per_sec", "result_rows", "checksum"] {
            assert!(!value[field].is_null(), "{field}");
        }
        for field in ["cores", "shards", "version"] {
            assert!(!value[field].is_null(), "{field}");
        }
        assert_eq!(value["checksum"], "0000000000000abc");
        assert!(value.get("latency_us").is_none());
    }

    #[test]
    fn a_latency_line_has_percentiles_of_the_engine_and_of_the_floor() {
        let value: serde_json::Value = serde_json::from_str(&example(true).json()).unwrap();
        assert_eq!(value["offered_rate"], 100_000);
        assert_eq!(value["achieved_rate"], 99_999);
        for part in ["latency_us", "floor_us"] {
            for field in ["p50", "p90", "p99", "p999", "p9999", "max"] {
                assert!(value[part][field].as_f64().unwrap() > 0.0, "{part}.{field}");
            }
        }
    }
}
