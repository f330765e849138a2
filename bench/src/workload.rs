//! Workloads as data: what each is, how much of it is run by default, and what its result must be.
//!
//! A workload knows how to prepare its job on the engine, and has a naive twin that computes the same result in
//! another way. The results for the counts that are run every day are written down here, so that checking those
//! is free; for any other count the twin runs after the measured part. Nothing runs unchecked.

use crate::checksum::Tally;
use crate::error::BenchError;
use crate::hist::Latencies;
use crate::jobs;
use crate::nexmark;
use crate::schedule::Schedule;
use crate::twin;
use std::collections::BTreeMap;

/// One thing to measure.
#[derive(Debug)]
pub struct Workload {
    /// What it is called on the command line and in results.
    pub name: &'static str,
    /// What its job does, in one line.
    pub about: &'static str,
    /// What is run unless told otherwise.
    pub load: Load,
    /// Whether the events are made inside the measured time.
    pub input: Input,
    /// Results known beforehand.
    pub known: &'static [Known],
    /// Builds the job for a load; what happens here is not measured.
    pub prepare: fn(&Load) -> Result<Prepared, BenchError>,
    /// The same result computed by a plain single-threaded program.
    pub twin: fn(&Load) -> Result<Expected, BenchError>,
}

/// How much, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// So many events, as fast as they go.
    Throughput {
        /// How many.
        events: u64,
    },
    /// Open loop: each event at its time, whatever the engine does.
    Latency {
        /// When each event is due.
        schedule: Schedule,
        /// The length of the windows whose results are timed.
        window_ms: u64,
    },
}

impl Load {
    /// How many events there are in all.
    pub fn events(&self) -> u64 {
        match self {
            Load::Throughput { events } => *events,
            Load::Latency { schedule, .. } => schedule.events(),
        }
    }
}

/// Where the events of a workload are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// In a source of the pipeline, inside the measured time.
    InPipeline,
    /// Before the clock starts, because making them takes longer than processing them.
    BeforeStart,
}

impl Input {
    /// How results name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Input::InPipeline => "generated in the pipeline",
            Input::BeforeStart => "generated before the clock starts",
        }
    }
}

/// A job that is ready to start.
pub struct Prepared {
    /// The job.
    pub job: pelton::Job,
    /// Reads what its sinks hold; called once, after the run.
    pub produced: Box<dyn FnOnce() -> Produced>,
}

/// What a run has produced.
#[derive(Clone, Debug, Default)]
pub struct Produced {
    /// Its rows and their checksum.
    pub tally: Tally,
    /// How long after its window's end each recorded row came; `None` unless it is a latency run.
    pub latencies: Option<Latencies>,
    /// How long after the schedule's start the last event was emitted, in ns; `None` unless it is a latency run.
    pub emitted_ns: Option<u64>,
}

impl Produced {
    /// What a throughput run has produced.
    pub fn tally(tally: Tally) -> Produced {
        Produced { tally, ..Produced::default() }
    }
}

/// What a run must produce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its rows and their checksum.
    pub tally: Tally,
    /// For a latency run: how many rows the windows with each end (ms) have.
    pub rows_by_end_ms: BTreeMap<u64, u64>,
}

/// A result that needs no computing.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// For this many events…
    pub events: u64,
    /// …this many rows…
    pub rows: u64,
    /// …with this checksum.
    pub checksum: u64,
}

impl Workload {
    /// What a run with this load must produce, if that is written down.
    pub fn known(&self, load: &Load) -> Option<Expected> {
        match load {
            Load::Throughput { events } => {
                let known = self.known.iter().find(|known| known.events == *events)?;
                let tally = Tally { rows: known.rows, checksum: known.checksum };
                Some(Expected { tally, rows_by_end_ms: BTreeMap::new() })
            }
            // The weights of the floor are needed as well, and only the twin has them.
            Load::Latency { .. } => None,
        }
    }
}

/// All workloads, in the order of the default suite.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    CORE.iter().chain(nexmark::WORKLOADS.iter())
}

const fn known(events: u64, rows: u64, checksum: u64) -> Known {
    Known { events, rows, checksum }
}

fn tally(tally: Tally) -> Result<Expected, BenchError> {
    Ok(Expected { tally, rows_by_end_ms: BTreeMap::new() })
}

/// The workloads that are defined alike in every engine Pelton is compared with.
static CORE: [Workload; 5] = [
    Workload {
        name: "tumble_count",
        about: "count and sum of prices per auction (100,000) in tumbling windows of 1 s",
        load: Load::Throughput { events: 100_000_000 },
        input: Input::InPipeline,
        known: &[
            known(20_000_000, 1_999_924, 0xe3a4_b47b_11cf_6acf),
            known(40_000_000, 3_999_840, 0x7b6c_aa42_332f_871a),
            known(100_000_000, 9_999_549, 0x3466_1301_2eaa_066a),
        ],
        prepare: jobs::tumble_count::prepare,
        twin: |load| tally(twin::tumble_count::tumble_count(load.events())),
    },
    Workload {
        name: "hop_max",
        about: "count per auction in windows of 10 s every 2 s, then the largest count of each window",
        load: Load::Throughput { events: 20_000_000 },
        input: Input::InPipeline,
        known: &[known(20_000_000, 14, 0xef25_0804_e8c2_de2c)],
        prepare: jobs::hop_max::prepare,
        twin: |load| tally(twin::hop_max::hop_max(load.events())),
    },
    Workload {
        name: "filter_map",
        about: "keep every 123rd auction and convert its prices; no state",
        load: Load::Throughput { events: 100_000_000 },
        input: Input::InPipeline,
        known: &[known(100_000_000, 813_398, 0x79d3_8302_27db_bbcb)],
        prepare: jobs::filter_map::prepare,
        twin: |load| tally(twin::filter_map::filter_map(load.events())),
    },
    Workload {
        name: "window_join",
        about: "pairs of bids on even and on odd auctions per user (100,000) in tumbling windows of 1 s",
        load: Load::Throughput { events: 40_000_000 },
        input: Input::InPipeline,
        known: &[known(40_000_000, 3_946_211, 0xa397_70cd_d70d_f43b)],
        prepare: jobs::window_join::prepare,
        twin: |load| tally(twin::window_join::window_join(load.events())),
    },
    Workload {
        name: "lat_tumble",
        about: "open loop at a fixed rate; count and sum per key (1,000) in tumbling windows of 10 ms",
        load: Load::Latency {
            schedule: Schedule { rate: 100_000, warmup_ms: 15_000, duration_ms: 30_000 },
            window_ms: 10,
        },
        input: Input::InPipeline,
        known: &[],
        prepare: jobs::lat_tumble::prepare,
        twin: |load| match load {
            Load::Latency { schedule, window_ms } => {
                let (tally, rows_by_end_ms) = twin::lat_tumble::lat_tumble(schedule, *window_ms);
                Ok(Expected { tally, rows_by_end_ms })
            }
            Load::Throughput { .. } => unreachable!("a latency workload keeps its kind of load"),
        },
    },
];
