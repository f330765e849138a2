//! The process that kills: starts the job, feeds it, ends it at a random moment, and does so again and again.
//!
//! A run of the child is one of these:
//!
//! ```text
//!  killed     kill -9 at a random moment, one time in four while it is still starting
//!  stopped    told to stop in the middle of the input
//!  starved    the disk's flushes fail from a random moment on: it must end by itself, with an error (with `--faults`)
//!  the last   the input ends; killed up to twice on the way, then left to end well
//! ```
//!
//! The parent keeps what it sent until it is acknowledged, sends it again after each death under the same numbers, and checks at each start
//! that the engine still has everything that it acknowledged. What the files hold is judged at the end, by `verify`.

use super::faults::FaultyDisk;
use super::feeder::{Feeder, Until};
use super::plan::{CrashPlan, Draw};
use super::protocol::{Word, read_word};
use super::report::Report;
use super::verify::{Shown, verify};
use super::{CrashOptions, Mode};
use pelton_bench::Latencies;
use pelton_cli::exit::Interrupted;
use pelton_cli::{Interrupt, Progress};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A child that is not ready, or does not end, by then is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// The shortest and the longest time for which a child is fed, in milliseconds.
const FED_MS: (u64, u64) = (20, 700);
/// The longest time from a start to a kill that is to strike while it starts, in milliseconds.
const STARTING_MS: u64 = 60;
/// One run in so many is killed early.
const EARLY_EVERY: u64 = 4;
/// One of the other runs in so many is stopped in order.
const STOP_EVERY: u64 = 10;
/// One of the other runs in so many is starved, if there are to be faults.
const STARVE_EVERY: u64 = 4;
/// One run in so many begins with a number of shards that is drawn anew.
const RESCALE_EVERY: u64 = 5;
/// The most kills after the input has ended.
const KILLS_AT_END: u64 = 2;
/// The longest time from a start to such a kill, in milliseconds.
const END_MS: u64 = 200;
/// Sizes of the log's segments: the smallest that a configuration may ask for, so that many are begun.
const SEGMENTS: [u64; 3] = [4 << 20, 8 << 20, 16 << 20];
/// Lines of the child's own messages that are told with a problem.
const TAIL: usize = 8;
const SIGKILL: i32 = 9;
/// How a start says that something of a log or snapshot is missing, or not what it was.
const REFUSALS: [&str; 2] = ["damaged log segment", "the log segment is not there"];

/// How long nothing is said before it is looked whether there was a Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait for a word now, when `due` is the longest.
fn next_look(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now()).min(LOOK)
}

/// How a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Killed so long after its start.
    KilledEarly(Duration),
    /// Killed so long after it was ready.
    Killed(Duration),
    /// Stopped so long after it was ready.
    Stopped(Duration),
    /// Without flushes from so long after it was ready.
    Starved(Duration),
    /// Everything is sent, and the input ends; then killed so long after it was ready, or not.
    Last(Option<Duration>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Itself,
    /// It was waited for in vain.
    Stuck(&'static str),
}

/// What the child has said, over all of its runs.
struct Ledger {
    /// The last acknowledged number of each producer.
    acknowledged: Vec<u64>,
    checkpoints: u64,
    /// Whether it ended well.
    ended: bool,
}

impl Ledger {
    fn hear(&mut self, word: Word) {
        match word {
            Word::Acknowledged { producer, last } => {
                let acknowledged = &mut self.acknowledged[producer as usize];
                *acknowledged = last.max(*acknowledged);
            }
            Word::Checkpoint { .. } => self.checkpoints += 1,
            Word::Ended => self.ended = true,
            Word::Known { .. } | Word::Ready => {}
        }
    }
}

/// The cycles for one mode.
pub struct Crash<'a> {
    options: &'a CrashOptions,
    mode: Mode,
    directory: PathBuf,
    draw: Draw,
    plan: CrashPlan,
    ledger: Ledger,
    /// The first unit of which not everything is acknowledged.
    first_open: usize,
    shards: u64,
    segment: u64,
    shown: [Shown; 2],
    starts: Latencies,
    report: Report,
    faulty: Option<FaultyDisk>,
    /// The device has lost writes that the mode does not promise to withstand, and no start has read what is left.
    may_refuse: bool,
    /// Which refusals are counted as such: any that names something of the job's, or those of a disk that lost writes.
    any_refusal: bool,
}

