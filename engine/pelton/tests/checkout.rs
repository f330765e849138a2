//! `pelton::cli` as a user has it: the example `checkout`, started as a program, killed, looked at and replayed.
//!
//! The program is this test's own binary, called again with the words of the command line in the environment.

#[path = "../examples/checkout.rs"]
#[expect(dead_code, reason = "the example's own main is not called")]
mod checkout;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

const ARGUMENTS: &str = "CHECKOUT_ARGUMENTS";
/// What the test harness prints stands before this.
const BEGINS: &str = "----\n";

/// Not a test, but the program that the tests start.
#[test]
fn as_the_program() {
    let Ok(words) = std::env::var(ARGUMENTS) else { return };
    print!("{BEGINS}");
    std::io::stdout().flush().unwrap();
    let code = checkout::program().main_from(["checkout"].into_iter().chain(words.split('|')));
    std::process::exit(i32::from(code));
}

/// A directory of its own for one test, removed when the test ends.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("checkout-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Place(place)
    }

    /// The program with `words`, separated by `|`, on a job that keeps its data here.
    fn program(&self, words: &str) -> Command {
        let mut command = self.bare(words);
        for (key, value) in [
            ("DURABILITY", "disk"),
            ("SHARDS", "2"),
            ("DRIVER", "threads"),
            ("PIN", "false"),
            ("LOG_HASH_TICKS", "1"),
            ("LOG_SEGMENT", "4 MB"),
        ] {
            command.env(format!("PELTON_{key}"), value);
        }
        command.env("PELTON_DATA", self.0.join("data"));
        command
    }

    /// The same without any configuration.
    fn bare(&self, words: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "as_the_program", "--nocapture"]).env_clear().env(ARGUMENTS, words);
        command.env("CHECKOUT_REVENUE", self.0.join("revenue")).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    fn output(&self, words: &str) -> Said {
        Said::of(self.program(words).output().unwrap())
    }

    /// Standard output of a command that ends with exit code 0.
    fn succeeds(&self, words: &str) -> String {
        let said = self.output(words);
        assert_eq!(said.code, Some(0), "{words}: {}{}", said.out, said.error);
        said.out
    }

    fn start(&self) -> Running {
        let child = self.program("run").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A directory left behind is no reason to hide the result of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let out = String::from_utf8(output.stdout).unwrap();
        let out = out.split_once(BEGINS).map_or(out.clone(), |(_, said)| said.to_owned());
        Said { code: output.status.code(), out, error: String::from_utf8(output.stderr).unwrap() }
    }
}

