//! The process that is killed: an ordinary job with durability.
//!
//! ```text
//!  standard input -> producers -> inlets -+-> records/part-0000.csv    producer,sequence,value
//!                                         +-> key, window -> windows/part-0000.csv    end_ms,key,count,sum
//! ```
//!
//! It takes orders, sends what it is told to send, and says what is acknowledged. Meanwhile another thread has checkpoints made, one
//! after the other with random pauses. Told to stop, it suspends the job or stops it at once, whatever its seed says; a signal suspends it. It knows
//! nothing of the test's expectations.

use super::plan::{Draw, WINDOW_MS, disorder_ms};
use super::protocol::{Order, Sent, Word, read_order, write_word};
use pelton::config::Config;
use pelton::core::record::schema::Schema;
use pelton::prelude::*;
use pelton::sinks::file_with;
use pelton::sources::{
    FailureOfJob, Inlet, InletError, InletPartition, InletSource, Producer, Source, inlet,
};
use pelton::{Outcome, Running, Stop};
use std::error::Error;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Records that wait in an inlet.
const CAPACITY: usize = 4_096;
/// How long the engine may take to be where it was.
const RECOVERY_MAX: Duration = Duration::from_secs(120);
/// How long the last acknowledgement may take.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(60);
/// How often acknowledgements are looked at, at the least.
const LOOK: Duration = Duration::from_millis(1);
/// Orders that are carried out between two looks.
const ORDERS_MAX: usize = 256;
/// The longest pause between two checkpoints, in milliseconds: short, since kills and checkpoints are to meet.
const PAUSE_MS: u64 = 40;
/// Orders that wait between the reading and the sending thread.
const ORDERS_WAITING: usize = 1_024;

/// What the child is told on its command line.
#[derive(clap::Args)]
pub struct ServeCommand {
    /// The job's data directory.
    #[arg(long)]
    data: PathBuf,
    /// Where the sinks write.
    #[arg(long)]
    out: PathBuf,
    /// What the job is safe from.
    #[arg(long)]
    durability: String,
    /// The driver.
    #[arg(long)]
    driver: String,
    /// Shards.
    #[arg(long)]
    shards: usize,
    /// Bytes of a segment of the log.
    #[arg(long)]
    segment: u64,
    /// Partitions of the source.
    #[arg(long)]
    partitions: usize,
    /// Producers.
    #[arg(long)]
    producers: u32,
    /// Where the pauses between checkpoints come from.
    #[arg(long)]
    seed: u64,
}

/// Several inlets as one source with a partition for each.
#[derive(Clone)]
struct Inlets(Vec<InletSource<Sent>>);

impl Source for Inlets {
    type Item = Sent;
    type Partition = InletPartition<Sent>;

    fn partitions(&self, _: usize) -> usize {
        self.0.len()
    }

    fn open(&self, index: usize, _: usize) -> InletPartition<Sent> {
        self.0[index].open(0, 1)
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.0.iter().for_each(|inlet| inlet.attach(wake.clone()));
    }

    fn schema(&self) -> Option<&'static Schema> {
        self.0.first().and_then(Source::schema)
    }

    fn attach_failure(&self, failure: FailureOfJob) {
        self.0.iter().for_each(|inlet| inlet.attach_failure(failure.clone()));
    }
}

/// The job under test.
fn job(source: Inlets, disorder_ms: u64, out: &Path) -> Job {
    let job = Job::new("selftest-crash");
    let stream = job.source(source).event_time(
        |sent: &Sent| EventTime::from_millis(sent.time_ms as i64),
        out_of_order(millis(disorder_ms)),
    );
    let (records, keyed) = stream.fork();
    let _ = records.sink(file_with(out.join("records"), "csv", |sent: &Sent, line: &mut Vec<u8>| {
        // A vector takes everything.
        let _ = writeln!(line, "{},{},{}", sent.producer, sent.sequence, sent.value);
    }));
    let windows = |row: &Windowed<u64, (u64, u64)>, line: &mut Vec<u8>| {
        let (end, (count, sum)) = (row.window.end.as_millis(), row.value);
        let _ = writeln!(line, "{end},{},{count},{sum}", row.key);
    };
    let _ = keyed
        .key_by(|sent: &Sent| sent.key)
        .window(tumbling(millis(WINDOW_MS)))
        .aggregate((count(), sum(|sent: &Sent| sent.value)))
        .sink(file_with(out.join("windows"), "csv", windows));
    job
}

