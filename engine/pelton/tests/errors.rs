//! What a person sees of an error: under `fn main() -> Result<(), Box<dyn Error>>` it is printed with `Debug`, as it is by `unwrap`, so for
//! every public error `Debug` and `Display` are the same text.

use pelton::config::{ConfigError, DriverKind};
use pelton::connect::ndjson;
use pelton::core::OutOfMemory;
use pelton::prelude::*;
use pelton::sinks::NoRow;
use pelton::sources::{SendError, TrySendError};
use pelton::{Fault, Outcome, RunError, ShardId, StartError};
use pelton_runtime::durability::OpenError;
use pelton_runtime::plan::{UidError, UidProblem};
use pelton_runtime::{IoUringBlocked, Panicked, PinCause, PinError};
use pelton_storage::StorageError;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::io;
use std::path::Path;
use std::process::{Command, Termination};
use std::sync::Arc;
use std::time::Instant;

/// Error types that are not in the table, and why.
const EXEMPT: [(&str, &str); 6] = [
    ("Failure", "`Debug` adds the story of the simulated run, a line for each life"),
    ("Ended", "not public"),
    ("Failed", "of the command `pelton selftest`, which prints it itself"),
    ("Interrupted", "of the command line, which prints it itself"),
    ("Misused", "of the command line, which prints it itself"),
    ("BenchError", "in the table of the crate `bench`"),
];

/// One text for both, not empty, and every error behind it is told of.
fn same<E: Error>(seen: &mut BTreeSet<&'static str>, error: E) {
    let name = std::any::type_name::<E>();
    let bare = name.split('<').next().unwrap_or(name);
    seen.insert(bare.rsplit("::").next().unwrap_or(bare));
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), text, "{name}");
    assert_eq!(format!("{error:#?}"), text, "{name}");
    assert!(text.contains(' '), "{name}: {text}");
    let mut source = error.source();
    while let Some(error) = source {
        assert!(text.contains(&error.to_string()), "{name} does not say why: {text}\n{error}");
        source = error.source();
    }
}

fn out_of_memory() -> OutOfMemory {
    OutOfMemory { asked: 3, in_use: 2, limit: 4 }
}

fn refused() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

fn storage() -> StorageError {
    StorageError::io("write", "orders.data/MANIFEST", refused())
}

fn config_error() -> ConfigError {
    Config::load_with(None, &[("shards", "0"), ("memory", "much")]).unwrap_err()
}

fn threads() -> Config {
    Config { driver: DriverKind::Threads, pin: false, shards: 1, ..Config::default() }
}

/// A job that fails at its first record, and its error.
fn panicked() -> JobError {
    let job = Job::new("fails").source(from_iter(|| 0..10u64)).map(|n| 10 / n).sink(collect());
    job.run_with(&threads()).unwrap_err()
}

#[test]
fn debug_is_display_for_every_public_error() {
    let seen = &mut BTreeSet::new();
    same(seen, out_of_memory());
    same(seen, Fault::OutOfMemory(out_of_memory()));
    same(seen, Fault::Storage { message: "cannot write".to_owned() });
    same(seen, storage());
    same(seen, IoUringBlocked::Forbidden { sysctl: Some(0) });
    same(seen, PinError { cpu: 7, cause: PinCause::Refused(refused()) });
    same(seen, PinError { cpu: 7, cause: PinCause::Absent(vec![0, 1]) });
    same(seen, StartError::IoUring(IoUringBlocked::Forbidden { sysctl: Some(0) }));
    same(seen, StartError::Pin(PinError { cpu: 7, cause: PinCause::Refused(refused()) }));
    same(seen, StartError::Thread(refused()));
    same(seen, StartError::Build { shard: ShardId(1), fault: Fault::OutOfMemory(out_of_memory()) });
    let fault = Fault::OutOfMemory(out_of_memory());
    same(seen, pelton::aggregate::Overflow { message: "300 is beyond what a `u8` holds".to_owned() });
    same(seen, RunError::Fault { shard: ShardId(1), position: Default::default(), fault });
    same(seen, RunError::Core { cpu: 1, panicked: Panicked::default() });
    same(seen, OpenError::Storage(storage()));
    same(seen, OpenError::NoCheckpoint { wanted: "monday".to_owned(), there: Vec::new() });
    same(seen, config_error());
    same(seen, "yesterday".parse::<EventTime>().unwrap_err());
    same(seen, ndjson::file::<u64>("no such file").unwrap_err());

    same(seen, JobError::Config(config_error()));
    same(seen, JobError::Open(OpenError::Storage(storage())));
    same(seen, JobError::Start(StartError::IoUring(IoUringBlocked::Missing)));
    same(seen, JobError::Memory { rings: 4, ring_bytes: 4_096, error: out_of_memory() });
    same(seen, JobError::Storage("cannot write".to_owned()));
    same(seen, JobError::Signals { problem: "another handler".to_owned() });
    let here = std::panic::Location::caller();
    same(seen, UidError { uid: "orders".to_owned(), problem: UidProblem::Twice, at: here, other: here });
    same(seen, pelton::core::record::convert::Conversion::between("u64", "u8").unwrap_err());
    same(seen, NoRow::Yet);
    same(seen, NoRow::OnCore);
    same(seen, NoRow::Ended(Outcome::Failed(Arc::new(panicked()))));
    same(seen, JobError::Fault(Fault::OutOfMemory(out_of_memory())));
    same(seen, panicked());

    // What is given back in an error need not be printable.
    struct Opaque;
    let (failed, closed) = (inlet_error(), channel_error());
    same(seen, TrySendError::Failed(Opaque, failed.clone()));
    same(seen, TrySendError::Full(Opaque));
    same(seen, InletError::TimedOut);
    same(seen, failed);
    same(seen, SendError::Full(Opaque));
    same(seen, closed);

    let mut there = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    ["engine", "storage", "bench", "tools"].iter().for_each(|part| errors_in(&root.join(part), &mut there));
    assert!(there.len() > 10, "{there:?}");
    there.retain(|name| !EXEMPT.iter().any(|(exempt, _)| exempt == name));
    let seen: BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
    assert_eq!(
        there, seen,
        "every error type of the tree stands in the table above, or in the list of exceptions"
    );
}