/// Runs the cycles for one mode. Problems are part of the report; an error is the test's own.
pub fn crash(
    options: &CrashOptions,
    mode: Mode,
    seed: u64,
    directory: &Path,
    interrupt: &Interrupt,
) -> Result<Report, Box<dyn Error>> {
    let began = Instant::now();
    let mut crash = Crash::new(options, mode, seed, directory)?;
    let progress = Progress::new(format!("crash test, {}", mode.name()));
    progress.phase("", options.cycles + 1);
    let is_late = || options.seconds_max.is_some_and(|most| began.elapsed().as_secs() >= most);
    for cycle in 0..options.cycles {
        if is_late() {
            break;
        }
        progress.at(cycle, crash.report.so_far());
        let fate = crash.fate();
        crash.live(fate, interrupt)?;
    }
    for _ in 0..crash.draw.below(KILLS_AT_END + 1) {
        let after = Duration::from_millis(crash.draw.below(END_MS));
        crash.live(Fate::Last(Some(after)), interrupt)?;
    }
    progress.at(options.cycles, "the last run");
    crash.live(Fate::Last(None), interrupt)?;
    progress.at(options.cycles, "checking every row");
    crash.judge()?;
    drop(progress);
    Ok(crash.into_report(began))
}

impl<'a> Crash<'a> {
    pub fn new(
        options: &'a CrashOptions,
        mode: Mode,
        seed: u64,
        directory: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let directory = directory.join(mode.name());
        fs::create_dir_all(&directory)?;
        let mut draw = Draw::new(seed, mode.name());
        let segment = SEGMENTS[draw.below(SEGMENTS.len() as u64) as usize];
        let out = directory.join("out");
        let faulty = options.faults.then(|| FaultyDisk::new(&directory)).transpose()?;
        Ok(Crash {
            options,
            mode,
            draw,
            plan: CrashPlan::new(seed, options.producers),
            ledger: Ledger {
                acknowledged: vec![0; options.producers as usize],
                checkpoints: 0,
                ended: false,
            },
            first_open: 0,
            shards: 2.min(options.shards_max),
            segment,
            shown: ["records", "windows"].map(|sink| Shown::new(out.join(sink))),
            starts: Latencies::default(),
            report: Report::new(mode, &options.driver, seed),
            faulty,
            may_refuse: false,
            any_refusal: false,
            directory,
        })
    }

    fn fate(&mut self) -> Fate {
        let (shortest, longest) = FED_MS;
        let fed = Duration::from_millis(shortest + self.draw.below(longest - shortest));
        if self.draw.once_in(EARLY_EVERY) {
            Fate::KilledEarly(Duration::from_micros(self.draw.below(STARTING_MS * 1_000)))
        } else if self.draw.once_in(STOP_EVERY) {
            Fate::Stopped(fed)
        } else if self.faulty.is_some() && self.draw.once_in(STARVE_EVERY) {
            Fate::Starved(fed)
        } else {
            Fate::Killed(fed)
        }
    }

