//! A job that takes numbers from an inlet and writes them to files, and the directories that it uses.

use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sources::{Inlet, Producer, inlet};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// The directories.
pub struct Place {
    scratch: Scratch,
    durability: Durability,
}

/// The job at work.
pub struct Run {
    running: pelton::Running,
    producer: Producer<u64>,
    // Open until the job has ended: a later run goes on with it.
    _numbers: Inlet<u64>,
}

impl Place {
    pub fn new(name: &str, durability: Durability) -> Self {
        Place { scratch: Scratch::new(name), durability }
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    pub fn out(&self) -> PathBuf {
        self.scratch.path().join("out")
    }

    pub fn within(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn config(&self) -> Config {
        config(&self.data(), self.durability, 2)
    }

    pub fn start(&self, config: &Config) -> Result<Run, pelton::JobError> {
        self.start_to(config, &self.out())
    }

    pub fn start_to(&self, config: &Config, out: &Path) -> Result<Run, pelton::JobError> {
        let (numbers, source) = inlet::<u64>(100_000);
        let job = Job::new("numbers")
            .source(source)
            .rebalance()
            .map(|n: u64| n)
            .sink(pelton::sinks::file_ndjson(out));
        let running = job.start_with(config)?;
        let producer = numbers.producer_within("a", LONG).unwrap();
        Ok(Run { running, producer, _numbers: numbers })
    }

    /// The refusal of a start.
    pub fn refused(&self, config: &Config) -> String {
        match self.start(config) {
            Ok(_) => panic!("it started"),
            Err(error) => error.to_string(),
        }
    }

    /// The rows of all parts, in order.
    pub fn rows(&self) -> Vec<u64> {
        let files = content(&self.out());
        let parts =
            files.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "ndjson"));
        let mut rows: Vec<u64> = parts
            .flat_map(|(_, bytes)| {
                String::from_utf8_lossy(bytes)
                    .lines()
                    .filter_map(|line| line.parse().ok())
                    .collect::<Vec<u64>>()
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    /// Waits until each number through `last` stands in the files, once.
    pub fn shows(&self, last: u64) {
        let wanted: Vec<u64> = (1..=last).collect();
        let began = Instant::now();
        while self.rows() != wanted {
            let rows = self.rows();
            let odd = rows.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
            assert!(began.elapsed() < LONG, "{} rows of {last}, odd (found, wanted): {odd:?}", rows.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A plain start has everything through `acknowledged`, and goes on to `last`.
    pub fn goes_on(&self, config: &Config, acknowledged: u64, last: u64) {
        let mut run = self.start(config).unwrap_or_else(|error| panic!("{error}"));
        let known = run.known();
        assert!(
            (acknowledged..=last).contains(&known),
            "{acknowledged} were acknowledged, and {known} are there"
        );
        run.send(last);
        self.shows(last);
        run.stop();
    }
}

impl Run {
    /// The last number that the job has.
    pub fn known(&self) -> u64 {
        self.producer.next_sequence().unwrap() - 1
    }

    /// Sends numbers up to `last`, and waits until they are acknowledged.
    pub fn send(&mut self, last: u64) {
        for n in self.known() + 1..=last {
            self.producer.send_numbered(n, n).unwrap();
        }
        self.producer.wait_acknowledged(last, LONG).unwrap();
    }

    pub fn checkpoint(&self, name: Option<&str>) {
        self.running.checkpoint(name).unwrap();
    }

    pub fn suspend(self) {
        self.running.stop(Stop::Suspend);
        self.running.wait().unwrap();
    }

    /// As a kill would, as far as what is kept goes.
    pub fn stop(self) {
        self.running.stop(Stop::Now);
        self.running.wait().unwrap();
    }
}

/// All files below a directory with what is in them.
pub fn content(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(content(&entry.path())),
            false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files
}

/// Makes a directory what it was.
pub fn put_back(path: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path).unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