/// The names of the types that implement `Error` in the sources under `path`, tests aside.
fn errors_in(path: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "tests", "examples"].contains(&name) {
                errors_in(&path, names);
            }
        } else if name.ends_with(".rs") {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let Some((before, of)) = line.split_once("Error for ") else { continue };
                if before.starts_with("impl") {
                    names.insert(of.split(['<', ' ', '{']).next().unwrap().to_owned());
                }
            }
        }
    }
}

/// The error that a producer meets when its job has failed.
fn inlet_error() -> InletError {
    let (numbers, source) = inlet::<u64>(16);
    let running =
        Job::new("fails").source(source).map(|n| 10 / n).sink(collect()).start_with(&threads()).unwrap();
    let mut producer = numbers.producer("a").unwrap();
    let end = Instant::now() + secs(60);
    let error = loop {
        assert!(Instant::now() < end, "nobody told the producer");
        if let Err(error) = producer.send(0) {
            break error;
        }
    };
    let later = numbers.producer("b").unwrap_err();
    assert_eq!(later, error, "one who asks later is told the same");
    assert_eq!(running.wait().unwrap_err().to_string(), cause(&error).to_string());
    error
}

fn channel_error() -> SendError<u64> {
    let (numbers, source) = channel::<u64>(16);
    let running =
        Job::new("fails").source(source).map(|n| 10 / n).sink(collect()).start_with(&threads()).unwrap();
    let end = Instant::now() + secs(60);
    let error = loop {
        assert!(Instant::now() < end, "nobody told the sender");
        if let Err(error) = numbers.send(0) {
            break error;
        }
    };
    assert_eq!(running.wait().unwrap_err().to_string(), cause(&error).to_string());
    error
}

/// The job's own error behind `error`.
fn cause(error: &dyn Error) -> &JobError {
    error.source().expect("there is a source").downcast_ref().expect("it is the job's error")
}

#[test]
fn whoever_sends_is_told_why_the_job_failed() {
    let error = inlet_error();
    assert!(
        matches!(cause(&error), JobError::Run(RunError::Panic { panicked, .. }) if panicked.message.contains("divide by zero")),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("the job that reads the inlet has failed: shard 0 panicked at"),
        "{error}"
    );
    let error = channel_error();
    assert!(matches!(cause(&error), JobError::Run(RunError::Panic { .. })), "{error}");
}

#[test]
fn a_job_that_was_stopped_has_not_failed() {
    let (numbers, source) = inlet::<u64>(16);
    let running = Job::new("stops").source(source).sink(collect()).start_with(&threads()).unwrap();
    let mut producer = numbers.producer("a").unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    assert_eq!(producer.send(1), Err(InletError::Closed));
}

const PART: &str = "PELTON_TEST_ERRORS";

/// Played by a process of its own: ends as a `main` ends that returns an error.
#[test]
fn part() {
    let report = |error: &dyn Fn() -> Result<(), Box<dyn Error>>| error().report();
    match std::env::var(PART).as_deref() {
        Ok("box") => report(&|| Err(panicked().into())),
        Ok("inlet") => report(&|| Err(inlet_error().into())),
        Ok("job") => Err::<(), _>(panicked()).report(),
        Ok("config") => Err::<(), _>(config_error()).report(),
        _ => return,
    };
}

/// What a `main` prints that returns the error of `part`.
fn printed(part: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "part", "--nocapture"]).env(PART, part).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_main_that_returns_an_error_prints_its_text() {
    let panicked = "shard 0 panicked at tick ";
    for part in ["job", "box"] {
        assert!(printed(part).contains(&format!("Error: {panicked}")), "{part}: {}", printed(part));
    }
    let said = printed("inlet");
    assert!(said.contains(&format!("Error: the job that reads the inlet has failed: {panicked}")), "{said}");
    let said = printed("config");
    assert!(
        said.contains("Error: the configuration has 2 problems:\n  --shards: `0` is not allowed"),
        "{said}"
    );
}

/// Nothing but what is asked of an error.
#[test]
fn errors_can_be_sent_and_shown() {
    fn all<E: Error + Send + Sync + Debug + Display + 'static>() {}
    all::<JobError>();
    all::<InletError>();
    all::<StartError>();
    all::<RunError>();
    all::<ConfigError>();
    all::<StorageError>();
}