/// A child that does not outlive the test.
struct Running(Option<Child>);

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn ends(mut self) -> Said {
        Said::of(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Tries again until it comes about.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never came about: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// The time at the end of a line of a replay.
fn time_in(line: &str) -> SystemTime {
    let text = line.split_whitespace().last().unwrap().replace("+00:00", "Z");
    humantime::parse_rfc3339(&text).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn a_program_of_ones_own_is_run_killed_looked_at_and_replayed() {
    let place = Place::new("whole");
    let running = place.start();
    let saved = until("a savepoint", || {
        let said = place.output("savepoint|--name|before");
        (said.code == Some(0)).then_some(said.out)
    });
    assert!(saved.starts_with("savepoint before is checkpoint 1, of tick "), "{saved}");
    let moved = place.succeeds("rebalance");
    assert!(moved.starts_with("nothing to do: ") || moved.contains(" moved after tick "), "{moved}");
    let entries = |from: &str| {
        let said = place.output(&format!("log|export|--from|{from}"));
        said.out.lines().filter(|line| line.contains("\"kind\":\"tick\"")).count()
    };
    let (begin, from) = (SystemTime::now(), now());
    until("ticks of that time", || (entries(&from) > 50).then_some(()));
    let (to, end) = (now(), SystemTime::now());
    std::thread::sleep(Duration::from_millis(50));
    running.signal("-KILL");
    assert_eq!(running.ends().code, None);

    let shown = place.succeeds("data|show");
    assert!(shown.contains("checkout") && shown.contains("before"), "{shown}");
    assert!(shown.contains("was cut short; the next one recovers"), "{shown}");
    let logs = place.succeeds("log|inspect");
    assert_eq!(logs.lines().count(), 3, "{logs}");
    place.succeeds("log|verify");

    let said = place.output(&format!("log|replay|--from|{from}|--to|{to}"));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert!(said.error.contains("replayed from checkpoint 1: "), "{}", said.error);
    assert!(said.error.contains(" 0 different"), "{}", said.error);
    assert!(said.out.lines().count() > 20, "{}", said.out);
    let slack = Duration::from_millis(5);
    for line in said.out.lines() {
        assert!(line.contains("as recorded"), "{line}");
        let time = time_in(line);
        assert!(time + slack >= begin && time <= end + slack, "{line} is not from {from} to {to}");
    }
    let said = place.output("log|replay|--from|2001-01-01|--to|2001-01-02 12:00");
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.error.contains("no tick of the logs is from 2001-01-01"), "{}", said.error);

    let running = place.start();
    let again = until("a checkpoint", || {
        let said = place.output("checkpoint");
        (said.code == Some(0)).then_some(said.out)
    });
    assert!(again.starts_with("checkpoint "), "{again}");
    running.signal("-TERM");
    let said = running.ends();
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.error.contains("stopped; the next run goes on from here: "), "{}", said.error);
}

#[test]
fn what_makes_no_sense_is_said_with_an_exit_code() {
    let place = Place::new("refused");
    let refused = |command: &mut Command| Said::of(command.output().unwrap());
    let said = refused(&mut place.bare("data|show"));
    assert_eq!(said.code, Some(2));
    assert!(
        said.error.starts_with("error: which data directory? Name it behind the command"),
        "{}",
        said.error
    );
    let said = refused(&mut place.bare("data|show|nowhere"));
    assert_eq!((said.code, said.error.as_str()), (Some(1), "error: nowhere: there is no such directory\n"));
    let said = refused(&mut place.bare("run|--shards|0"));
    assert_eq!(said.code, Some(1));
    assert!(said.error.starts_with("error: --shards: `0` is not allowed"), "{}", said.error);
    assert_eq!(refused(&mut place.bare("frobnicate")).code, Some(2));
    let said = refused(&mut place.bare("--help"));
    assert_eq!(said.code, Some(0));
    for part in ["Revenue per shop and second", "Usage: checkout", "run", "log", "savepoint", "rebalance"] {
        assert!(said.out.contains(part), "{}", said.out);
    }
}

#[test]
fn a_job_that_keeps_nothing_and_is_interrupted_has_not_done_its_work() {
    let place = Place::new("nothing");
    let mut command = place.bare("run|--driver|threads|--pin|false|--cores|1");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = Running(Some(child));
    until("the job has started", || place.0.join("revenue").exists().then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    running.signal("-INT");
    let said = running.ends();
    assert_eq!(said.code, Some(130), "{}", said.error);
    assert!(said.error.contains("note: stopped, and nothing is kept: "), "{}", said.error);
    assert!(said.error.ends_with("error: interrupted\n"), "{}", said.error);
}

/// The plan needs no configuration that a job could run with, and nothing is run.
#[test]
fn explained_and_not_run() {
    let place = Place::new("explained");
    let said = Said::of(place.bare("run|--explain").output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(
        said.out.contains("job `checkout`") && said.out.contains("aggregate sum, size 1s"),
        "{}",
        said.out
    );
    assert!(said.out.ends_with('\n'));
    let dot = place.succeeds("run|--explain=dot");
    assert!(dot.starts_with("digraph \"checkout\" {") && dot.ends_with("}\n"), "{dot}");
    assert!(!place.0.join("data").exists(), "nothing was run");
    assert_eq!(place.output("run|--explain=svg").code, Some(2));
}