    /// One run of the child. Nothing happens once there is a problem: what it left is the evidence. Nor once a start has been refused.
    pub fn live(&mut self, fate: Fate, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
        if !self.report.problems.is_empty() || self.report.refused.is_some() {
            return Ok(());
        }
        if interrupt.is_raised() {
            return Err(Box::new(Interrupted));
        }
        self.report.cycles += 1;
        if self.draw.once_in(RESCALE_EVERY) {
            let shards = 1 + self.draw.below(self.options.shards_max);
            self.report.rescales += u64::from(shards != self.shards && self.report.cycles > 1);
            self.shards = shards;
        }
        self.ledger.ended = false;
        let started = Instant::now();
        let mut child = self.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for")
        };
        let words = listen(output);
        let end = self.attend(&mut child, input, &words, fate, started, interrupt);
        // Whatever happened: nobody stays behind, and what it said to the last counts.
        let _ = child.kill();
        let status = child.wait()?;
        if interrupt.is_raised() {
            // Whatever the child did, it was not left to its fate.
            return Err(Box::new(Interrupted));
        }
        words.iter().for_each(|word| self.ledger.hear(word));
        self.shown.iter_mut().try_for_each(Shown::look)?;
        let units = self.plan.units();
        let open = |unit: &super::plan::Unit| unit.last() > self.ledger.acknowledged[unit.producer as usize];
        self.first_open = (self.first_open..units.len()).find(|at| open(&units[*at])).unwrap_or(units.len());
        self.judge_end(end, status, fate);
        match &self.faulty {
            Some(disk) if matches!(fate, Fate::Starved(_)) && self.report.problems.is_empty() => {
                // With `process` the log's files are written and not flushed. What is missing must be missed, and never passed over.
                self.may_refuse = self.mode == Mode::Process;
                disk.mend()
            }
            _ => Ok(()),
        }
    }

    fn spawn(&mut self) -> Result<Child, Box<dyn Error>> {
        let mut log = OpenOptions::new().create(true).append(true).open(self.log())?;
        writeln!(log, "-- run {}, {} shards", self.report.cycles, self.shards)?;
        let seed = self.draw.any();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["selftest", "crash-child"]);
        for (flag, value) in [
            ("--data", self.data().display().to_string()),
            ("--out", self.directory.join("out").display().to_string()),
            ("--durability", self.mode.name().to_owned()),
            ("--driver", self.options.driver.clone()),
            ("--shards", self.shards.to_string()),
            ("--segment", self.segment.to_string()),
            ("--partitions", self.options.partitions.to_string()),
            ("--producers", self.options.producers.to_string()),
            ("--seed", seed.to_string()),
        ] {
            command.arg(flag).arg(value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log));
        // Ctrl-C goes to everybody in the terminal's foreground group. It is meant for this process, which ends the child.
        command.process_group(0);
        Ok(command.spawn()?)
    }

    /// The job's data directory. What the sinks write is elsewhere: mending a disk takes from it what was not flushed.
    pub fn data(&self) -> PathBuf {
        self.faulty.as_ref().map_or(self.directory.clone(), FaultyDisk::path).join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("child.log")
    }

    /// Feeds the child until its fate is due, and brings that about.
    fn attend(
        &mut self,
        child: &mut Child,
        input: ChildStdin,
        words: &Receiver<Word>,
        fate: Fate,
        started: Instant,
        interrupt: &Interrupt,
    ) -> End {
        let early = match fate {
            Fate::KilledEarly(after) => Some(started + after),
            Fate::Killed(_) | Fate::Stopped(_) | Fate::Starved(_) | Fate::Last(_) => None,
        };
        match self.wait_until_ready(words, early.unwrap_or(started + STUCK), interrupt) {
            Err(End::Stuck(_)) if early.is_some() => {
                self.report.kills_during_start += 1;
                return End::Killed;
            }
            Err(end) => return end,
            Ok(()) => {
                self.may_refuse = false;
                self.starts.record(started.elapsed().as_nanos() as u64);
            }
        }
        if !self.report.problems.is_empty() {
            return End::Killed;
        }
        let now = Instant::now();
        let (until, due, kills) = match fate {
            Fate::KilledEarly(_) => (Until::Killed, early.unwrap_or(now), true),
            Fate::Killed(after) => (Until::Killed, now + after, true),
            Fate::Stopped(after) => (Until::Stop(now + after), now + after + STUCK, false),
            Fate::Starved(after) => (Until::Killed, now + after, false),
            Fate::Last(Some(after)) => (Until::End, now + after, true),
            Fate::Last(None) => (Until::End, now + STUCK, false),
        };
        let over = AtomicBool::new(false);
        let (from, rate) = (self.first_open, self.options.load);
        let (plan, ledger) = (&mut self.plan, &mut self.ledger);
        let mut starve = self.faulty.as_ref().filter(|_| matches!(fate, Fate::Starved(_)));
        let mut due = due;
        let feeder = Feeder { plan, rate, over: &over };
        let (end, resent) = thread::scope(|scope| {
            let feeding = scope.spawn(|| feeder.feed(input, from, until));
            let end = loop {
                match words.recv_timeout(next_look(due)) {
                    Ok(word) => ledger.hear(word),
                    Err(RecvTimeoutError::Disconnected) => break End::Itself,
                    Err(RecvTimeoutError::Timeout) if interrupt.is_raised() => break End::Killed,
                    Err(RecvTimeoutError::Timeout) if Instant::now() < due => {}
                    Err(RecvTimeoutError::Timeout) if kills => break End::Killed,
                    Err(RecvTimeoutError::Timeout)
                        if starve.take().is_some_and(|disk| disk.fail().is_ok()) =>
                    {
                        due = Instant::now() + STUCK;
                    }
                    Err(RecvTimeoutError::Timeout) => break End::Stuck("to end"),
                }
            };
            if end != End::Itself {
                let _ = child.kill();
            }
            over.store(true, Ordering::Relaxed);
            (end, feeding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.report.resent += resent;
        end.or_wait_for(child)
    }

    /// Waits until the child has recovered, and checks that it has what it acknowledged.
    fn wait_until_ready(
        &mut self,
        words: &Receiver<Word>,
        by: Instant,
        interrupt: &Interrupt,
    ) -> Result<(), End> {
        loop {
            match words.recv_timeout(next_look(by)) {
                Ok(Word::Ready) => return Ok(()),
                Ok(Word::Known { producer, last }) => self.judge_known(producer, last),
                Ok(word) => self.ledger.hear(word),
                Err(RecvTimeoutError::Disconnected) => return Err(End::Itself),
                Err(RecvTimeoutError::Timeout) if interrupt.is_raised() => return Err(End::Killed),
                Err(RecvTimeoutError::Timeout) if Instant::now() < by => {}
                Err(RecvTimeoutError::Timeout) => return Err(End::Stuck("to be ready")),
            }
        }
    }

    /// A start says what the engine has of a producer.
    fn judge_known(&mut self, producer: u32, known: u64) {
        let (acknowledged, sent) =
            (self.ledger.acknowledged[producer as usize], self.plan.last()[producer as usize]);
        let run = self.report.cycles;
        if known < acknowledged {
            self.report.problems.push(format!(
                "run {run}: LOST: of producer {producer} records through {acknowledged} were acknowledged, and the engine has {known}"
            ));
        }
        if known > sent {
            self.report.problems.push(format!(
                "run {run}: of producer {producer} records through {sent} were sent, and the engine has {known}"
            ));
        }
    }

    fn judge_end(&mut self, end: End, status: ExitStatus, fate: Fate) {
        let run = self.report.cycles;
        let killed = status.signal() == Some(SIGKILL);
        let well = status.success() && self.ledger.ended;
        let problem = match (end, fate) {
            (End::Killed, _) if killed => {
                self.report.kills += 1;
                return;
            }
            (_, Fate::Stopped(_) | Fate::Last(_)) if well => {
                self.report.stops += u64::from(matches!(fate, Fate::Stopped(_)));
                if fate == Fate::Last(None) && self.first_open < self.plan.units().len() {
                    self.report.problems.push(format!(
                        "run {run}: the job ended well, and not everything that was sent is acknowledged"
                    ));
                }
                return;
            }
            (End::Itself, Fate::Starved(_)) if status.code() == Some(1) && !self.ledger.ended => {
                self.report.starved += 1;
                return;
            }
            (End::Stuck(what), _) => format!("waited {} s in vain for the child {what}", STUCK.as_secs()),
            (End::Killed | End::Itself, _) => format!("the child ended by itself, with {status}"),
        };
        let tail = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = tail.lines().collect();
        let (data, out) =
            (self.data().display().to_string(), self.directory.join("out").display().to_string());
        let names =
            |line: &str| line.contains(&data) || line.contains(&out) || line.contains("/dev/shm/pelton-");
        let refusal = lines.last().filter(|line| {
            REFUSALS.iter().any(|words| line.contains(words)) || self.any_refusal && names(line)
        });
        if let Some(refusal) = refusal.filter(|_| {
            self.may_refuse && end == End::Itself && status.code() == Some(1) && !self.ledger.ended
        }) {
            self.report.refused = Some((*refusal).to_owned());
            return;
        }
        let tail = lines[lines.len().saturating_sub(TAIL)..].join(" | ");
        self.report.problems.push(format!("run {run}, {fate:?}: {problem}; it said: {tail}"));
    }

    /// The next start may be refused: something was done to the data.
    pub fn may_refuse(&mut self) {
        (self.may_refuse, self.any_refusal) = (true, true);
    }

    /// What a start said that was refused, and what was wrong.
    pub fn outcome(self) -> (Option<String>, Vec<String>) {
        (self.report.refused, self.report.problems)
    }

    /// All is over: what do the files hold?
    pub fn judge(&mut self) -> Result<(), Box<dyn Error>> {
        let problems = &mut self.report.problems;
        if !problems.is_empty() {
            return Ok(());
        }
        self.shown.iter().try_for_each(|shown| shown.verify(problems))?;
        if self.report.refused.is_some() {
            // Not all of it has come; what once stood there stands there.
            return Ok(());
        }
        let found = verify(&self.directory.join("out"), &self.plan, problems)?;
        (self.report.rows, self.report.windows) = (found.records, found.windows);
        Ok(())
    }

    fn into_report(self, began: Instant) -> Report {
        let Crash { mut report, plan, ledger, starts, directory, .. } = self;
        report.records = plan.last().iter().sum();
        report.transactions = plan.units().iter().filter(|unit| unit.count > 1).count() as u64;
        report.aborted = plan.units().iter().filter(|unit| unit.aborted > 0).count() as u64;
        report.acknowledged = ledger.acknowledged.iter().sum();
        report.checkpoints = ledger.checkpoints;
        report.start_ms = starts.percentiles().into();
        report.seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        report.correct = report.problems.is_empty();
        report.evidence = (!report.correct).then_some(directory);
        report
    }
}

impl End {
    /// A child that ends by itself is given the time to.
    fn or_wait_for(self, child: &mut Child) -> End {
        let by = Instant::now() + STUCK;
        while self == End::Itself && matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > by {
                return End::Stuck("to be gone");
            }
            thread::sleep(Duration::from_millis(1));
        }
        self
    }
}

/// What the child says, as it says it; the channel closes when the child is gone.
fn listen(output: ChildStdout) -> Receiver<Word> {
    let (say, words) = channel();
    thread::spawn(move || {
        let mut input = BufReader::new(output);
        while let Ok(Some(word)) = read_word(&mut input) {
            if say.send(word).is_err() {
                break;
            }
        }
    });
    words
}