/// How the orders ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Stop,
    End,
    /// The job itself ended.
    Over,
}

impl ServeCommand {
    /// Runs the job until it is told to end, or killed.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let (data, shards) = (self.data.display().to_string(), self.shards.to_string());
        let segment = self.segment.to_string();
        let settings = [
            ("data", data.as_str()),
            ("durability", &self.durability),
            ("driver", &self.driver),
            ("shards", &shards),
            ("log.segment", &segment),
            ("checkpoint.interval_s", "0"),
        ];
        let config = Config::load_with(None, &settings)?.config;
        let (inlets, sources): (Vec<_>, Vec<_>) = (0..self.partitions).map(|_| inlet(CAPACITY)).unzip();
        let disorder_ms = disorder_ms(self.producers, inlets.len() as u64, CAPACITY);
        let running = job(Inlets(sources), disorder_ms, &self.out).start_with(&config)?;
        running.suspend_on_signals()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let named: Result<Vec<_>, InletError> = (0..self.producers)
            .map(|number| {
                let inlet: &Inlet<Sent> = &inlets[number as usize % inlets.len()];
                inlet.producer_within(&format!("producer-{number}"), RECOVERY_MAX)
            })
            .collect();
        let producers = match named {
            Ok(producers) => producers,
            // The input had ended in an earlier run: nothing is left but to write out what follows from it.
            Err(InletError::Closed) => {
                drop(inlets);
                running.wait()?;
                write_word(&mut out, Word::Ended)?;
                return Ok(out.flush()?);
            }
            Err(error) => {
                running.stop(Stop::Now);
                running.wait()?;
                return Err(error.into());
            }
        };
        for (number, producer) in (0..).zip(&producers) {
            write_word(&mut out, Word::Known { producer: number, last: producer.next_sequence()? - 1 })?;
        }
        write_word(&mut out, Word::Ready)?;
        out.flush()?;
        self.serve(running, inlets, producers, out)
    }

    fn serve(
        &self,
        running: Running,
        inlets: Vec<Inlet<Sent>>,
        producers: Vec<Producer<Sent>>,
        out: BufWriter<io::StdoutLock<'_>>,
    ) -> Result<(), Box<dyn Error>> {
        let (orders, heard) = sync_channel(ORDERS_WAITING);
        // Never joined: it waits for input that may not come.
        thread::spawn(move || {
            let mut input = BufReader::new(io::stdin());
            while let Ok(Some(order)) = read_order(&mut input) {
                if orders.send(order).is_err() {
                    break;
                }
            }
        });
        let over = AtomicBool::new(false);
        let checkpoints = sync_channel(1_024);
        let mut link = Link { out, told: vec![0; producers.len()], producers, checkpoints: checkpoints.1 };
        let ending = thread::scope(|scope| {
            scope.spawn(|| {
                let mut draw = Draw::new(self.seed, "checkpoints");
                while !over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(draw.below(PAUSE_MS)));
                    if let Ok(done) = running.checkpoint(None) {
                        let _ = checkpoints.0.try_send(done.number);
                    }
                }
            });
            let ending = link.serve(&heard, &running);
            over.store(true, Ordering::Relaxed);
            match ending {
                Ok(Ending::Stop) if Draw::new(self.seed, "stops").once_in(2) => running.stop(Stop::Suspend),
                Ok(Ending::Stop) | Err(_) => running.stop(Stop::Now),
                Ok(Ending::End | Ending::Over) => {}
            }
            ending
        });
        let Link { mut out, producers, .. } = link;
        // Only this ends the input for good, however many handles are dropped, and when.
        drop(producers);
        if matches!(ending, Ok(Ending::End)) {
            inlets.iter().for_each(Inlet::close);
        }
        drop(inlets);
        while !running.wait_for(ACKNOWLEDGE_MAX) {}
        let outcome = running.outcome();
        // What the job says of its end explains what the producers met.
        running.wait()?;
        let ending = ending?;
        if ending == Ending::Over && !matches!(outcome, Some(Outcome::Suspended)) {
            return Err("the job ended by itself".into());
        }
        write_word(&mut out, Word::Ended)?;
        Ok(out.flush()?)
    }
}

/// Between the parent and the producers.
struct Link<'a> {
    out: BufWriter<io::StdoutLock<'a>>,
    producers: Vec<Producer<Sent>>,
    /// What the parent was told of each producer's acknowledgements.
    told: Vec<u64>,
    checkpoints: Receiver<u64>,
}

impl Link<'_> {
    fn serve(&mut self, orders: &Receiver<Order>, running: &Running) -> Result<Ending, Box<dyn Error>> {
        let mut parts: Vec<Sent> = Vec::new();
        loop {
            let mut next = match orders.recv_timeout(LOOK) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                // The parent has gone.
                Err(RecvTimeoutError::Disconnected) => return Ok(Ending::Stop),
            };
            for _ in 0..ORDERS_MAX {
                let Some(order) = next else { break };
                match self.carry_out(order, &mut parts) {
                    Ok(None) => {}
                    Ok(Some(ending)) => return self.last(ending),
                    Err(InletError::Closed) => return Ok(Ending::Over),
                    Err(error) => return Err(error.into()),
                }
                next = orders.try_recv().ok();
            }
            // What was received and not carried out yet is not lost.
            if let Some(order) = next {
                match self.carry_out(order, &mut parts) {
                    Ok(None) => {}
                    Ok(Some(ending)) => return self.last(ending),
                    Err(InletError::Closed) => return Ok(Ending::Over),
                    Err(error) => return Err(error.into()),
                }
            }
            self.say()?;
            if running.is_finished() {
                return Ok(Ending::Over);
            }
        }
    }

    fn carry_out(&mut self, order: Order, parts: &mut Vec<Sent>) -> Result<Option<Ending>, InletError> {
        match order {
            Order::Single(sent) => {
                self.producers[sent.producer as usize].send_numbered(sent.sequence, sent)?;
            }
            Order::Part(sent) => parts.push(sent),
            Order::Commit { producer, first } => {
                let mut transaction = self.producers[producer as usize].begin();
                parts.drain(..).for_each(|sent| transaction.send(sent));
                transaction.commit_numbered(first)?;
            }
            Order::Abort { producer } => {
                let mut transaction = self.producers[producer as usize].begin();
                parts.drain(..).for_each(|sent| transaction.send(sent));
                transaction.abort();
            }
            Order::Stop => return Ok(Some(Ending::Stop)),
            Order::End => return Ok(Some(Ending::End)),
        }
        Ok(None)
    }

    /// The last word before the end: everything sent is acknowledged, if it is the end for good.
    fn last(&mut self, ending: Ending) -> Result<Ending, Box<dyn Error>> {
        if ending == Ending::End {
            for producer in &self.producers {
                producer.wait_acknowledged(producer.next_sequence()? - 1, ACKNOWLEDGE_MAX)?;
            }
        }
        self.say()?;
        Ok(ending)
    }

    /// Says what is new.
    fn say(&mut self) -> io::Result<()> {
        for (number, (producer, told)) in (0..).zip(self.producers.iter().zip(&mut self.told)) {
            let last = producer.acknowledged();
            if last > *told {
                *told = last;
                write_word(&mut self.out, Word::Acknowledged { producer: number, last })?;
            }
        }
        while let Ok(number) = self.checkpoints.try_recv() {
            write_word(&mut self.out, Word::Checkpoint { number })?;
        }
        self.out.flush()
    }
}
